#!/usr/bin/env python3
"""Memory and start-up of the command line on a large table.

    cargo build --release && python3 benches/limits.py              # 10 million rows, about 2 minutes and 2 GB of disk
    python3 benches/limits.py --rows 1000000 --folder /data/scratch

Fits a small model, draws the rows into a Parquet file, scores them into another, and prints the peak memory of each process (its
largest resident set) and its time; then the whole time of a process that scores 1,000 rows, the median of eleven.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def run(*command):
    """Seconds and peak megabytes of a process."""
    start = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description="peak memory and start-up of diffeo on a large table")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the large table (10,000,000)")
    parser.add_argument("--folder", default=None, help="where the tables are written (a temporary folder)")
    parser.add_argument("--binary", default=REPOSITORY / "target" / "release" / "diffeo", help="the diffeo to run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place)
        diffeo, model, big = options.binary, folder / "model.safetensors", folder / "big.parquet"
        run(diffeo, "fit", REPOSITORY / "data" / "magic_gamma.parquet", "--out", model, "--steps", 300, "--quiet")
        big_commands = {
            "sample": ("sample", model, "-n", options.rows, "--out", big),
            "score": ("score", model, big, "--out", folder / "scores.parquet"),
            "evaluate": ("evaluate", model, big),
        }
        for name, command in big_commands.items():
            seconds, megabytes = run(diffeo, *command, "--quiet")
            print(f"{name:<9} {options.rows:>10,} rows  {seconds:6.1f} s  {megabytes:6.0f} MB", flush=True)
        small = folder / "small.csv"
        run(diffeo, "sample", model, "-n", 1000, "--out", small, "--quiet")
        score = ("score", model, small, "--out", folder / "s.csv", "--force", "--quiet")
        times = [run(diffeo, *score)[0] for _ in range(11)]
        print(f"score          1,000 rows  {1e3 * statistics.median(times):6.0f} ms for the whole process")


if __name__ == "__main__":
    main()
