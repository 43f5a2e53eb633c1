"""`diffeo.reweight`: what was observed in one population, said of another."""

from typing import NamedTuple

from . import _native, _progress
from ._errors import ConfigError
from ._fit import _asked, warn


class Average(NamedTuple):
    """An average of the outcome in the other population, and its 95% interval."""

    mean: float
    standard_error: float
    low: float
    high: float


def reweight(
    source,
    target,
    *,
    outcome=None,
    columns=None,
    folds=5,
    relative=0.0,
    model=None,
    epochs=None,
    steps=None,
    seed=None,
    threads=None,
    progress=None,
):
    """Weigh the rows of one population so that they stand for another.

    One flow, conditional on the population, is fitted to the rows of both, once for each fold, so that no row is weighed by a flow that has seen it.

    Parameters
    ----------
    source, target
        Rows of both populations: data frames, arrays, mappings or files, with columns in common.
    outcome
        The column of `source` whose average in the other population is asked for.
    columns
        The columns to compare, some with their kind, as for `diffeo.fit`; by default all that both have.
    folds, relative, model, epochs, steps, seed, threads
        Parts of the rows; the share of the relative ratio `p2 / (share p2 + (1 - share) p1)`, which bounds weights by 1 / share; the model and its training.

    Returns
    -------
    Reweighted
        `weights` of the rows of `source` with a verdict, `averages` of the outcome by several estimators, `log_ratio` of other rows.
    """
    settings = dict(locals())
    source, target = (_native.Table(settings.pop(name)) for name in ("source", "target"))
    if outcome is not None and outcome not in source:
        raise ConfigError(f"outcome: the first table has no column {outcome!r}")
    asked = _asked(columns, "columns") or [(name, None) for name in source.columns if name in target and name != outcome]
    settings["columns"] = asked
    report = _progress.reporter(settings.pop("progress"), folds, lambda fold, step, loss: (fold, loss))
    left = [name for name in (*source.columns, *target.columns) if name != outcome and name not in dict(asked)]
    if columns is None and left:
        warn(f"left out, as they are not in both tables: {', '.join(left)}")
    return Reweighted(_native.reweight(source, target, settings, report, warn))


class Reweighted:
    """The ratio of two populations, as weights of the rows of the first."""

    def __init__(self, native):
        self._native = native
        self.weights = native.weights
        self.averages = {by: Average(*numbers) for by, *numbers in native.averages}

    def log_ratio(self, data):
        """`ln p2(x) / p1(x)` at other rows."""
        return self._native.log_ratio(data)

    @property
    def log_ratios(self):
        """The same at the rows of both tables, each by flows that have not seen it."""
        return self._native.log_ratios

    @property
    def average(self):
        """The average of the outcome that is to be preferred: by weights and regression, which is right if either is."""
        if not self.averages:
            raise ConfigError("there is no average: give reweight the outcome, a column of the first table")
        return self.averages["weights and regression"]

    @property
    def columns(self):
        return self._native.columns

    @property
    def slope(self):
        """1 where the flows' ratios can be taken as they are, near 0 where they are noise: of two samples of one population."""
        return self._native.slope

    @property
    def verdict(self):
        """How far the weights can be relied on, and what to do if not."""
        return self._native.verdict

    @property
    def is_good(self):
        """Whether they can be."""
        return self._native.is_good

    @property
    def unseen(self):
        """The share of the second population's rows that lie where the first has next to none."""
        return self._native.unseen

    @property
    def classifier(self):
        """The same of the weights of a classifier of the two populations."""
        return self._native.classifier

    def __repr__(self):
        return f"<diffeo.Reweighted by {', '.join(self.columns)}: {self.verdict}>"
