"""The likelihood of an adversarial random forest, in the measure in which diffeo gives one. arfpy fits densities and has no
call to score rows.

ARF's density is, averaged over the trees, the share of training rows in the row's leaf times a product over the columns: a
level's share of the leaf, or a normal of the leaf's mean and deviation cut off at its box. Two densities can be compared only
in one measure, and `measure.json` says which diffeo took: for a column the values that have a probability (`masses`: point
masses and included bounds), and the step of whose multiples each has a probability. So a column's part in a leaf is here

    a hole or a mass v     the share of the leaf's rows that have it
    a multiple x of step s (share of the rest) x the cut normal's probability of [x - s/2, x + s/2]
    another number x       (share of the rest) x the cut normal's density at x

as R's arf does for holes (it keeps each leaf's share of them). It too is where the deviation of a leaf of one value comes from:
the box has 95 % of a normal's probability, and n rows of one value shrink that by sqrt(2 / n); arfpy leaves it 0, which is no
density.

A row outside the box of every tree's leaf, or with a level that its leaves have not, has density 0: such rows are counted, not
averaged.
"""

import numpy as np
import pandas as pd
from scipy.special import ndtr
from scipy.stats import norm


def log_density(model, columns, measure, frame, train, test):
    """Log-likelihoods of `test`; `frame` makes of a matrix what the model was fitted to."""
    names = list(frame(train[:1]))
    views = [codes(frame(rows)) for rows in (train, test)]
    leaves = [model.clf.apply(view) for view in views]
    total = np.zeros(len(test))
    for tree in range(model.num_trees):
        box = boxes(model, tree, names, model.clf.estimators_[tree].tree_.node_count)
        total += tree_density(columns, measure, names, box, train, test, leaves[0][:, tree], leaves[1][:, tree])
    with np.errstate(divide="ignore"):
        return np.log(total / model.num_trees)


def codes(table):
    return table.apply(lambda part: part.cat.codes if isinstance(part.dtype, pd.CategoricalDtype) else part)


def boxes(model, tree, names, nodes):
    """Lower and upper bounds of each leaf, as arrays by node and column."""
    found = model.bnds[model.bnds["tree"] == tree]
    place = found["variable"].map({name: j for j, name in enumerate(names)}).to_numpy()
    low, high = np.full((nodes, len(names)), -np.inf), np.full((nodes, len(names)), np.inf)
    low[found["nodeid"], place], high[found["nodeid"], place] = found["min"], found["max"]
    return low, high


def tree_density(columns, measure, names, box, train, test, leaf, test_leaf):
    nodes = len(box[0])
    count = np.bincount(leaf, minlength=nodes).astype(float)
    # As forde does, a leaf of one row has no weight.
    density = np.where(count > 1, count, 0)[test_leaf] / len(train)
    for j, column in enumerate(columns):
        real, new = train[:, j], test[:, j]
        if column.kind == "category":
            density *= shares(real, new, leaf, test_leaf, count)
            continue
        atoms = measure[column.name]["masses"]
        is_atom, new_atom = (np.isnan(part) | np.isin(part, atoms) for part in (real, new))
        part = np.zeros(len(test))
        part[new_atom] = shares(real, new[new_atom], leaf, test_leaf[new_atom], count)
        rest = np.bincount(leaf[~is_atom], minlength=nodes)
        sides = [bound[:, names.index(column.name)] for bound in box]
        step = measure[column.name]["step"]
        fitted = normals(real[~is_atom], leaf[~is_atom], rest, sides, step)
        where = test_leaf[~new_atom]
        inside = cut_normal(new[~new_atom], *(values[where] for values in fitted), step)
        part[~new_atom] = rest[where] / np.maximum(count[where], 1) * inside
        density *= part
    return density


def shares(real, new, leaf, test_leaf, count):
    """The share of a leaf's training rows that have the very value of the new row; NaN equals NaN."""
    values, places = np.unique(np.nan_to_num(real, nan=np.inf), return_inverse=True)
    table = np.zeros((len(count), len(values)))
    np.add.at(table, (leaf, places), 1)
    wanted = np.nan_to_num(new, nan=np.inf)
    found = np.clip(np.searchsorted(values, wanted), 0, len(values) - 1)
    known = values[found] == wanted
    return np.where(known, table[test_leaf, found] / np.maximum(count[test_leaf], 1), 0)


def normals(values, leaf, rest, sides, step):
    """Mean, deviation and box of each leaf's normal, with R's rule where the deviation is 0."""
    n = np.maximum(rest, 1)
    mean = np.bincount(leaf, values, len(rest)) / n
    squares = np.bincount(leaf, (values - mean[leaf]) ** 2, len(rest))
    deviation = np.sqrt(squares / np.maximum(n - 1, 1))
    low, high = sides
    if step:
        # A cut between two multiples, wherever it is, is one between their cells.
        low, high = ((np.floor(side / step) + 0.5) * step for side in (low, high))
    if len(values):
        width = np.minimum(high, values.max()) - np.maximum(low, values.min())
        prior = np.sqrt(2 / n) * np.maximum(width, 1e-12) / 2 / norm.ppf(0.975)
        deviation = np.where(deviation > 1e-12 * np.maximum(np.abs(mean), 1), deviation, prior)
    return mean, np.maximum(deviation, 1e-300), low, high


def cut_normal(x, mean, deviation, low, high, step):
    z = lambda value: (value - mean) / deviation
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mass = between(z(low), z(high))
        if step:
            value = between(z(np.maximum(x - step / 2, low)), z(np.minimum(x + step / 2, high))) / mass
        else:
            value = np.exp(-0.5 * z(x) ** 2) / np.sqrt(2 * np.pi) / deviation / mass
    return np.where((x >= low) & (x <= high) & (mass > 0), value, 0)


def between(a, b):
    """The normal's probability of an interval, without loss in the upper tail."""
    flip = a > 0
    return np.where(flip, ndtr(-a) - ndtr(-b), ndtr(b) - ndtr(a))
