"""Training in several processes: the bits of one, by any object that sends arrays."""

import queue
import threading

import numpy as np
import pytest

import diffeo

X = np.random.default_rng(0).normal(size=(6000, 3))
SETTINGS = dict(model="nsf", transforms=2, hidden=(16, 16), batch=1024, steps=12, seed=3, threads=1, progress=False)


class Communicator:
    """A process that is a thread, with MPI's way of sending."""

    def __init__(self, rank, queues):
        self.rank, self.queues = rank, queues

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return len(self.queues)

    def Send(self, array, dest):
        self.queues[self.rank][dest].put(array.copy())

    def Recv(self, array, source):
        array[...] = self.queues[source][self.rank].get(timeout=60)


def together(count, fit):
    """What each of so many processes comes to."""
    queues = [[queue.Queue() for _ in range(count)] for _ in range(count)]
    found = [None] * count

    def run(rank):
        try:
            found[rank] = fit(rank, Communicator(rank, queues))
        except diffeo.DiffeoError as error:
            found[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("precision", ["f32", "f64"])
def test_processes_come_to_the_bits_of_one(count, precision):
    settings = {**SETTINGS, "precision": precision}
    alone = diffeo.fit(X, **settings)
    expected = alone.log_prob(X[:100])
    for model in together(count, lambda rank, communicator: diffeo.fit(X, communicator=communicator, **settings)):
        assert np.array_equal(model.log_prob(X[:100]), expected)
        losses = [point["valid_loss"] for point in model.summary["history"]]
        assert losses == [point["valid_loss"] for point in alone.summary["history"]]


def test_the_first_process_speaks_and_keeps_the_checkpoint(tmp_path):
    seen = []
    checkpoint = tmp_path / "fit.checkpoint"

    def fit(rank, communicator):
        def watch(at):
            seen.append(rank)

        return diffeo.fit(X, communicator=communicator, checkpoint=checkpoint, **{**SETTINGS, "progress": watch})

    together(2, fit)
    assert set(seen) == {0} and not checkpoint.exists()


def test_processes_that_differ_are_refused():
    def fit(rank, communicator):
        return diffeo.fit(X + 1e-3 * (rank == 1), communicator=communicator, **SETTINGS)

    for error in together(3, fit):
        assert "processes 0 and 1 of this training have prepared different fits" in str(error)
    with pytest.raises(diffeo.ConfigError, match="Get_rank"):
        diffeo.fit(X, communicator=3, **SETTINGS)
    for settings, text in (({"seed": None}, "the same seed"), ({"max_time": 9.0}, "clocks")):
        [error] = together(1, lambda rank, c, more=settings: diffeo.fit(X, communicator=c, **{**SETTINGS, **more}))
        assert text in str(error)
