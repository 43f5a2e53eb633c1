"""One competitor of tables.py in a process of its own: `python table_peers.py NAME FOLDER SECONDS THREADS COUNT [N_T]`.

Reads what mixed_sets.prepare wrote to FOLDER, trains, draws COUNT rows, and writes NAME.npy (the samples) and NAME.json: `fit`
and `sample` in seconds, `used` in words, and what the competitor can say of likelihoods. What each is given:

forestflow  ForestDiffusion's flow with its defaults (xgboost, n_t=50, duplicate_K=100, 100 trees of depth 7), told which
            columns are binary, categories and whole. Holes among numbers are left to it (its samples have none), a hole of a
            category is one more level.
arf         arfpy's adversarial random forest with its defaults, forde and forge. arfpy takes no holes: those of a number are
            its mean beside a category that says so, which the samples are read back from.
kde, gmm    scikit-learn's KernelDensity and GaussianMixture (full covariance) on standardised numbers, bandwidth or number of
            components chosen on a tenth of the training rows. Only for tables of numbers without holes.

ForestFlow trains 50 x 100 trees for each (one-hot) column on rows x duplicate_K rows, arfpy searches its leaves one by one in
pandas: hours for the larger tables here. A short trial run tells how many rows fit into SECONDS. ForestFlow gets all rows if it
can and as many duplicates as fit, then fewer rows with one duplicate each (as many pairs of noise and data, of more data); arf
gets fewer rows.
"""

import argparse
import json
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np

import mixed_sets

# Of the time, what the trial may plan for: the machine is not always as quick as it was.
PLANNED = 0.8
N_T, DUPLICATES = 50, 100
# Rows of the trial, and of the smallest fit.
TRIAL_ROWS = 1000


