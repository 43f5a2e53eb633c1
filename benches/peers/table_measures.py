"""How near samples of a mixed table are to rows the models have not seen. All take matrices as mixed_sets.encode makes them.

Distances are those of ForestDiffusion's paper (arXiv:2309.09968, its metrics.py): numbers scaled to [0, 1] by the training
rows, categories one-hot and halved, L1, so that a level that differs costs 1. A hole of a category is one more level; a number
with holes is the number, the training mean in place of a hole, and an indicator that costs 1.

- Wasserstein-1: exact transport between equally many test rows and samples, `TRANSPORT_ROWS` at most, mean over
  `TRANSPORT_TURNS` draws.
- Coverage: the share of test rows that have a sample nearer than their k-th neighbour among the test rows. k is found as their
  code does: one more than the smallest with which the test rows cover 95 % of themselves, which is 2 unless rows are repeated.
- Copies: the probability that a sample is nearer to the training rows than a test row is, ties counted half. One half is what the
  true density has; more is training rows learnt by heart, which W1 and coverage reward; less is samples off the data.
- C2ST: the accuracy of boosted trees that tell test rows from samples, over five folds; 0.5 is perfect.
- Utility: macro F1 (category) or R2 on the test rows of models trained on samples, mean of a linear model and boosted trees.
- Invalid: the share of cells that the table cannot have: a level it never has, a fraction among whole numbers, a negative
  number where it has none, a hole in a column without.
- Holes: the largest difference between the samples' and the test rows' share of holes in a column.
"""

import warnings

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import f1_score, r2_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mixed_sets

TRANSPORT_ROWS, TRANSPORT_TURNS = 1200, 3
COVERAGE_ROWS = 2000
TRAINING_ROWS = 20000
CLASSIFIER_ROWS = 5000
FAR = 1e12


class Scale:
    """The coordinates in which distances are taken, from the training rows."""

    def __init__(self, columns, train):
        self.columns = columns
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            self.low, self.mean, self.high = np.nanmin(train, 0), np.nanmean(train, 0), np.nanmax(train, 0)

    def apply(self, rows, halve=2.0):
        parts = []
        for j, column in enumerate(self.columns):
            values, hole = rows[:, j], np.isnan(rows[:, j])
            if column.kind == "category":
                one_hot = [values == level for level in (*range(len(column.levels)), mixed_sets.UNKNOWN)] + [hole]
                parts += [part / halve for part in one_hot]
                continue
            span = max(self.high[j] - self.low[j], 1e-300)
            parts.append((np.where(hole, self.mean[j], values) - self.low[j]) / span)
            if column.holes:
                parts.append(hole.astype(float))
        return np.column_stack(parts)


def wasserstein(test, samples, seed=0):
    rng = np.random.default_rng(seed)
    count = min(len(test), len(samples), TRANSPORT_ROWS)
    costs = []
    for _ in range(TRANSPORT_TURNS):
        cost = cdist(pick(rng, test, count), pick(rng, samples, count), "cityblock")
        costs.append(cost[linear_sum_assignment(cost)].mean())
    return float(np.mean(costs))


def pick(rng, rows, count):
    return rows[rng.permutation(len(rows))[:count]]


def coverage(test, samples, seed=0):
    rng = np.random.default_rng(seed)
    count = min(len(test), len(samples), COVERAGE_ROWS)
    test, samples = pick(rng, test, count), pick(rng, samples, count)
    # The first neighbour of a row is itself.
    neighbours = np.sort(cdist(test, test, "cityblock"), axis=1)
    k = 1
    while k < count - 2 and (neighbours[:, k] > 0).mean() < 0.95:
        k += 1
    return float((cdist(test, samples, "cityblock").min(1) < neighbours[:, k + 1]).mean())


def copies(train, test, samples, seed=0):
    rng = np.random.default_rng(seed)
    train = pick(rng, train, TRAINING_ROWS)
    drawn, new = (np.sort(cdist(pick(rng, rows, COVERAGE_ROWS), train, "cityblock").min(1)) for rows in (samples, test))
    return float(1 - (np.searchsorted(new, drawn, "left") + np.searchsorted(new, drawn, "right")).mean() / 2 / len(new))


def c2st(columns, test, samples, seed=0):
    count = min(len(test), len(samples), CLASSIFIER_ROWS)
    rng = np.random.default_rng(seed)
    rows = np.concatenate((pick(rng, test, count), pick(rng, samples, count)))
    labels = np.repeat([0, 1], count)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    model = HistGradientBoostingClassifier(categorical_features=categorical(columns), random_state=seed)
    return float(cross_val_score(model, for_trees(columns, rows), labels, cv=folds).mean())


def categorical(columns):
    """Which columns the trees take as categories: as many levels as they can take."""
    return [column.kind == "category" and len(column.levels) < 250 for column in columns]


