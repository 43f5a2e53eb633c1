"""Densities in the manners of scikit-learn: fit, score_samples, sample, in pipelines and grid searches.

A fitted estimator holds a `diffeo.Model` as `model_`; it is pickled as the bytes of the model's file.
"""

import inspect
from collections.abc import Mapping
from numbers import Real

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, DensityMixin, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from . import _tables
from ._errors import ConfigError, DataError
from ._fit import fit as _fit
from ._fit import run
from ._native import Table

_SHARED = """
    model : str, default=None
        A named model: "nsf" (default), "maf", "nsf-coupling", "realnvp", ...
    transforms, hidden, bins, base : default=None
        Layers, widths of the networks, pieces of the scalar maps, base distribution.
    epochs, steps, batch, lr, patience, max_time : default=None
        How to train; what is None follows from the rows. `max_time` is in seconds.
    valid : float, default=None
        The share of the rows that decides when to stop; None for a tenth, 0 for none.
    missing : {"refuse", "drop", "model"}, default="refuse"
        What to do with missing values; "model" takes them as outcomes with probabilities of their own.
    options : dict, default=None
        Further parameters of `diffeo.fit`, such as `columns` or `weight_decay`.
    n_jobs : int, default=None
        Threads; None or -1 for one a core. The results do not depend on it.
    random_state : int, RandomState or None, default=None
        The seed of the fit.
    verbose : bool, default=False
        Whether to show how far a fit is.
"""


class _Flow(BaseEstimator):
    """What the estimators share: parameters, checks of the input, and the fit."""

    def __init__(
        self,
        model=None,
        *,
        transforms=None,
        hidden=None,
        bins=None,
        base=None,
        epochs=None,
        steps=None,
        batch=None,
        lr=None,
        patience=None,
        max_time=None,
        valid=None,
        missing="refuse",
        options=None,
        n_jobs=None,
        random_state=None,
        verbose=False,
    ):
        self.model = model
        self.transforms = transforms
        self.hidden = hidden
        self.bins = bins
        self.base = base
        self.epochs = epochs
        self.steps = steps
        self.batch = batch
        self.lr = lr
        self.patience = patience
        self.max_time = max_time
        self.valid = valid
        self.missing = missing
        self.options = options
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing != "refuse"
        tags.input_tags.string = True
        return tags

    def _settings(self):
        """The parameters of `diffeo.fit`."""
        names = ("model", "transforms", "hidden", "bins", "base", "epochs", "steps", "batch", "lr", "patience", "max_time")
        settings = {name: getattr(self, name) for name in names}
        if not isinstance(self.options or {}, Mapping):
            raise ConfigError(f"options: expected a dictionary of parameters of diffeo.fit, found {self.options!r}")
        more = dict(self.options or {})
        unknown = sorted(set(more) - set(_DEFAULTS) - {"progress"} | set(more) & _OWN)
        if unknown:
            raise ConfigError(
                f"options: {', '.join(unknown)} cannot be given here; expected parameters of diffeo.fit that the estimator has not itself"
            )
        doubled = sorted(name for name in more if settings.get(name) is not None)
        if doubled:
            raise ConfigError(f"options: {', '.join(doubled)} is a parameter of its own; give it once")
        settings.update(valid=self.valid, missing=self.missing, seed=_seed(self.random_state), threads=self._threads())
        settings.update({"progress": self.verbose, **more})
        return settings

    def _threads(self):
        return None if self.n_jobs is None else effective_n_jobs(self.n_jobs)

    def _table(self, X, *, reset):
        """The rows as the native part takes them: data frames as they are, anything else as an array of numbers."""
        if _tables.has_names(X):
            columns = X if _tables.is_pandas(X) else _Named(Table(X))
            validate_data(self, columns, reset=reset, skip_check_array=True)
            return X
        if isinstance(X, np.ma.MaskedArray):
            X = X.astype(float).filled(np.nan)
        finite = "allow-nan" if self.missing != "refuse" else True
        few = 2 if reset else 1
        return validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite=finite, ensure_min_samples=few)

    def _fit_density(self, table, sample_weight, n_rows, **roles):
        settings = self._settings()
        if sample_weight is not None:
            settings["weight"] = _check_sample_weight(sample_weight, np.empty((n_rows, 1)), ensure_non_negative=True)
        doubled = sorted(set(roles) & set(self.options or {}))
        if doubled:
            raise ConfigError(f"options: {', '.join(doubled)} is told by X and y here; leave it out")
        settings = {**_DEFAULTS, **settings, **roles}
        valid, progress, communicator = (settings.pop(name) for name in ("valid", "progress", "communicator"))
        self.model_, reason = run(table, valid, progress, settings, communicator)
        if reason == "interrupted":
            # The best so far is kept; whoever searches or validates across fits is stopped.
            raise KeyboardInterrupt
        return self


