#!/usr/bin/env python3
"""diffeo's `Density` beside scikit-learn's `KernelDensity` and `GaussianMixture`: rows a second, and test likelihoods on real tables.

    pip install '.[test]'                                      # the package for Python, from the root of the repository
    python3 benches/peers/estimators.py                        # about 20 minutes
    python3 benches/peers/estimators.py --quick                # the two tables of this repository, 10 s a fit
    python3 benches/peers/estimators.py --only speed --json estimators.json

Speed: `score_samples` of densities that were fitted to 100,000 rows of 10 columns (a mixture of normals). A kernel density looks at every row of the fit for
every row that it scores, so it scores 2,000 of them only, and the ratio is of rows a second.

Likelihood: the mean test log-density in nats of standardised columns. KernelDensity has the best of 12 bandwidths by validation rows (of 4,000 at most),
GaussianMixture the best of 1 to 64 components with full or diagonal covariances. diffeo has no setting but `max_time`, and takes all columns as real numbers, as the
others do.
"""

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path

import datasets
import diffeo
import numpy as np
import sklearn
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

ROWS, COLUMNS, SCORED_BY_KERNELS = 100_000, 10, 2_000
VALIDATION_ROWS = 4_000
BANDWIDTHS = np.logspace(-1.3, 0.35, 12)
COMPONENTS = (1, 2, 4, 8, 16, 32, 64)


def median_seconds(work, turns=5):
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return sorted(times)[turns // 2]


def speed():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(8, COLUMNS)) * 3
    rows = centres[rng.integers(0, 8, ROWS)] + rng.normal(size=(ROWS, COLUMNS))
    found = {}
    kernels = KernelDensity(bandwidth=0.5).fit(rows)
    few = rows[:SCORED_BY_KERNELS]
    found["KernelDensity"] = len(few) / median_seconds(lambda: kernels.score_samples(few), turns=1)
    mixture = GaussianMixture(8, random_state=0).fit(rows)
    found["GaussianMixture (8)"] = ROWS / median_seconds(lambda: mixture.score_samples(rows))
    for model in ("maf", "nsf", "nsf-coupling"):
        density = diffeo.Density(model, steps=200, random_state=0).fit(rows)
        found[f"diffeo {model}"] = ROWS / median_seconds(lambda: density.score_samples(rows))
    print(f"rows a second, {ROWS:,} rows x {COLUMNS} columns (KernelDensity: {SCORED_BY_KERNELS:,} of them), all threads\n")
    print("| density | rows a second | beside KernelDensity |\n|---|--:|--:|")
    for name, rate in found.items():
        print(f"| {name} | {rate:,.0f} | {rate / found['KernelDensity']:,.0f} |", flush=True)
    return found


def best(fits, valid):
    """Of some fitted densities the one with the best validation likelihood."""
    few = valid[:VALIDATION_ROWS]
    scored = [(fit.score_samples(few).mean(), i, fit) for i, fit in enumerate(fits)]
    return max(scored)[2]


def mixtures(train):
    for components in COMPONENTS:
        for covariance in ("full", "diag"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield GaussianMixture(components, covariance_type=covariance, reg_covar=1e-5, random_state=0).fit(train)


def likelihoods(sets, seconds):
    print(f"\nmean test log-density in nats ± standard error; diffeo: max_time={seconds:g}\n")
    print("| set | rows | columns | KernelDensity | GaussianMixture | diffeo | diffeo, seconds |\n|---|--:|--:|--:|--:|--:|--:|")
    found = {}
    for name in sets:
        with tempfile.TemporaryDirectory() as folder:
            parts, _ = datasets.prepare(name, Path(folder))
        train, valid, test = (part.astype(np.float64) for part in parts)
        kernels = best([KernelDensity(bandwidth=width).fit(train) for width in BANDWIDTHS], valid)
        mixture = best(mixtures(train), valid)
        start = time.perf_counter()
        # A point mass would have a probability where the others have a density.
        real = {f"x{i + 1}": "real" for i in range(train.shape[1])}
        flow = diffeo.Density(max_time=seconds, random_state=0, options={"columns": real}).fit(train)
        spent = time.perf_counter() - start
        scores = {}
        for label, density in (("kernels", kernels), ("mixture", mixture), ("diffeo", flow)):
            log_prob = density.score_samples(test)
            scores[label] = [log_prob.mean(), log_prob.std() / len(test) ** 0.5]
        found[name] = {**scores, "seconds": spent, "bandwidth": kernels.bandwidth, "components": mixture.n_components}
        cells = [f"{mean:.3f} ± {error:.3f}" for mean, error in scores.values()]
        print(f"| {name} | {len(train):,} | {train.shape[1]} | {' | '.join(cells)} | {spent:.0f} |", flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=("speed", "likelihoods"))
    parser.add_argument("--sets", type=lambda text: text.split(","))
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sets = options.sets or (datasets.QUICK if options.quick else datasets.DEFAULT)
    seconds = options.seconds or (10 if options.quick else 95)
    print(f"diffeo {diffeo.__version__}, scikit-learn {sklearn.__version__}\n")
    found = {}
    if options.only != "likelihoods":
        found["speed"] = speed()
    if options.only != "speed":
        found["likelihoods"] = likelihoods(sets, seconds)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


main()
