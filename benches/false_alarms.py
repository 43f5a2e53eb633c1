#!/usr/bin/env python3
"""How often `diffeo check` fails default fits of known truths: no failure is due.

    cargo build --release && python3 benches/false_alarms.py 50     # 50 fits of each truth, about 25 minutes; needs numpy
    python3 benches/false_alarms.py 50 mixed,counts                 # of some truths

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


def mixed(rng, n):
    level = rng.choice(3, n, p=[1 / 2, 1 / 3, 1 / 6])
    angle = (rng.vonmises(level, 1.5) % (2 * np.pi)) * 24 / (2 * np.pi)
    x = level + np.cos(angle * np.pi / 12) + 0.5 * rng.normal(size=n)
    case = rng.uniform(size=n)
    x = np.where(case < 0.2, 0, np.where(case < 0.3, np.nan, x))
    tenth = np.round(20 + 3 * level + 2 * rng.normal(size=n), 1)
    return {"level": np.array(["elm", "oak", "ash"])[level], "hour": angle, "x": x, "tenth": tenth}


TRUTHS = {
    gaussian: [],
    moons: [],
    conditional: ["--columns", "x,y", "--context", "c"],
    counts: [],
    mixed: ["--columns", "level,hour=periodic[0,24),x,tenth", "--missing", "model"],
}


def cell(value):
    if isinstance(value, str):
        return value
    return "" if np.isnan(value) else f"{value:.9g}"


def write(columns, path):
    lines = [",".join(columns)] + [",".join(map(cell, row)) for row in zip(*columns.values())]
    path.write_text("\n".join(lines) + "\n")


def main():
    fits = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    names = sys.argv[2].split(",") if len(sys.argv) > 2 else [truth.__name__ for truth in TRUTHS]
    found = {}
    with tempfile.TemporaryDirectory() as name:
        seen, fresh, model = (Path(name) / file for file in ("seen.csv", "fresh.csv", "model.safetensors"))
        for seed in range(fits):
            for truth, options in TRUTHS.items():
                if truth.__name__ not in names:
                    continue
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