def for_trees(columns, rows):
    """An unknown level is one more level, as trees want no negative numbers."""
    rows = rows.copy()
    for j, column in enumerate(columns):
        if column.kind == "category":
            rows[rows[:, j] == mixed_sets.UNKNOWN, j] = len(column.levels)
    return np.clip(rows, -FAR, FAR)


def utility(columns, scale, target, logarithm, train, test, seed=0):
    """Mean over two models of F1 or R2 on `test`."""
    train, test = (rows[~np.isnan(rows[:, target]) & (rows[:, target] != mixed_sets.UNKNOWN)] for rows in (train, test))
    others = [j for j in range(len(columns)) if j != target]
    rest = [columns[j] for j in others]
    linear = Scale(rest, np.delete(scale.low, target)[None])
    linear.low, linear.mean, linear.high = (np.delete(part, target) for part in (scale.low, scale.mean, scale.high))
    answers = [rows[:, target] for rows in (train, test)]
    if logarithm:
        answers = [np.log1p(np.maximum(answer, 0)) for answer in answers]
    is_class = columns[target].kind == "category"
    if is_class and len(np.unique(answers[0])) < 2:
        return 0.0
    if is_class:
        models = LogisticRegression(max_iter=500), HistGradientBoostingClassifier
    else:
        models = LinearRegression(), HistGradientBoostingRegressor
    trees = models[1](categorical_features=categorical(rest), random_state=seed)
    scores = []
    for model, view in (
        (make_pipeline(StandardScaler(), models[0]), lambda rows: linear.apply(rows[:, others])),
        (trees, lambda rows: for_trees(rest, rows[:, others])),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            guess = model.fit(view(train), answers[0]).predict(view(test))
        labels = np.unique(answers[1])
        scores.append(f1_score(answers[1], guess, labels=labels, average="macro") if is_class else r2_score(answers[1], guess))
    return float(np.mean(scores))


def invalid(columns, samples):
    return float(np.mean([invalid_cells(column, samples[:, j]).mean() for j, column in enumerate(columns)]))


def invalid_cells(column, values):
    hole = np.isnan(values)
    wrong = hole & (not column.holes)
    if column.kind == "category":
        return wrong | (~hole & ~np.isin(values, range(len(column.levels))))
    if column.kind == "whole":
        wrong |= ~hole & (values % 1 != 0)
    if column.positive:
        wrong |= values < 0
    return wrong | np.isinf(values)


def hole_gap(columns, test, samples):
    gaps = [abs(np.isnan(samples[:, j]).mean() - np.isnan(test[:, j]).mean()) for j, c in enumerate(columns) if c.holes]
    return float(max(gaps)) if gaps else None


def polish(columns, samples):
    """Whole numbers and codes rounded: a peer that does not round is judged by what is near. `invalid` sees what it wrote."""
    samples = samples.copy()
    for j, column in enumerate(columns):
        if column.kind == "whole":
            samples[:, j] = np.round(samples[:, j])
        elif column.kind == "category":
            known = samples[:, j] != mixed_sets.UNKNOWN
            samples[known, j] = np.clip(np.round(samples[known, j]), 0, len(column.levels) - 1)
    return np.clip(samples, -FAR, FAR)


def marginals(columns, test, samples):
    """Column by column: the W1 distance of scaled numbers or half the L1 distance of shares, to find where samples are off."""
    from scipy.stats import wasserstein_distance

    distances = {}
    for j, column in enumerate(columns):
        real, drawn = test[:, j], samples[:, j]
        if column.kind == "category":
            levels = np.unique(np.nan_to_num(np.concatenate((real, drawn)), nan=-1))
            shares = [np.array([(np.nan_to_num(part, nan=-1) == level).mean() for level in levels]) for part in (real, drawn)]
            distances[column.name] = float(np.abs(shares[0] - shares[1]).sum() / 2)
        else:
            real, drawn = real[~np.isnan(real)], drawn[~np.isnan(drawn)]
            span = max(real.max() - real.min(), 1e-300) if len(real) else 1.0
            distances[column.name] = float(wasserstein_distance(real, drawn) / span) if len(real) and len(drawn) else 1.0
    return distances


def all_measures(columns, scale, target, logarithm, parts, samples):
    """Every measure of samples, given the training and the test rows."""
    train, test = parts
    near = polish(columns, samples)
    real, drawn = scale.apply(test), scale.apply(near)
    return {
        "w1": wasserstein(real, drawn),
        "coverage": coverage(real, drawn),
        "copies": copies(scale.apply(train), real, drawn),
        "utility": utility(columns, scale, target, logarithm, near, test),
        "c2st": c2st(columns, test, near),
        "invalid": invalid(columns, samples),
        "holes": hole_gap(columns, test, samples),
        "marginals": marginals(columns, test, near),
    }
