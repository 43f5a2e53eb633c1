#!/usr/bin/env python3
"""Trains one model in several processes over MPI: the same bits as in one, and how much faster.

    pip install '.[test]' mpi4py mpich             # the package from the root of the repository; any MPI will do
    python3 benches/many_processes.py              # one, two and four processes, each of one thread
    mpiexec -n 8 python3 benches/many_processes.py --worker

Every process has all rows and takes its part of every batch; gradients are summed after each step. Batches have 4,096 rows. With as many processes as cores the machine
is full; with more they take turns, which shows what the messages cost.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np

ROWS, COLUMNS, BATCH = 40_000, 10, 4096


def rows():
    x = np.random.default_rng(0).normal(size=(ROWS, COLUMNS))
    x[:, 1:] = 0.5 * x[:, :-1] ** 2 + 0.3 * x[:, 1:]
    return x


def worker(steps):
    import diffeo
    from mpi4py import MPI

    ranks, x = MPI.COMM_WORLD, rows()
    seen = []
    communicator = ranks if ranks.size > 1 else None
    settings = dict(batch=BATCH, steps=steps, seed=1, threads=1, average=0.0, communicator=communicator)
    started = time.perf_counter()
    model = diffeo.fit(x, progress=lambda at: seen.append((at["step"], at["loss"])), **settings)
    seconds = time.perf_counter() - started
    digests = ranks.gather(hashlib.sha256(model.log_prob(x[:1000]).tobytes()).hexdigest())
    if ranks.rank == 0:
        losses = [point["valid_loss"] for point in model.summary["history"]]
        alike = len(set(digests)) == 1
        print(json.dumps(dict(seconds=seconds, digest=digests[0], alike=alike, losses=losses, parameters=model.parameters)))


def run(processes, steps):
    command = [
        shutil.which("mpiexec") or "mpiexec",
        "-n",
        str(processes),
        sys.executable,
        __file__,
        "--worker",
        "--steps",
        str(steps),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker", action="store_true", help="be one of the processes")
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    if arguments.worker:
        return worker(arguments.steps)
    alone = run(1, arguments.steps)
    print(
        f"{ROWS:,} rows of {COLUMNS}, batches of {BATCH}, {alone['parameters']:,} weights, {arguments.steps} steps, {os.cpu_count()} cores"
    )
    print("| processes | seconds | times as fast | losses and weights |\n|--:|--:|--:|---|")
    for processes in (1, 2, 4):
        found = alone if processes == 1 else run(processes, arguments.steps)
        same = found["alike"] and found["digest"] == alone["digest"] and found["losses"] == alone["losses"]
        verdict = "those of one process" if processes == 1 else "the same bits" if same else "DIFFER"
        print(f"| {processes} | {found['seconds']:.1f} | {alone['seconds'] / found['seconds']:.2f} | {verdict} |")


if __name__ == "__main__":
    main()
