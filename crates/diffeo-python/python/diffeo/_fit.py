"""`diffeo.fit`: a table in, a model out."""

import os
import warnings
from collections.abc import Mapping

from . import _native, _progress
from ._errors import ConfigError, DiffeoWarning


def fit(
    data,
    *,
    model=None,
    columns=None,
    context=None,
    exclude=(),
    weight=None,
    valid=None,
    missing="refuse",
    drop_constant=False,
    dequantize=(),
    any_subset=False,
    transforms=None,
    hidden=None,
    bins=None,
    bound=None,
    residual=None,
    base=None,
    order=None,
    precision=None,
    embed=None,
    loss=None,
    epochs=None,
    steps=None,
    batch=None,
    lr=None,
    weight_decay=None,
    clip_norm=None,
    warmup=None,
    average=None,
    patience=None,
    max_time=None,
    seed=None,
    threads=None,
    checkpoint=None,
    resume=False,
    allow_changed=(),
    progress=None,
) -> _native.Model:
    """Fit a normalizing flow to a table.

    The parameters are the options of ``diffeo fit``, by the same names, and a fit of the same data with the same seed gives the same weights.

    Parameters
    ----------
    data
        An array, a data frame (pandas, polars), anything with Arrow's C stream interface, a mapping of names to columns, or the path of a
        file (CSV, Parquet, Arrow, npy). The columns of an array are called x1, x2, ...
    model
        A named model: "nsf" (default), "maf", "nsf-coupling", "realnvp", ...
    columns
        The columns to model, in the order of the dimensions: names, or a mapping of names to kinds ("positive", "integer", "[0, 1]",
        "positive+{0}", None for a choice by the data). By default all that have no other part.
    context
        The columns that the density is conditional on, given alike.
    exclude
        Columns to leave out.
    weight
        How much each row counts: the name of a column, or an array.
    valid
        Rows that decide when to stop: a share of the rows (default 0.1; 0 for none), or a table of its own.
    missing
        "refuse" missing values, "drop" their rows, or "model" them as outcomes.
    drop_constant, dequantize, any_subset
        Leave out columns of one value; columns whose whole numbers get no probabilities of their own; learn any columns given any others.
    transforms, hidden, bins, bound, residual, base, order, precision, embed
        The shape of the model: layers, widths of the networks, pieces of the scalar maps, half-width of the box of splines, residual
        networks, base distribution ("normal", "student-t", ...), order of the columns, "f32" or "f64", width of what is seen of the context.
    loss, epochs, steps, batch, lr, weight_decay, clip_norm, warmup, average, patience
        How to train; what is not given follows from the rows.
    max_time
        Seconds; the rate falls by then.
    seed, threads
        The seed of everything random (drawn if None); the result does not depend on the threads.
    checkpoint, resume, allow_changed
        A file that all is kept in once a minute and when the fit is stopped; go on from it, to the same bits as if it had never
        stopped; what may differ then ("lr", "epochs").
    progress
        True, False, None (if a terminal or a notebook watches), or a function that is called with a dictionary now and then.

    Returns
    -------
    Model
        With the weights that were best on the held-out rows. Ctrl-C ends a fit early, with a warning.
    """
    settings = dict(locals())
    for name in ("data", "valid", "progress"):
        del settings[name]
    weights, settings["weight"] = _weights(weight)
    settings["valid_share"], table = _valid(valid)
    for name in ("columns", "context"):
        settings[name] = _asked(settings[name], name)
    for name in ("exclude", "dequantize", "allow_changed"):
        settings[name] = _names(settings[name], name)
    settings["hidden"] = None if hidden is None else list(hidden)
    report = progress if callable(progress) else (_progress.Line() if _progress.wanted(progress) else None)
    fitted, reason = _native.fit(data, settings, weights=weights, valid=table, report=report, warn=_warn)
    if reason == "interrupted":
        _warn("interrupted: the best weights so far were kept")
    if reason == "diverged":
        _warn("training diverged: the weights of the best step were kept; try a lower lr")
    return fitted


def _warn(text):
    warnings.warn(text, DiffeoWarning, stacklevel=4)


def _asked(columns, role):
    """Names and kinds, in order."""
    if columns is None:
        return []
    if isinstance(columns, str):
        return [(columns, None)]
    if isinstance(columns, Mapping):
        return [(str(name), None if kind is None else str(kind)) for name, kind in columns.items()]
    return [(name, None) for name in _names(columns, role)]


def _names(names, role):
    if isinstance(names, str):
        return [names]
    names = list(names)
    for name in names:
        if not isinstance(name, str):
            raise ConfigError(f"{role}: expected names of columns, found {name!r}")
    return names


def _weights(weight):
    """An array of weights, or the name of the column that holds them."""
    if weight is None or isinstance(weight, str):
        return None, weight
    from ._tables import vector

    return vector(weight), None


def _valid(valid):
    """A share of the rows, or a table."""
    if valid is None or (isinstance(valid, (int, float)) and not isinstance(valid, bool)):
        return (None if valid is None else float(valid)), None
    if isinstance(valid, (str, os.PathLike)):
        valid = os.fspath(valid)
    return None, valid
