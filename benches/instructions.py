#!/usr/bin/env python3
"""Instructions that a training step, a density and a sample take, counted by valgrind: the same on a busy machine.

    cargo build --release --example speed && python3 benches/instructions.py [--only 'maf 6'] [--json FILE]

Counts do not say how long an instruction takes, and valgrind offers AVX2 at most, so a count is to be held against an earlier
count of the same machine and nothing else. One call is the difference between processes of one and of three calls, on one thread.
"""

import argparse
import json
import re
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
# model, d, hidden, transforms, batch
ROWS = [("maf", 2, 64, 3, 256), ("nsf", 2, 64, 3, 256), ("maf", 6, 256, 5, 64), ("nsf", 6, 256, 5, 64)]
OPS = ("train", "log_prob", "sample")


def count(binary, request):
    """Instructions of a whole process that answers one request."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", str(binary), "1"]
    done = subprocess.run(command, input=json.dumps(request) + "\n", capture_output=True, text=True, check=True)
    if "error" in done.stdout:
        raise SystemExit(done.stdout)
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


def main():
    parser = argparse.ArgumentParser(description="instructions of a call, counted by valgrind")
    parser.add_argument("--binary", default=REPOSITORY / "target" / "release" / "examples" / "speed", help="the program")
    parser.add_argument("--only", default="", help="rows whose 'model d hidden batch op' holds this text")
    parser.add_argument("--json", type=Path, default=None, help="write the results to this file")
    options = parser.parse_args()
    results = []
    print(f"{'model  d  hid batch op':<28}{'million instructions':>22}")
    for model, d, hidden, transforms, batch in ROWS:
        for op in OPS:
            name = f"{model} {d} {hidden} {batch} {op}"
            if options.only not in name:
                continue
            request = {"model": model, "d": d, "hidden": hidden, "layers": 2, "transforms": transforms, "bins": 8}
            request |= {"batch": batch, "op": op}
            one, three = (count(options.binary, request | {"calls": calls}) for calls in (1, 3))
            results.append(
                {"model": model, "d": d, "hidden": hidden, "batch": batch, "op": op, "instructions": (three - one) // 2}
            )
            print(f"{name:<28}{results[-1]['instructions'] / 1e6:>22.2f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
