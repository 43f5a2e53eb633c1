"""Posteriors of simulators by neural posterior estimation, in the terms of the `sbi` package.

    inference = diffeo.sbi.NPE(low=[-1, -1], high=[1, 1])
    posterior = inference.append_simulations(theta, x).train(seed=0)
    posterior.sample((1000,), x=observed)
    posterior.log_prob(theta, x=observed)
    posterior.check(theta_held_out, x_held_out)
    proposal = posterior.restricted_prior(x=observed)     # for a second round, of this observation alone
    inference.append_simulations(theta := proposal.sample(1000), simulate(theta)).train(seed=0)

The density of the parameters given an observation is a conditional flow, fitted to pairs of both. Parameters of a bounded prior are
modelled within their bounds, so that nothing leaks out of them.
"""

import operator

import numpy as np

from . import _native, _tables
from ._errors import ConfigError, DataError
from ._fit import fit as _fit
from ._fit import warn
from ._portrait import CheckReport, check

__all__ = ["NPE", "Posterior", "RestrictedPrior"]

# Draws of a posterior by which the end of its region is known, as many again beyond it as tell it to a third.
_BEYOND, _DRAWS = 10, (10_000, 1_000_000)
# Draws of a prior in one piece, and how many may be in vain.
_PIECE, _TRIES = 100_000, 20_000_000


class NPE:
    """Neural posterior estimation.

    Parameters
    ----------
    prior
        A uniform prior over a box as `sbi` or torch has it (with `low` and `high`, itself or as `base_dist`); or give the bounds:
    low, high
        The bounds of each parameter; -inf and inf for none.
    names
        What the parameters are called; theta1, theta2, ... if nobody says.
    settings
        Parameters of `diffeo.fit`: the model, how to train, `embed` for observations of many numbers.
    """

    def __init__(self, prior=None, *, low=None, high=None, names=None, **settings):
        if prior is not None:
            low, high = _bounds(prior)
        # What is wrong with bounds is to be known before simulations are run.
        _kinds(low, high, max(np.size(low), np.size(high)))
        self._low, self._high, self._names, self._settings = low, high, names, settings
        self._theta, self._x = [], []

    def __repr__(self):
        return f"<diffeo.sbi.NPE with {sum(map(len, self._theta))} simulations>"

    def append_simulations(self, theta, x):
        """Add pairs: rows of parameters, and the observation that was simulated with each."""
        theta, x = _tables.matrix(theta), _tables.matrix(x)
        if len(theta) != len(x):
            raise DataError(f"expected an observation for each of {len(theta)} rows of parameters, found {len(x)}")
        for before, now, what in ((self._theta, theta, "parameters"), (self._x, x, "numbers of an observation")):
            if before and before[0].shape[1] != now.shape[1]:
                raise DataError(f"expected {before[0].shape[1]} {what} as before, found {now.shape[1]}")
        self._theta.append(theta)
        self._x.append(x)
        return self

    def train(self, **settings):
        """Fit the posterior of every observation, and give it."""
        if not self._theta:
            raise ConfigError("there are no simulations to learn from; append_simulations(theta, x) adds some")
        theta, x = np.vstack(self._theta), np.vstack(self._x)
        names = self._names or [f"theta{i + 1}" for i in range(theta.shape[1])]
        if len(names) != theta.shape[1]:
            raise ConfigError(f"expected a name for each of {theta.shape[1]} parameters, found {len(names)}")
        kinds = dict(zip(names, _kinds(self._low, self._high, theta.shape[1]), strict=True))
        observed = [f"x{i + 1}" for i in range(x.shape[1])]
        if np.isnan(x).all(axis=0).any():
            raise DataError("a number of the observations is missing in all of them; leave it out")
        # Numbers of an observation that never vary tell nothing.
        told = [name for name, column in zip(observed, x.T, strict=True) if (column != column[0]).any()]
        if len(told) < len(observed):
            warn(f"left out, the same in all observations: {', '.join(name for name in observed if name not in told)}")
        table = _native.Table(theta, list(names)).beside(_native.Table(x, observed))
        model = _fit(table, columns=kinds, context=told, **{**self._settings, **settings})
        return Posterior(model, observed, (self._low, self._high))


