#!/usr/bin/env python3
"""How well missing cells are filled in: `diffeo fit --any-subset` and `sample --given` beside scikit-learn's imputers.

    python3 benches/peers/imputation.py                       # five sets of at most 8,000 rows: about ten minutes
    python3 benches/peers/imputation.py --quick               # two small sets, fewer draws: about a minute
    python3 benches/peers/imputation.py --data FOLDER --sets Wage,california --json imputation.json

The tables are those of tables.py (`--data` as there). Of training and test rows alike 20 % of the cells are hidden, by a fixed seed; what
was missing before stays so and is not measured. A competitor learns from the training rows with their holes and fills in the test rows.

    mean       the mean of a number, the most frequent level
    knn        the mean of the five nearest training rows, in deviations; levels as one number each, of which the largest counts
    iterative  scikit-learn's IterativeImputer (chained Bayesian ridge regressions), on the same numbers; its levels are not shown, as
               regressions on the other levels of the same cell, which are missing with it, learn nothing
    forest     a random forest for each column given the others, in three rounds (missForest; Stekhoven, Buehlmann 2012)
    diffeo     the mean of the draws of a number, the most frequent drawn level

`error` is the root of the mean squared error of numbers, in deviations of the training column, where `mean` has about 1; its lowest
possible value is that of the conditional mean. `levels` is the share of levels that are right. `in 90 %` is the share of numbers between the
5 % and 95 % quantiles of the draws, 0.9 for a right model; iterative draws from its posterior (`sample_posterior`).
"""

import environment

environment.enter()

import argparse
import json
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import mixed_sets
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer

SETS = ["penguins", "Wage", "cps_mixtape", "diamonds", "california"]
HIDDEN = 0.2
ROWS = 8000
POSTERIOR_DRAWS = 20


class Numbers:
    """A table of levels and numbers as deviations and one number for each level, and back."""

    def __init__(self, columns, train):
        self.columns = columns
        self.mean, self.deviation = np.nanmean(train, axis=0), np.nanstd(train, axis=0)
        self.deviation[self.deviation == 0] = 1

    def encode(self, rows):
        parts = []
        for j, column in enumerate(self.columns):
            if column.kind == "category":
                level = np.arange(len(column.levels))
                parts.append(np.where(np.isnan(rows[:, j, None]), np.nan, rows[:, j, None] == level))
            else:
                parts.append((rows[:, j, None] - self.mean[j]) / self.deviation[j])
        return np.concatenate(parts, axis=1)

    def decode(self, values):
        rows, at = np.empty((len(values), len(self.columns))), 0
        for j, column in enumerate(self.columns):
            if column.kind == "category":
                rows[:, j] = values[:, at : at + len(column.levels)].argmax(axis=1)
                at += len(column.levels)
            else:
                rows[:, j] = values[:, at] * self.deviation[j] + self.mean[j]
                at += 1
        return rows


def hide(rows, seed):
    """Takes a share of the cells out; returns the rows and which cells those were."""
    hidden = np.random.default_rng(seed).random(rows.shape) < HIDDEN
    hidden &= ~np.isnan(rows)
    return np.where(hidden, np.nan, rows), hidden


def write_hidden(folder, part, hidden):
    table = pd.read_csv(folder / f"{part}.csv", dtype=str, keep_default_na=False, na_values=["", "NA"])
    path = folder / f"{part}.hidden.csv"
    table.mask(hidden).to_csv(path, index=False)
    return path


def most_frequent(values):
    values = values[~np.isnan(values)].astype(int)
    return np.bincount(values[values >= 0]).argmax() if (values >= 0).any() else 0


def by_mean(columns, numbers, train, test, options):
    filled = test.copy()
    for j, column in enumerate(columns):
        value = most_frequent(train[:, j]) if column.kind == "category" else numbers.mean[j]
        filled[np.isnan(test[:, j]), j] = value
    return filled, None


def by_neighbours(columns, numbers, train, test, options):
    imputer = KNNImputer(n_neighbors=5).fit(numbers.encode(train))
    return numbers.decode(imputer.transform(numbers.encode(test))), None


def by_regressions(columns, numbers, train, test, options):
    train, test = numbers.encode(train), numbers.encode(test)
    filled = IterativeImputer(random_state=0).fit(train).transform(test)
    drawer = IterativeImputer(sample_posterior=True, random_state=0).fit(train)
    draws = np.stack([numbers.decode(drawer.transform(test)) for _ in range(min(options.draws, POSTERIOR_DRAWS))])
    return numbers.decode(filled), draws


