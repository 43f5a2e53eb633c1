#!/usr/bin/env python3
"""Reweighting one population to another: what `diffeo reweight` makes of pairs whose answer is known.

    python3 benches/peers/reweight.py                         # all: about an hour
    python3 benches/peers/reweight.py --only same,lalonde     # some of same, coverage, lalonde, shift
    python3 benches/peers/reweight.py --repetitions 100 --json reweight.json

- `same`: two samples of one population. Weights must be 1: their deviation from it, and the effective size over the number of rows.
- `coverage`: pairs of normal populations with an outcome that is a function of the columns and noise: how often the 95% interval of each average
  holds the truth, of `--repetitions` pairs.
- `lalonde`: earnings of survey rows (CPS) reweighted to the treated of a randomised trial (NSW); the treated's own earnings less that are the effect of
  the training, which the trial says itself.
- `shift`: `protein`, halves drawn with a probability that depends on the columns; the average of a column in one half from the other, beside the unweighted mean and
  the ratios of scikit-learn's classifiers (logistic regression and boosted trees, cross-fitted).
"""

import environment

environment.enter()

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as parquet
from quality import find_binary
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

MIXED = datasets.SHARED / "mixed"


class Weigher:
    def __init__(self, binary, folder, threads):
        self.binary, self.folder, self.threads = binary, folder, threads

    def tables(self, first, second, names):
        """Writes both populations; `names` are those of their columns."""
        for values, name in [(first, "from"), (second, "to")]:
            columns = [np.ascontiguousarray(column) for column in np.asarray(values).T]
            parquet.write_table(pa.table(columns[: len(names)], names=names[: len(columns)]), self.folder / f"{name}.parquet")

    def run(self, *arguments, weights=False):
        """What `diffeo reweight` reports, and the weights it wrote."""
        out = self.folder / "weighted.parquet"
        command = [self.binary, "reweight", "--from", self.folder / "from.parquet", "--to", self.folder / "to.parquet"]
        command += [*arguments, "--json", "--quiet", "--threads", self.threads, "--out", out, "--force"]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        found = json.loads(done.stdout)
        return (found, parquet.read_table(out)["weight"].to_numpy()) if weights else found


def averages(found):
    return {estimate["by"]: estimate for estimate in found["outcome"]["estimates"]}


def same(weigher, options):
    """Halves of real tables."""
    for name in ["magic_gamma", "protein", "california_housing"]:
        values = datasets.read(name)
        values = values[np.random.default_rng(0).permutation(len(values))][:8000]
        names = [f"x{i + 1}" for i in range(values.shape[1])]
        weigher.tables(values[:4000], values[4000:], names)
        found, weights = weigher.run("--seed", 0, weights=True)
        share = found["effective_size"] / found["rows"]
        print(
            f"same       {name:<20} deviation {np.std(weights):.3f}  effective {share:.1%}  slope {found['slope']:.2f}",
            flush=True,
        )
        yield {"set": name, "deviation": float(np.std(weights)), "effective": share, "slope": found["slope"]}


def coverage(weigher, options):
    """`y = x1 + x2 / 2 + sin(x1 + x2) + noise`, not a function that the regression can have; the second population is shifted by `shift`, and its truth is by quadrature."""
    shift, n = np.array([0.5, -0.3, 0.0]), 600
    f = lambda x: x[:, 0] + 0.5 * x[:, 1] + np.sin(x[:, 0] + x[:, 1])
    # The sine's mean over a normal of variance v about m is exp(-v / 2) sin m.
    truth = shift[0] + 0.5 * shift[1] + np.exp(-1.0) * np.sin(shift[0] + shift[1])
    held, width, rng = {}, {}, np.random.default_rng(1)
    for repetition in range(options.repetitions):
        first, second = rng.standard_normal((n, 3)), rng.standard_normal((n, 3)) + shift
        outcome = f(first) + rng.standard_normal(n)
        weigher.tables(np.column_stack([first, outcome]), second, ["x1", "x2", "x3", "y"])
        shape = ["--folds", 3, "--model", "maf", "--steps", 200]
        found = averages(weigher.run("--outcome", "y", "--seed", repetition, *shape))
        for by, estimate in found.items():
            held.setdefault(by, []).append(estimate["low"] <= truth <= estimate["high"])
            width.setdefault(by, []).append(estimate["high"] - estimate["low"])
    for by in held:
        print(f"coverage   {by:<24} {np.mean(held[by]):.1%} of {len(held[by])}  mean width {np.mean(width[by]):.3f}", flush=True)
        yield {"by": by, "held": float(np.mean(held[by])), "repetitions": len(held[by]), "width": float(np.mean(width[by]))}