class Posterior:
    """The density of parameters given an observation. `model` is the `diffeo.Model`, which can be saved."""

    def __init__(self, model, observed=None, bounds=(None, None)):
        self.model = model
        self._observed = observed or model.context
        self._bounds = bounds
        self._default = None

    def set_default_x(self, x):
        """The observation that is meant where none is given."""
        self._default = self._observation(x)
        return self

    def sample(self, sample_shape=(), x=None, *, seed=None, threads=None):
        """Draws of the parameters given one observation, of shape `sample_shape + (parameters,)`."""
        shape = _shape(sample_shape)
        n = int(np.prod(shape, dtype=int))
        drawn = self.model.sample(n, self._given(x, 1), seed=seed, threads=threads)
        return drawn.numpy().reshape(*shape, len(self.model.columns))

    def log_prob(self, theta, x=None, *, threads=None):
        """The log-density of rows of parameters given one observation, or one for each; -inf outside of the prior."""
        theta = _tables.matrix(np.atleast_2d(theta))
        return self.model.log_prob(theta, self._given(x, len(theta)), threads=threads)

    def restricted_prior(self, x=None, *, mass=0.9999, seed=0, threads=None):
        """The prior within the region of highest density that holds this mass of the posterior of an observation: where simulations of a further round are worth their time.

        Within the region the prior is what it was, so that simulations of all rounds are fitted together, without weights; the posterior that is fitted is then one of this observation
        (Deistler, Goncalves, Macke 2022: truncated proposals).
        """
        return RestrictedPrior(self, x, mass=mass, seed=seed, threads=threads)

    def check(self, theta, x, *, samples=10_000, seed=0) -> CheckReport:
        """Calibration on pairs that had no part in the fit: ranks among draws, expected coverage, and the self-test of the model."""
        theta, x = _tables.matrix(theta), _tables.matrix(x)
        return check(self.model, theta, self._context(x), samples=samples, seed=seed)

    def _observation(self, x):
        x = np.asarray(x, dtype=np.float64)
        return _tables.matrix(x.reshape(1, -1) if x.ndim < 2 else x)

    def _given(self, x, rows):
        if x is None and self._default is None:
            raise ConfigError("expected an observation: give x, or set_default_x")
        x = self._default if x is None else self._observation(x)
        if len(x) == 1:
            x = np.repeat(x, rows, axis=0)
        if len(x) != rows:
            raise DataError(f"expected one observation, or one for each of {rows} rows, found {len(x)}")
        return self._context(x)

    def _context(self, x):
        if x.shape[1] != len(self._observed):
            raise DataError(f"expected observations of {len(self._observed)} numbers, found {x.shape[1]}")
        return {name: x[:, i] for i, name in enumerate(self._observed) if name in self.model.context}

    def __repr__(self):
        return f"<diffeo.sbi.Posterior of {', '.join(self.model.columns)}>"


class RestrictedPrior:
    """A prior within a region of a posterior; see `Posterior.restricted_prior`. `threshold` is the log-density at the region's end."""

    def __init__(self, posterior, x=None, *, mass=0.9999, seed=0, threads=None):
        if not 0 < mass < 1:
            raise ConfigError(f"mass: expected a share above 0 and below 1, found {mass}")
        draws = int(np.clip(_BEYOND / (1 - mass), *_DRAWS))
        self._posterior, self._x, self._threads = posterior, x, threads
        theta = posterior.sample((draws,), x, seed=seed, threads=threads)
        self.threshold = float(np.quantile(posterior.log_prob(theta, x, threads=threads), 1 - mass))
        self.acceptance_rate = None

    def within(self, theta):
        """Whether each row of parameters lies in the region, for priors of your own: keep what does."""
        return self._posterior.log_prob(theta, self._x, threads=self._threads) >= self.threshold

    def sample(self, sample_shape=(), *, seed=None):
        """Draws of the uniform prior that lie in the region, of shape `sample_shape + (parameters,)`."""
        shape = _shape(sample_shape)
        n, width = int(np.prod(shape, dtype=int)), len(self._posterior.model.columns)
        low, high = (np.broadcast_to(np.asarray(bound, dtype=float), width) for bound in self._box())
        rng, found, tried = np.random.default_rng(seed), np.empty((0, width)), 0
        while len(found) < n:
            if tried >= _TRIES:
                raise DataError(
                    f"{len(found)} of {tried} draws of the prior lie in the region, too few to go on; draw of the posterior instead, or give a larger mass"
                )
            theta = rng.uniform(low, high, (_PIECE, width))
            inside = theta[self.within(theta)]
            found, tried = np.vstack([found, inside]), tried + _PIECE
        self.acceptance_rate = len(found) / tried if tried else None
        return found[:n].reshape(*shape, width)

    def _box(self):
        low, high = self._posterior._bounds
        if low is None or high is None or not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise ConfigError("the prior is no box; draw of it yourself and keep what is `within`")
        return low, high

    def __repr__(self):
        return f"<diffeo.sbi.RestrictedPrior: where the log-density of the posterior is at least {self.threshold:.3g}>"


def _shape(sample_shape):
    """A number of draws, or the shape of an array of them."""
    shape = (operator.index(sample_shape),) if np.ndim(sample_shape) == 0 else tuple(map(operator.index, sample_shape))
    if any(n < 0 for n in shape):
        raise ConfigError(f"sample_shape: expected numbers of at least 0, found {sample_shape}")
    return shape


def _bounds(prior):
    for holder in (prior, getattr(prior, "base_dist", None)):
        if hasattr(holder, "low") and hasattr(holder, "high"):
            return np.asarray(holder.low, dtype=float), np.asarray(holder.high, dtype=float)
    raise ConfigError(
        f"expected a uniform prior over a box, found {type(prior).__name__}; for any other give the bounds of each parameter by low and high"
    )


def _kinds(low, high, n):
    """The kind of each parameter, as it is written for `columns` of a fit."""
    try:
        low = _each(-np.inf if low is None else low, n)
        high = _each(np.inf if high is None else high, n)
    except ValueError:
        raise ConfigError(f"expected bounds of {n} parameters, found {np.shape(low)} and {np.shape(high)}") from None
    if not (low < high).all():
        raise ConfigError(f"expected low < high for each parameter, found {low.tolist()} and {high.tolist()}")
    return [_kind(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def _each(bound, n):
    """A bound of each parameter: one number is that of all, a list has one for each."""
    bound = np.asarray(bound, dtype=float)
    if bound.ndim and bound.shape != (n,):
        raise ValueError
    return np.broadcast_to(bound, n)


def _kind(low, high):
    if np.isinf(low) and np.isinf(high):
        return "real"
    return f">{low}" if np.isinf(high) else f"<{high}" if np.isinf(low) else f"({low}, {high})"