def by_forests(columns, numbers, train, test, options):
    start = [by_mean(columns, numbers, train, rows, options)[0] for rows in (train, test)]
    filled = [rows.copy() for rows in start]
    for _ in range(3):
        for j, column in enumerate(columns):
            holes = [np.isnan(rows[:, j]) for rows in (train, test)]
            forest = RandomForestClassifier if column.kind == "category" else RandomForestRegressor
            others = [np.delete(rows, j, axis=1) for rows in filled]
            there = ~holes[0]
            fitted = forest(100, min_samples_leaf=3, n_jobs=options.threads, random_state=0).fit(
                others[0][there], train[there, j]
            )
            for rows, hole, seen in zip(filled, holes, others):
                if hole.any():
                    rows[hole, j] = fitted.predict(seen[hole])
    return filled[1], None


def by_diffeo(columns, paths, count, folder, options):
    model, samples = folder / "model.safetensors", folder / "samples.csv"
    common = ["--quiet", "--force", "--seed", "0", "--threads", str(options.threads)]
    run([options.binary, "fit", paths["train"], "--any-subset", "--out", model, *common])
    run([options.binary, "sample", model, "--given", paths["test"], "--repeats", options.draws, "--out", samples, *common])
    draws = mixed_sets.load_samples(samples, columns)[:, : len(columns)]
    # The draws of a row follow each other.
    draws = draws.reshape(count, options.draws, len(columns)).swapaxes(0, 1)
    filled = draws.mean(axis=0)
    for j, column in enumerate(columns):
        if column.kind == "category":
            filled[:, j] = [most_frequent(draws[:, i, j]) for i in range(count)]
    return filled, draws


def run(command):
    found = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if found.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {found.returncode}\n{found.stderr}")


def measure(columns, numbers, test, hidden, filled, draws):
    errors, right, inside = [], [], []
    for j, column in enumerate(columns):
        rows = hidden[:, j]
        if column.kind == "category":
            right.append(filled[rows, j] == test[rows, j])
            continue
        errors.append((filled[rows, j] - test[rows, j]) / numbers.deviation[j])
        if draws is not None:
            low, high = np.quantile(draws[:, rows, j], [0.05, 0.95], axis=0)
            inside.append((low <= test[rows, j]) & (test[rows, j] <= high))
    mean = lambda parts: float(np.concatenate(parts).mean()) if parts else None
    return {"error": mean([e**2 for e in errors]) ** 0.5 if errors else None, "levels": mean(right), "in_90": mean(inside)}


PEERS = {"mean": by_mean, "knn": by_neighbours, "iterative": by_regressions, "forest": by_forests}


def compare(name, options, results):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        columns, train, test, _ = mixed_sets.prepare(name, options.data, folder, ROWS)
        (train, hidden_train), (given, hidden) = hide(train, 1), hide(test, 2)
        paths = {"train": write_hidden(folder, "train", hidden_train), "test": write_hidden(folder, "test", hidden)}
        numbers = Numbers(columns, train)
        for peer in (*PEERS, "diffeo"):
            start = time.perf_counter()
            if peer == "diffeo":
                filled, draws = by_diffeo(columns, paths, len(given), folder, options)
            else:
                filled, draws = PEERS[peer](columns, numbers, train, given, options)
            result = {"set": name, "rows": len(train) + len(test), "columns": len(columns), "peer": peer}
            result |= measure(columns, numbers, test, hidden, filled, draws)
            if peer == "iterative":
                result["levels"] = None
            result |= {"seconds": time.perf_counter() - start}
            results.append(result)
            report(result)


def report(result):
    show = lambda key: f"{result[key]:>9.3f}" if result[key] is not None else f"{'-':>9}"
    shape = f"{result['set']:<14}{result['rows']:>6} x {result['columns']:<4}"
    print(f"{shape}{result['peer']:<11}{show('error')}{show('levels')}{show('in_90')}{result['seconds']:>9.1f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description="missing cells filled in, diffeo beside scikit-learn's imputers")
    parser.add_argument("--data", type=Path, default=None, help="folder with the tables as NAME.csv.gz (made if not given)")
    parser.add_argument("--sets", default=None, help=f"comma-separated, from {', '.join(mixed_sets.NAMES)} ({','.join(SETS)})")
    parser.add_argument("--draws", type=int, default=None, help="draws of each row (50)")
    parser.add_argument("--threads", type=int, default=2, help="threads of diffeo (2)")
    parser.add_argument("--quick", action="store_true", help="penguins and Wage, 20 draws")
    parser.add_argument("--json", type=Path, default=None, help="write the results to this file")
    parser.add_argument("--binary", default=None, help="the diffeo to run (built with cargo when not given)")
    options = parser.parse_args()
    options.draws = options.draws or (20 if options.quick else 50)
    names = options.sets.split(",") if options.sets else SETS[:2] if options.quick else SETS
    if not options.binary:
        from quality import find_binary

        options.binary = find_binary()
    options.data = options.data or mixed_sets.make_folder(environment.ENVIRONMENT / "mixed")
    names = mixed_sets.there(names, options.data)
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"{'set':<14}{'rows x columns':<13}{'':<11}{'error':>9}{'levels':>9}{'in 90 %':>9}{'seconds':>9}")
    results = []
    for name in names:
        compare(name, options, results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