# From so many rows on, those that are unlike the others can be told.
_ROWS_TO_TRIM = 40

# What the estimators say themselves.
_OWN = {"context", "weight", "seed", "threads", "valid", "missing"}
_DEFAULTS = {name: value.default for name, value in inspect.signature(_fit).parameters.items() if name != "data"}


class _Named:
    """The names and the size of a table, for whoever asks a data frame for them."""

    def __init__(self, table):
        self.columns = np.array(table.columns, dtype=object)
        self.shape = (len(table), len(table.columns))

    def __len__(self):
        return self.shape[0]

    def __array__(self, dtype=None, copy=None):
        return np.empty(self.shape, dtype=dtype)


def _seed(random_state):
    """A whole number as it is, so that it means the same as on the command line."""
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _mean(log_prob, missing):
    """Rows that a fit would drop do not count."""
    return float(np.nanmean(log_prob) if missing == "drop" else np.mean(log_prob))


def _n_rows(table):
    return table.shape[0] if hasattr(table, "shape") else len(Table(table))


def _like(table, example):
    """Rows in the kind of table that the fit was given."""
    if example == "pandas":
        return table.to_pandas()
    if example == "polars":
        return table.to_polars()
    return table.numpy() if example == "array" else table


def _kind(X):
    if _tables.is_pandas(X):
        return "pandas"
    if type(X).__module__.partition(".")[0] == "polars":
        return "polars"
    return "table" if _tables.has_names(X) else "array"


class Density(DensityMixin, _Flow):
    __doc__ = f"""The density of rows, by a normalizing flow.

    Parameters
    ----------{_SHARED}
    Attributes
    ----------
    model_ : diffeo.Model
        The fitted model.
    n_features_in_ : int
    feature_names_in_ : ndarray, where the input has names

    Examples
    --------
    >>> import numpy as np, diffeo
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> density = diffeo.Density(steps=50, random_state=0).fit(X)
    >>> density.score_samples(X).shape
    (500,)
    """

    def fit(self, X, y=None, sample_weight=None):
        """Learn the density of rows of numbers, or of a data frame with any columns; `y` is not used."""
        X = self._table(X, reset=True)
        self._kind = _kind(X)
        n_rows = _n_rows(X)
        return self._fit_density(X, sample_weight, n_rows, **self._roles(n_rows))

    def _roles(self, n_rows):
        """Further parameters of `diffeo.fit`, for so many rows."""
        return {}

    def score_samples(self, X):
        """The log-density of each row, in nats, in the units of the data."""
        check_is_fitted(self)
        return self.model_.log_prob(self._table(X, reset=False), threads=self._threads())

    def score(self, X, y=None):
        """The mean log-density of the rows: it does not depend on how many there are."""
        return _mean(self.score_samples(X), self.missing)

    def sample(self, n_samples=1, random_state=None):
        """Draw rows, in the kind of table that the fit was given."""
        check_is_fitted(self)
        table = self.model_.sample(n_samples, seed=_seed(random_state), threads=self._threads())
        return _like(table, self._kind)