def lalonde(weigher, options):
    trial, survey = (csv.read_csv(MIXED / f"{name}_mixtape.csv.gz") for name in ("nsw", "cps"))
    names = ["age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75", "re78"]
    values = lambda table: np.column_stack([table[name].to_numpy().astype(float) for name in names])
    is_treated = trial["treat"].to_numpy() == 1
    treated, controls, survey = values(trial)[is_treated], values(trial)[~is_treated], values(survey)
    effect = treated[:, -1].mean() - controls[:, -1].mean()
    error = np.sqrt(treated[:, -1].var(ddof=1) / len(treated) + controls[:, -1].var(ddof=1) / len(controls))
    print(
        f"lalonde    the trial: {effect:.0f} dollars, 95% interval {effect - 1.96 * error:.0f} to {effect + 1.96 * error:.0f}",
        flush=True,
    )
    yield {"by": "trial", "effect": effect, "standard_error": error}
    for seed in range(options.seeds):
        weigher.tables(survey, treated, names)
        found = weigher.run("--outcome", "re78", "--seed", seed)
        by = averages(found)
        verdict = f"k {found['pareto_k']:.2f}, worth {found['effective_size']:.0f} rows, {found['unseen']:.1%} unseen"
        effects = {name: by["observed"]["mean"] - estimate["mean"] for name, estimate in by.items() if name != "observed"}
        print(
            f"lalonde    seed {seed}: " + ", ".join(f"{name} {value:.0f}" for name, value in effects.items()) + f"  ({verdict})",
            flush=True,
        )
        yield {"seed": seed, "effects": effects, "pareto_k": found["pareto_k"], "unseen": found["unseen"]}


def classifier_mean(model, first, second, outcome):
    """By the odds of a classifier that has not seen the row."""
    label = np.r_[np.zeros(len(first)), np.ones(len(second))]
    p = cross_val_predict(model, np.r_[first, second], label, cv=5, method="predict_proba")[: len(first), 1]
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.average(outcome, weights=p / (1 - p))


def shift(weigher, options):
    everything = datasets.read("protein")
    everything = (everything - everything.mean(0)) / everything.std(0)
    names = [f"x{i + 1}" for i in range(everything.shape[1])]
    errors = {}
    for seed in range(options.seeds):
        rng = np.random.default_rng(seed)
        values = everything[rng.permutation(len(everything))][:12_000]
        outcome, columns = values[:, 0], values[:, 1:]
        direction = rng.standard_normal(columns.shape[1])
        score = columns @ direction / np.linalg.norm(direction)
        score = (score - score.mean()) / score.std()
        in_second = rng.random(len(values)) < 1 / (1 + np.exp(-1.5 * score))
        first, second = columns[~in_second], columns[in_second]
        truth = outcome[in_second].mean()
        weigher.tables(np.column_stack([first, outcome[~in_second]]), second, [*names[1:], "y"])
        found = {by: e["mean"] for by, e in averages(weigher.run("--outcome", "y", "--seed", seed)).items()}
        found["sklearn logistic"] = classifier_mean(LogisticRegression(max_iter=1000), first, second, outcome[~in_second])
        found["sklearn boosted trees"] = classifier_mean(HistGradientBoostingClassifier(), first, second, outcome[~in_second])
        for by, mean in found.items():
            errors.setdefault(by, []).append(mean - truth)
    for by, missed in errors.items():
        root = float(np.sqrt(np.mean(np.square(missed))))
        print(f"shift      {by:<24} off by {root:.4f} deviations (root mean square of {len(missed)} splits)", flush=True)
        yield {"by": by, "error": root, "splits": len(missed)}


PARTS = {"same": same, "coverage": coverage, "lalonde": lalonde, "shift": shift}


def main():
    parser = argparse.ArgumentParser(description="diffeo reweight on pairs whose answer is known")
    parser.add_argument("--only", default=",".join(PARTS), help=f"comma-separated, from {', '.join(PARTS)}")
    parser.add_argument("--repetitions", type=int, default=400, help="pairs of coverage (400)")
    parser.add_argument("--seeds", type=int, default=5, help="repetitions of lalonde, splits of shift (5)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, default=None, help="results to write")
    parser.add_argument("--binary", default=None, help="the diffeo to run (built with cargo when not given)")
    options = parser.parse_args()
    binary = options.binary or find_binary()
    results = {}
    for name in options.only.split(","):
        with tempfile.TemporaryDirectory() as folder:
            results[name] = list(PARTS[name](Weigher(binary, Path(folder), options.threads), options))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
