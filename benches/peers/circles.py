#!/usr/bin/env python3
"""Densities of angles: `diffeo fit` with periodic columns beside zuko's circular spline flow, on tori whose density is known.

    python3 benches/peers/circles.py                        # three densities, 60 s a fit: about 7 minutes
    python3 benches/peers/circles.py --seconds 5 --json circles.json

20,000 rows to train, 5,000 for validation, 20,000 to test. zuko: `NCSF(transforms=5, hidden_features=(128, 128), bins=8)` on [-pi, pi), trained as
in `quality.py`. diffeo: default settings on the same rows, both columns `periodic`. The table shows the divergence of the test rows, in nats: the mean of the true log-density less the
model's, with its standard error (0 is perfect); and how much a density jumps where the circle closes, the mean of |ln p(-pi, b) - ln p(pi, b)| over b.
"""

import environment

environment.enter()

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import zuko
from quality import find_binary, zuko_fit
from scipy.stats import vonmises

ROWS = {"train": 20_000, "valid": 5_000, "test": 20_000}
CIRCLE = "periodic[-3.141592653589793, 3.141592653589793)"


class Chain:
    """b given a is a von Mises density whose place and width depend on a; a is a mixture of them."""

    def __init__(self, centres, widths, place, width):
        self.centres, self.widths, self.place, self.width = np.array(centres), np.array(widths), place, width

    def draw(self, count, rng):
        which = rng.integers(0, len(self.centres), count)
        a = rng.vonmises(self.centres[which], self.widths[which])
        b = rng.vonmises(self.place(a), self.width(a))
        return wrapped(np.column_stack((a, b)))

    def log_prob(self, rows):
        a, b = rows.T
        parts = [vonmises.pdf(a, width, centre) for centre, width in zip(self.centres, self.widths)]
        return np.log(np.mean(parts, 0)) + vonmises.logpdf(b, self.width(a), self.place(a))


def wrapped(angles):
    """To [-pi, pi), and below pi in 32 bits too."""
    turned = np.mod(angles + np.pi, 2 * np.pi) - np.pi
    return np.where(np.float32(turned) < np.float32(np.pi), turned, -np.pi)


DENSITIES = {
    "wound": Chain([np.pi], [1.0], lambda a: 2 * a, lambda a: np.full_like(a, 20.0)),
    "three modes": Chain([0.5, 2.5, -2.8], [40.0, 10.0, 4.0], lambda a: a + np.sin(a), lambda a: 8 + 6 * np.cos(a)),
    "nearly uniform": Chain([np.pi], [0.1], lambda a: 0 * a, lambda a: 0.5 + 0.4 * np.cos(3 * a)),
}


def seam():
    """Rows on both sides of where the first circle closes."""
    b = np.linspace(-3, 3, 200)
    edge = np.nextafter(np.float32(np.pi), np.float32(0)).astype(np.float64)
    return np.concatenate([np.column_stack((np.full_like(b, a), b)) for a in (-edge, edge)])


def jump(log_prob):
    low, high = np.split(np.asarray(log_prob), 2)
    return float(np.abs(low - high).mean())


def by_zuko(parts, seconds, threads):
    build = lambda columns: zuko.flows.NCSF(columns, transforms=5, hidden_features=(128, 128), bins=8)
    places = [*parts[:2], np.concatenate((parts[2], seam()))]
    scores, _, _ = zuko_fit([rows.astype(np.float32) for rows in places], seconds, threads, build)
    return scores[: len(parts[2])], jump(scores[len(parts[2]) :])


def by_diffeo(binary, parts, seconds, threads):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        path = lambda name: str(folder / f"{name}.parquet")
        for name, rows in zip((*ROWS, "seam"), (*parts, seam())):
            parquet.write_table(pa.table(dict(zip("ab", rows.T))), path(name))

        def call(*arguments):
            command = [binary, *arguments, "--json", "--quiet", "--threads", str(threads)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        kinds = f"a={CIRCLE},b={CIRCLE}"
        model = str(folder / "model.safetensors")
        fit = ("--valid", path("valid"), "--columns", kinds, "--out", model, "--max-time", f"{seconds:g}s", "--seed", "0")
        call("fit", path("train"), *fit)
        scores = []
        for name in ("test", "seam"):
            call("score", model, path(name), "--out", path(f"{name}-scores"))
            scores.append(parquet.read_table(path(f"{name}-scores"))["log_prob"].to_numpy())
        return scores[0], jump(scores[1])


def main():
    parser = argparse.ArgumentParser(description="densities of angles of diffeo beside zuko's")
    parser.add_argument("--seconds", type=float, default=60, help="time for each fit (60)")
    parser.add_argument("--threads", type=int, default=2, help="threads of both programs (2)")
    parser.add_argument("--json", type=Path, default=None, help="write the results to this file")
    parser.add_argument("--binary", default=None, help="the diffeo to run (built with cargo when not given)")
    options = parser.parse_args()
    binary, results = options.binary or find_binary(), []
    print(f"{options.seconds:g} s a fit, {options.threads} threads; {environment.versions()}")
    print(f"{'density':<16}{'diffeo: nats off':<22}{'jump':<9}{'zuko: nats off':<22}jump")
    for name, density in DENSITIES.items():
        rng = np.random.default_rng(1)
        parts = [density.draw(count, rng) for count in ROWS.values()]
        truth, result, line = density.log_prob(parts[2]), {"density": name}, f"{name:<16}"
        sides = {
            "diffeo": lambda: by_diffeo(binary, parts, options.seconds, options.threads),
            "zuko": lambda: by_zuko(parts, options.seconds, options.threads),
        }
        for side, fit in sides.items():
            scores, jumped = fit()
            off = truth - scores
            mean, error = float(off.mean()), float(off.std(ddof=1) / len(off) ** 0.5)
            result[side] = {"off": mean, "error": error, "jump": jumped}
            line += f"{mean:8.4f} +- {error:.4f}    {jumped:6.4f}   "
        print(line, flush=True)
        results.append(result)
        if options.json:
            options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