class OutlierDetector(OutlierMixin, Density):
    __doc__ = f"""Rows that are less likely than almost all of the training.

    Parameters
    ----------
    contamination : float, default=0.01
        The share of the rows of the fit that lies below the threshold.
    trim : float, None or "auto", default="auto"
        The share of the rows that the density is not learned from: those that are least like the others, as `diffeo.fit` finds them, so that outliers among the rows of the
        fit are not learned. "auto" is a half, of 20 rows or more; None learns from all, which suits rows that are known to be without outliers.{_SHARED}
    Attributes
    ----------
    offset_ : float
        The log-density that is the threshold.
    """

    def __init__(
        self,
        model=None,
        *,
        contamination=0.01,
        trim="auto",
        transforms=None,
        hidden=None,
        bins=None,
        base=None,
        epochs=None,
        steps=None,
        batch=None,
        lr=None,
        patience=None,
        max_time=None,
        valid=None,
        missing="refuse",
        options=None,
        n_jobs=None,
        random_state=None,
        verbose=False,
    ):
        super().__init__(
            model,
            transforms=transforms,
            hidden=hidden,
            bins=bins,
            base=base,
            epochs=epochs,
            steps=steps,
            batch=batch,
            lr=lr,
            patience=patience,
            max_time=max_time,
            valid=valid,
            missing=missing,
            options=options,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.contamination = contamination
        self.trim = trim

    def fit(self, X, y=None, sample_weight=None):
        """Learn the density, and the threshold from the same rows."""
        if not (isinstance(self.contamination, Real) and 0 < self.contamination <= 0.5):
            raise ConfigError(f"contamination: expected a share above 0 and at most 0.5, found {self.contamination!r}")
        if not (self.trim in (None, "auto") or isinstance(self.trim, Real)):
            raise ConfigError(f'trim: expected a share above 0 and at most 0.5, "auto" or None, found {self.trim!r}')
        super().fit(X, y, sample_weight)
        # Next to a row of no density at all, a threshold between two rows would be no number.
        scores = np.maximum(self.score_samples(X), np.finfo(float).min)
        self.offset_ = float(np.nanpercentile(scores, 100 * self.contamination))
        return self

    def _roles(self, n_rows):
        share = None if n_rows < _ROWS_TO_TRIM else 0.5
        return {"trim": share if self.trim == "auto" else self.trim}

    def decision_function(self, X):
        """How far the log-density lies above the threshold: negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """-1 for outliers, and for rows that have no density, 1 for the others."""
        return np.where(self.decision_function(X) >= 0, 1, -1)


class ConditionalDensity(_Flow):
    __doc__ = f"""The density of y given X, by a conditional normalizing flow.

    Parameters
    ----------
    draws : int, default=256
        How many draws for each row `predict` averages, and `quantiles` are taken of.{_SHARED}
    Attributes
    ----------
    model_ : diffeo.Model
        The fitted model, whose context are the columns of X.
    """

    def __init__(
        self,
        model=None,
        *,
        draws=256,
        transforms=None,
        hidden=None,
        bins=None,
        base=None,
        epochs=None,
        steps=None,
        batch=None,
        lr=None,
        patience=None,
        max_time=None,
        valid=None,
        missing="refuse",
        options=None,
        n_jobs=None,
        random_state=None,
        verbose=False,
    ):
        super().__init__(
            model,
            transforms=transforms,
            hidden=hidden,
            bins=bins,
            base=base,
            epochs=epochs,
            steps=steps,
            batch=batch,
            lr=lr,
            patience=patience,
            max_time=max_time,
            valid=valid,
            missing=missing,
            options=options,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.draws = draws

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def fit(self, X, y, sample_weight=None):
        """Learn the density of `y`, of one column or several, given the rows of `X`."""
        if y is None:
            raise ValueError("ConditionalDensity requires y to be passed, but the target y is None.")
        X = self._table(X, reset=True)
        given = Table(X)
        targets = _targets(y, given.columns)
        targets.numpy()  # refuses what has no mean
        shape = getattr(y, "shape", None)
        self._is_flat = len(np.asarray(y).shape if shape is None else shape) == 1
        roles = {"context": given.columns, "columns": targets.columns}
        return self._fit_density(targets.beside(given), sample_weight, len(given), **roles)

    def log_prob(self, X, y):
        """The log-density of each row of `y` given that of `X`, in nats, in the units of `y`."""
        check_is_fitted(self)
        X = self._table(X, reset=False)
        return self.model_.log_prob(_targets(y, self.model_.context, self.model_.columns), X, threads=self._threads())

    def score(self, X, y):
        """The mean log-density."""
        return _mean(self.log_prob(X, y), self.missing)

    def sample(self, X, n_samples=1, random_state=None):
        """Draws of y for each row: of shape (rows, n_samples), or (rows, n_samples, columns) for several columns."""
        return self._draws(X, n_samples, seed=_seed(random_state))

    def _draws(self, X, n, **settings):
        check_is_fitted(self)
        X = self._table(X, reset=False)
        if n < 1:
            raise ConfigError(f"expected at least one draw for each row, found {n}")
        table = self.model_.sample(n, X, threads=self._threads(), **settings)
        drawn = table.numpy().reshape(_n_rows(X), n, len(table.columns))
        return drawn[:, :, 0] if self._is_flat else drawn

    def predict(self, X):
        """The mean of y given each row, by draws of the base that are the same for all rows."""
        return self._draws(X, self.draws, seed=0, common=True).mean(axis=1)

    def quantiles(self, X, shares=(0.05, 0.5, 0.95)):
        """Quantiles of y given each row, by the draws of `predict`: of shape (rows, shares), or (rows, shares, columns)."""
        drawn = self._draws(X, self.draws, seed=0, common=True)
        return np.moveaxis(np.quantile(drawn, np.atleast_1d(shares), axis=1), 0, 1)


def _targets(y, taken, names=None):
    """The targets as a table; without names they are called y, or y1, y2, ..., or as those of the fit."""
    if _tables.has_names(y):
        table = Table(y)
        both = sorted(set(table.columns) & set(taken))
        if both:
            raise DataError(f"columns of X and y are called alike: {', '.join(both)}")
        return table
    name = getattr(y, "name", None)
    y = np.asarray(y)
    width = 1 if y.ndim == 1 else y.shape[1]
    if names is None:
        usual = [name] if isinstance(name, str) and width == 1 else ["y"] if width == 1 else [f"y{i + 1}" for i in range(width)]
        names = [_tables.free_name(name, taken) for name in usual]
    if len(names) != width:
        raise DataError(f"expected targets of {len(names)} columns, found {width}")
    return Table({name: column for name, column in zip(names, y.reshape(len(y), -1).T, strict=True)})
