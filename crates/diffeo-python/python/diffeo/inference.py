"""Densities that are known up to a constant: flows fitted to them, weighted draws, and a verdict on both.

    def target(x):                              # rows of numbers
        return -0.5 * (x**2).sum(1), -x         # ln p up to a constant, and its gradient

    fitted = diffeo.inference.fit(target, {"mu": "real", "tau": "positive"}, seed=0)
    draws = fitted.draw(10_000)
    draws["tau"], draws.mean("tau"), draws.log_evidence, draws.verdict

`torch_target` and `jax_target` take the gradient of a function of either. `Weights` judges importance weights of your own.
"""

import numbers
from collections.abc import Mapping

import numpy as np

from . import _native, _progress
from ._errors import ConfigError
from ._native import Weights

__all__ = ["Draws", "Fitted", "Weights", "fit", "jax_target", "torch_target"]


def fit(
    target,
    domains,
    *,
    model=None,
    transforms=4,
    hidden=(32, 32),
    base="student-t:10",
    at_mode=True,
    alpha=0.0,
    annealed=0.0,
    steps=1500,
    draws=256,
    lr=None,
    seed=0,
    progress=None,
):
    """Fit a flow to an unnormalised density.

    Parameters
    ----------
    target
        A function of an array of points `(n, d)` that gives `ln p` of each up to a constant, `(n,)`, and the gradients, `(n, d)`.
    domains
        What the numbers of a point are: how many (any real numbers), or a mapping of names to domains. A domain is "real", "positive", "[0, 1]"
        (an interval), "simplex", "ordered" or "correlation" (the Cholesky factor of a correlation matrix, row after row), or a pair of that and how
        many numbers a value has (of a correlation: the side of the matrix).
    model, transforms, hidden, base
        The flow: "nsf-coupling" with heavy tails by default.
    at_mode
        Look for the mode first, and fit about it in the units of the curvature there.
    alpha, annealed, steps, draws, lr, seed
        The divergence (0 is the reverse Kullback-Leibler divergence, 1 the forward one, 2 the variance of weights), the share of the steps in which the target is
        annealed from a normal, steps, draws in a step, the rate, the seed.
    progress
        True, False, None (if a terminal or a notebook watches), or a function of step and loss.
    """
    settings = dict(locals())
    for name in ("target", "domains", "progress"):
        del settings[name]
    settings["hidden"] = list(hidden)
    named, report = _domains(domains), _progress.reporter(progress, steps)
    native = _native.fit_target(target, [domain for _, domain in named], settings, report)
    return Fitted(native, [(name, _size(domain)) for name, domain in named])


class Fitted:
    """A flow that was fitted to a density."""

    def __init__(self, native, names):
        self._native, self._names = native, names

    def __repr__(self):
        return f"<diffeo.inference.Fitted of {', '.join(name for name, _ in self._names)}>"

    def draw(self, n, *, seed=1):
        """Draws of the flow, weighted so that they stand for the target."""
        rows, weights = self._native.draw(n, seed)
        return Draws(rows, weights, self._names)


class Draws:
    """Weighted draws: `draws["tau"]` are values by name, `draws.x` all numbers, `draws.weights` how much each counts."""

    def __init__(self, x, weights, names):
        self.x, self.weights, self._names = x, weights, names

    def __len__(self):
        return len(self.x)

    def __getitem__(self, name):
        at = 0
        for other, size in self._names:
            if other == name:
                found = self.x[:, at : at + size]
                return found[:, 0] if size == 1 else found
            at += size
        raise KeyError(name)

    def __iter__(self):
        return iter(self.names)

    def __contains__(self, name):
        return name in self.names

    @property
    def names(self):
        return [name for name, _ in self._names]

    def mean(self, of):
        """The mean under the target of a number by name, or of the values of a function at the draws, and its standard error."""
        return self.weights.mean(self[of] if isinstance(of, str) else of)

    @property
    def log_evidence(self):
        """The logarithm of the integral of the target, and its standard error."""
        return self.weights.log_mean

    @property
    def verdict(self):
        """How far means and evidence can be relied on, and what to do if not."""
        return self.weights.verdict

    def resampled(self, n, *, seed=0):
        """`n` draws that count alike."""
        return self.x[self.weights.resample(n, seed)]

    def __repr__(self):
        return f"<diffeo.inference.Draws of {', '.join(self.names)}: {self.verdict}>"


def torch_target(log_density):
    """A target by a function of torch: rows `(n, d)` in double precision to `ln p` of each."""
    import torch

    def target(x):
        rows = torch.from_numpy(np.asarray(x)).requires_grad_()
        values = log_density(rows)
        (gradients,) = torch.autograd.grad(values.sum(), rows)
        return values.detach().numpy(), gradients.numpy()

    return target


def jax_target(log_density):
    """A target by a function of JAX: one point `(d,)` to `ln p`. In single precision unless JAX was told otherwise (`jax_enable_x64`)."""
    import jax

    both = jax.jit(jax.vmap(jax.value_and_grad(log_density)))
    return lambda x: both(x)


def _domains(domains):
    if isinstance(domains, numbers.Integral):
        domains = {"x": ("real", domains)}
    if not isinstance(domains, Mapping) or not domains:
        raise ConfigError(f"domains: expected how many numbers a point has, or a mapping of names to domains, found {domains!r}")
    return [(str(name), _domain(name, domain)) for name, domain in domains.items()]


def _domain(name, domain):
    kind, size = domain if isinstance(domain, (tuple, list)) and len(domain) == 2 else (domain, 1)
    if not isinstance(kind, str) or not isinstance(size, numbers.Integral) or size < 1:
        raise ConfigError(
            f'{name}: expected a domain such as "positive", or one and how many numbers as in ("real", 8), found {domain!r}'
        )
    kind = kind.strip()
    if kind.startswith("[") and kind.endswith("]"):
        try:
            low, high = (float(end) for end in kind[1:-1].split(","))
        except ValueError:
            raise ConfigError(f"{name}: expected an interval such as [0, 1], found {kind}") from None
        return "interval", int(size), (low, high)
    return kind, int(size), None


def _size(domain):
    kind, size, _ = domain
    return size * size if kind == "correlation" else size
