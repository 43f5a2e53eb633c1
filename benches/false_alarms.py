#!/usr/bin/env python3
"""How often `diffeo check` fails default fits of known truths: no failure is due.

    cargo build --release && python3 benches/false_alarms.py 50     # 50 fits of each truth, about 20 minutes; needs numpy

Each fit sees 3,000 rows of a truth and is judged on 2,000 fresh ones. A line for each check says how many of its verdicts were failures,
and the largest value as a share of its limit.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

DIFFEO = Path(__file__).parents[1] / "target/release/diffeo"
ROWS, JUDGED = 3000, 2000


def gaussian(rng, n):
    mix = np.array([[1, 0, 0, 0], [0.8, 0.6, 0, 0], [0.3, 0.5, 0.8, 0], [0, -0.4, 0.2, 0.9]])
    return dict(zip("abcd", (rng.normal(size=(n, 4)) @ mix.T).T))


def moons(rng, n):
    turn, second = np.pi * rng.uniform(size=n), rng.integers(0, 2, n)
    x = np.where(second, 1 - np.cos(turn), np.cos(turn)) + 0.1 * rng.normal(size=n)
    y = np.where(second, 0.5 - np.sin(turn), np.sin(turn)) + 0.1 * rng.normal(size=n)
    return {"x": x, "y": y}


def conditional(rng, n):
    c = rng.normal(size=n)
    x = np.sin(2 * c) + 0.3 * (1 + np.abs(c)) * rng.normal(size=n)
    return {"c": c, "x": x, "y": x * c + rng.normal(size=n)}


def counts(rng, n):
    rate = np.exp(0.7 * rng.normal(size=n))
    return {"k": rng.poisson(3 * rate), "w": rng.exponential(rate)}


TRUTHS = {gaussian: [], moons: [], conditional: ["--columns", "x,y", "--context", "c"], counts: []}


def write(columns, path):
    lines = [",".join(columns)] + [",".join(f"{value:.9g}" for value in row) for row in zip(*columns.values())]
    path.write_text("\n".join(lines) + "\n")


def main():
    fits = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    found = {}
    with tempfile.TemporaryDirectory() as name:
        seen, fresh, model = (Path(name) / file for file in ("seen.csv", "fresh.csv", "model.safetensors"))
        for seed in range(fits):
            for truth, options in TRUTHS.items():
                rng = np.random.default_rng(seed)
                write(truth(rng, ROWS), seen)
                write(truth(rng, JUDGED), fresh)
                fit = [DIFFEO, "fit", seen, "--out", model, "--force", "--quiet", "--json", "--seed", str(seed), *options]
                subprocess.run(fit, check=True, capture_output=True)
                check = [DIFFEO, "check", model, fresh, "--json", "--seed", str(seed)]
                answer = subprocess.run(check, capture_output=True, text=True).stdout
                for result in json.loads(answer)["checks"]:
                    entry = found.setdefault((truth.__name__, result["name"]), [0, 0, 0.0])
                    entry[0] += 1
                    entry[1] += not result["passed"]
                    if not isinstance(result["value"], str):
                        entry[2] = max(entry[2], result["value"] / result["limit"])
    for (truth, check), (verdicts, failures, worst) in found.items():
        print(f"{truth:<12} {check:<24} {failures:>3} of {verdicts} failed, worst {worst:.2f} of the limit")


if __name__ == "__main__":
    main()
