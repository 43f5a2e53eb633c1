"""One population carried over to another, where the answer is known."""

import numpy as np
import pytest

import diffeo


def population(n, shift, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)) + [shift, 0]
    return {"a": x[:, 0], "b": x[:, 1], "y": x[:, 0] ** 2 + x[:, 1] + rng.normal(size=n)}


def test_an_average_is_carried_over():
    source, target = population(2000, 0.0, 0), population(1500, 0.7, 1)
    del target["y"]
    found = diffeo.reweight(source, target, outcome="y", seed=0, epochs=8, folds=2)
    truth = 1 + 0.7**2
    assert found.average.low < truth < found.average.high and abs(found.average.mean - truth) < 0.25
    assert abs(found.averages["unweighted"].mean - 1) < 0.25
    assert found.columns == ["a", "b"] and 300 < found.weights.effective_size < 2000 and "worth" in repr(found)
    log_ratio = found.log_ratio({"a": np.array([-1.0, 2.0]), "b": np.zeros(2)})
    assert log_ratio[0] < 0 < log_ratio[1]
    here, there = found.log_ratios
    assert len(here) == 2000 and len(there) == 1500 and there.mean() > here.mean()


def test_one_population_has_even_weights():
    source, target = population(800, 0.0, 0), population(800, 0.0, 1)
    found = diffeo.reweight(source, target, columns=["a", "b"], seed=0, steps=200, folds=2)
    assert found.weights.effective_size > 0.95 * 800 and not found.averages


def test_populations_apart_are_told_apart():
    source, target = population(400, 0.0, 0), population(400, 12.0, 1)
    group = {"group": np.zeros(400)}, {"group": np.ones(400)}
    with pytest.warns(diffeo.DiffeoWarning) as warned:
        found = diffeo.reweight(
            {**source, **group[0], "same": np.ones(400)},
            {**target, **group[1], "same": np.ones(400)},
            outcome="y",
            seed=0,
            steps=60,
            folds=2,
        )
    texts = [str(w.message) for w in warned]
    for words in ('column "group" alone tells', "same", "next to none"):
        assert any(words in text for text in texts), texts
    assert not any('column "b" alone' in text for text in texts)
    assert found.unseen > 0.5 and not found.is_good and "know nothing" in found.verdict
    assert found.columns == ["a", "b", "group"]


def test_faults_are_named():
    source, target = population(100, 0.0, 0), {"c": np.zeros(5)}
    with pytest.raises(diffeo.DataError, match="in common"), pytest.warns(diffeo.DiffeoWarning, match="not in both"):
        diffeo.reweight(source, target)
    with pytest.raises(diffeo.ConfigError, match="outcome"):
        diffeo.reweight(source, source, outcome="z")
    with pytest.raises(diffeo.ConfigError, match="cannot be among"):
        diffeo.reweight(source, source, outcome="y", columns=["a", "y"])
    found = diffeo.reweight(source, source, columns=["a"], seed=0, steps=5, folds=2)
    with pytest.raises(diffeo.ConfigError, match="outcome"):
        print(found.average)
    with pytest.raises(diffeo.ConfigError, match="share"):
        diffeo.reweight(source, source, relative=2.0)
    with pytest.raises(RuntimeError, match="enough"):

        def stop(fold, step, loss):
            raise RuntimeError("enough")

        diffeo.reweight(source, source, progress=stop, steps=5000, seed=0)