def forestflow(columns, train, _test, options):
    # The package imports two more libraries of trees, which xgboost's models do without; so do the processes it starts.
    stubs = Path(options.folder) / "stubs"
    stubs.mkdir(exist_ok=True)
    (stubs / "lightgbm.py").write_text("LGBMRegressor = None\n")
    (stubs / "catboost.py").write_text("CatBoostRegressor = None\n")
    sys.path.append(str(stubs))
    # The noise levels are trained side by side, so one thread is enough for each.
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(stubs))))
    from ForestDiffusion import ForestDiffusionModel

    rows = train.copy()
    kinds = {"bin_indexes": [], "cat_indexes": [], "int_indexes": []}
    for j, column in enumerate(columns):
        levels = len(column.levels)
        if column.kind == "category":
            hole = np.isnan(rows[:, j])
            rows[hole, j] = levels
            kinds["cat_indexes" if levels + hole.any() > 2 else "bin_indexes"].append(j)
        elif column.kind == "whole":
            kinds["int_indexes"].append(j)

    def fit(count, duplicates, n_t):
        part = rows if count == len(rows) else rows[np.random.default_rng(0).permutation(len(rows))[:count]]
        start = time.perf_counter()
        model = ForestDiffusionModel(
            part, diffusion_type="flow", n_t=n_t, duplicate_K=duplicates, n_jobs=options.threads, nthread=1, seed=0, **kinds
        )
        return model, time.perf_counter() - start

    n_t = options.n_t or N_T
    fit(min(100, len(rows)), 1, 2)
    # A level costs something for its trees and something for each of its pairs.
    small, large = min(TRIAL_ROWS, len(rows)), min(len(rows), 4000)
    pairs = [small, large * (4 if large < 4000 else 1)]
    level = [fit(small, 1, 2)[1] / 2, fit(large, pairs[1] // large, 2)[1] / 2]
    slope = max((level[1] - level[0]) / (pairs[1] - pairs[0]), 1e-9)
    fixed = max(level[0] - slope * pairs[0], 0)
    affordable = (PLANNED * options.seconds / n_t - fixed) / slope
    count = int(min(len(rows), max(affordable, TRIAL_ROWS)))
    duplicates = int(np.clip(affordable // count, 1, DUPLICATES))
    model, spent = fit(count, duplicates, n_t)
    start = time.perf_counter()
    samples = model.generate(batch_size=options.count)
    drawn = time.perf_counter() - start
    for j, column in enumerate(columns):
        if column.kind == "category":
            samples[samples[:, j] == len(column.levels), j] = np.nan
    full = N_T * (fixed + slope * len(rows) * DUPLICATES)
    used = f"{count} of {len(rows)} rows, n_t={n_t}, duplicate_K={duplicates}"
    return samples, {"fit": spent, "sample": drawn, "used": used, "default_fit_estimate": full}


def arf(columns, train, test, options):
    import pandas as pd

    # arfpy 0.1.1 calls what numpy 2.4 no longer has under this name.
    if not hasattr(np, "in1d"):
        np.in1d = np.isin
    warnings.simplefilter("ignore", FutureWarning)
    from arfpy import arf as package

    means = np.nan_to_num(np.array([np.mean(part[~np.isnan(part)]) for part in train.T]))

    def frame(rows):
        found = {}
        for j, column in enumerate(columns):
            hole = np.isnan(rows[:, j])
            if column.kind == "category":
                codes = np.where(hole, len(column.levels), rows[:, j]).astype(int)
                found[column.name] = pd.Categorical(codes, categories=range(len(column.levels) + column.holes))
            else:
                found[column.name] = np.where(hole, means[j], rows[:, j])
                if column.holes:
                    found[f"{column.name} hole"] = pd.Categorical(hole.astype(int), categories=[0, 1])
        return pd.DataFrame(found)

    def fit(count):
        np.random.seed(0)
        part = train[np.random.default_rng(0).permutation(len(train))[:count]]
        start = time.perf_counter()
        model = package.arf(frame(part), verbose=False, n_jobs=options.threads, random_state=0)
        model.forde()
        return model, time.perf_counter() - start, part

    trial = min(TRIAL_ROWS, len(train))
    _, rate, _ = fit(trial)
    count = int(min(len(train), PLANNED * options.seconds * trial / rate))
    model, spent, part = fit(count)
    start = time.perf_counter()
    drawn = model.forge(options.count)
    drawing = time.perf_counter() - start
    samples = np.empty((options.count, len(columns)))
    for j, column in enumerate(columns):
        samples[:, j] = drawn[column.name].astype(float)
        if column.kind == "category":
            samples[samples[:, j] == len(column.levels), j] = np.nan
        elif column.holes:
            samples[drawn[f"{column.name} hole"].astype(int) == 1, j] = np.nan
    report = {"fit": spent, "sample": drawing, "used": f"{count} of {len(train)} rows"}
    measure = Path(options.folder) / "measure.json"
    if measure.exists():
        import arf_density

        scores = arf_density.log_density(model, columns, json.loads(measure.read_text()), frame, part, test)
        report |= summary(scores)
    return samples, report


def summary(scores):
    finite = np.isfinite(scores)
    return {"log_prob": float(scores[finite].mean()) if finite.any() else None, "outside": float(1 - finite.mean())}


def standardised(fit, candidates):
    """A density of scikit-learn, of the candidate that is best on a tenth of the rows; log-likelihoods in the data's units."""

    def run(columns, train, test, options):
        centre, scale = train.mean(0), np.maximum(train.std(0), 1e-12)
        train, test = (train - centre) / scale, (test - centre) / scale
        cut = len(train) // 10
        start = time.perf_counter()
        best = max(candidates, key=lambda value: fit(value, train[cut:]).score(train[:cut]))
        model = fit(best, train)
        spent = time.perf_counter() - start
        start = time.perf_counter()
        samples = draw(model, options.count) * scale + centre
        drawing = time.perf_counter() - start
        scores = model.score_samples(test) - np.log(scale).sum()
        report = {"fit": spent, "sample": drawing, "used": f"{best:g} of {', '.join(f'{value:g}' for value in candidates)}"}
        # Numbers of two values have no density.
        dense = not any(column.levels for column in columns)
        return samples, report | ({"density": summary(scores)["log_prob"]} if dense else {})

    def draw(model, count):
        drawn = model.sample(count) if not hasattr(model, "n_components") else model.sample(count)[0]
        return drawn[np.random.default_rng(0).permutation(count)]

    return run


def kde(*arguments):
    from sklearn.neighbors import KernelDensity

    return standardised(lambda width, rows: KernelDensity(bandwidth=width).fit(rows), [0.03, 0.05, 0.08, 0.13, 0.2, 0.3, 0.5])(
        *arguments
    )


def gmm(*arguments):
    from sklearn.mixture import GaussianMixture

    return standardised(lambda n, rows: GaussianMixture(n, random_state=0).fit(rows), [1, 3, 10, 30, 60])(*arguments)


def main():
    parser = argparse.ArgumentParser(description="one competitor of tables.py")
    parser.add_argument("name", choices=["forestflow", "arf", "kde", "gmm"])
    parser.add_argument("folder")
    parser.add_argument("seconds", type=float)
    parser.add_argument("threads", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("n_t", type=int, nargs="?")
    options = parser.parse_args()
    folder = Path(options.folder)
    columns = mixed_sets.load_columns(folder)
    train, test = np.load(folder / "train.npy"), np.load(folder / "test.npy")
    samples, report = globals()[options.name](columns, train, test, options)
    np.save(folder / f"{options.name}.npy", samples)
    (folder / f"{options.name}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main()
