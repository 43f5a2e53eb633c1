#!/usr/bin/env python3
"""Anomalies by their density: area under the ROC curve on the sets of ADBench, beside scikit-learn's and two detectors without parameters.

    python3 benches/peers/anomaly.py                                 # all sets of the folder: an hour or two
    python3 benches/peers/anomaly.py --sets wine,glass --seconds 10 --json anomaly.json

Unsupervised: all rows are learned from and scored, anomalies among them. Semi-supervised: half of the normal rows are learned from, the others and all anomalies
are scored. Of sets with more rows, `--rows` are drawn; columns that hold one value are left out. diffeo is its default fit, of real numbers, within `--seconds`, scored by `log_prob`;
unsupervised with `--trim 0.5`, so that the half of the rows that is least like the others is not learned from;
isolation forest and local outlier factor have their defaults (LOF as a novelty detector where rows to score are others); ECOD (Li et al. 2022) and COPOD (Li et al. 2020)
are written here from their papers, as tails of empirical distribution functions.
"""

import environment

environment.enter()

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from quality import find_binary
from scipy.stats import skew
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor

FOLDER = datasets.SHARED / "anomaly"


def tails(train, rows):
    """`-ln` of the empirical probabilities of at most and of at least each value."""
    n = len(train)
    left, right = np.empty_like(rows), np.empty_like(rows)
    for j in range(rows.shape[1]):
        ordered = np.sort(train[:, j])
        left[:, j] = np.searchsorted(ordered, rows[:, j], side="right")
        right[:, j] = n - np.searchsorted(ordered, rows[:, j], side="left")
    return [-np.log((count + 1) / (n + 1)) for count in (left, right)]


def ecod(train, rows):
    left, right = tails(train, rows)
    by_skewness = np.where(skew(train, axis=0) < 0, left, right)
    return np.maximum.reduce([left.sum(1), right.sum(1), by_skewness.sum(1)])


def copod(train, rows):
    left, right = tails(train, rows)
    by_skewness = np.where(skew(train, axis=0) < 0, left, right)
    return np.maximum((left + right) / 2, by_skewness).sum(1)


def isolation_forest(train, rows):
    return -IsolationForest(random_state=0).fit(train).score_samples(rows)


def local_outlier_factor(train, rows):
    if train is rows:
        return -LocalOutlierFactor().fit(train).negative_outlier_factor_
    return -LocalOutlierFactor(novelty=True).fit(train).score_samples(rows)


def diffeo(binary, seconds, threads):
    def score(train, rows):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            varied = train.std(0) > 0
            names = [f"x{i + 1}" for i in range(varied.sum())]
            for values, name in [(train, "train"), (rows, "rows")]:
                parquet.write_table(pa.table(list(values[:, varied].T.copy()), names=names), folder / f"{name}.parquet")
            model, scores = folder / "m.safetensors", folder / "scores.parquet"
            common = ["--quiet", "--threads", threads]
            # Densities of real numbers all: a probability of an outcome and a density are in different measures.
            kinds = ["--columns", ",".join(f"{name}=real" for name in names)]
            trim = ["--trim", 0.5, "--drop-constant"] if train is rows else []
            limit = ["--max-time", f"{seconds:g}s", "--seed", 0, *trim, *kinds]
            run([binary, "fit", folder / "train.parquet", "--out", model, *limit, *common])
            run([binary, "score", model, folder / "rows.parquet", "--out", scores, *common])
            found = parquet.read_table(scores)["log_prob"].to_numpy()
        # A row of density 0 is stranger than any other.
        return -np.where(np.isfinite(found), found, np.nanmin(found[np.isfinite(found)]) - 1)

    return score


def run(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-300:])


def read(name, rows):
    table = parquet.read_table(FOLDER / f"{name}.parquet")
    label = table["label"].to_numpy().astype(int)
    columns = [table[c].to_numpy().astype(float) for c in table.column_names if c != "label"]
    values = np.column_stack(columns)
    chosen = np.random.default_rng(0).permutation(len(values))[:rows]
    values, label = values[chosen], label[chosen]
    return values[:, values.std(0) > 0], label


def main():
    parser = argparse.ArgumentParser(description="anomalies by density beside other detectors")
    parser.add_argument("--sets", default=None, help="comma-separated [default: all of the folder]")
    parser.add_argument("--seconds", type=float, default=30, help="most time for a fit of diffeo (30)")
    parser.add_argument("--rows", type=int, default=20_000, help="most rows of a set (20,000)")
    parser.add_argument("--tasks", default="unsupervised,semi", help="comma-separated (both)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, default=None, help="results to add to")
    parser.add_argument("--binary", default=None, help="the diffeo to run (built with cargo when not given)")
    options = parser.parse_args()
    detectors = {
        "diffeo": diffeo(options.binary or find_binary(), options.seconds, options.threads),
        "isolation forest": isolation_forest,
        "local outlier factor": local_outlier_factor,
        "ECOD": ecod,
        "COPOD": copod,
    }
    results = json.loads(options.json.read_text()) if options.json and options.json.exists() else []
    known = {(r["set"], r["task"]) for r in results}
    names = options.sets.split(",") if options.sets else sorted(p.stem for p in FOLDER.glob("*.parquet"))
    for name in names:
        values, label = read(name, options.rows)
        normal = np.flatnonzero(label == 0)
        others = np.setdiff1d(np.arange(len(label)), normal[: len(normal) // 2])
        tasks = {
            "unsupervised": (values, values, label),
            "semi": (values[normal[: len(normal) // 2]], values[others], label[others]),
        }
        for task, (train, rows, truth) in tasks.items():
            if (name, task) in known or task not in options.tasks.split(","):
                continue
            result = {"set": name, "task": task, "rows": len(rows), "dims": rows.shape[1]}
            for detector, score in detectors.items():
                start = time.perf_counter()
                try:
                    result[detector] = float(roc_auc_score(truth, score(train, rows)))
                except (RuntimeError, ValueError) as fault:
                    result[f"{detector} fault"] = str(fault)
                result[f"{detector} seconds"] = time.perf_counter() - start
            results.append(result)
            cells = "  ".join(f"{d} {result.get(d, float('nan')):.3f}" for d in detectors)
            print(f"{name:<18}{task:<14}{len(rows):>7} x {rows.shape[1]:<5}{cells}", flush=True)
            if options.json:
                options.json.write_text(json.dumps(results, indent=1) + "\n")
    for task in ("unsupervised", "semi"):
        table = np.array([[r.get(d, 0.0) for d in detectors] for r in results if r["task"] == task])
        if len(table):
            ranks = (table[:, :, None] < table[:, None, :]).sum(2) + 1 + ((table[:, :, None] == table[:, None, :]).sum(2) - 1) / 2
            summary = "  ".join(
                f"{d} {m:.3f} (rank {k:.2f})" for d, m, k in zip(detectors, table.mean(0), ranks.mean(0), strict=True)
            )
            print(f"mean, {task}: {summary}")


if __name__ == "__main__":
    main()
