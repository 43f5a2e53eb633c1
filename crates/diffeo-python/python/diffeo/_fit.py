"""`diffeo.fit`: a table in, a model out."""

import json
import numbers
import operator
import os
import re
import sys
import warnings
from collections.abc import Iterable, Mapping

from . import _native, _progress
from ._errors import ConfigError, DataError, DiffeoWarning


def fit(
    data,
    *,
    start=None,
    model=None,
    columns=None,
    context=None,
    exclude=(),
    weight=None,
    valid=None,
    missing="refuse",
    trim=None,
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
    graph=None,
    frames=None,
    levels=None,
    noise=None,
    patch=None,
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
    context_dropout=None,
    contrast=None,
    max_time=None,
    seed=None,
    threads=None,
    checkpoint=None,
    resume=False,
    allow_changed=(),
    communicator=None,
    progress=None,
) -> _native.Model:
    """Fit a normalizing flow to a table, or to images.

    The parameters are the options of ``diffeo fit``, by the same names, and a fit of the same data with the same seed gives the same weights.

    Parameters
    ----------
    data
        An array, a data frame (pandas, polars), anything with Arrow's C stream interface, a mapping of names to columns, or the path of a
        file (CSV, Parquet, Arrow, npy). The columns of an array are called x1, x2, ... Images are arrays of whole numbers from 0 to 255, ``[n, height, width]`` or
        with one or three channels first or last, alone or as a column of a mapping or a data frame; or folders and files of them. Those of truth values have two levels.
    start
        A model, or its file, to begin from: its columns, units and layers stay as they are, so that none of these is given, and ``data`` is learned from there. A lower ``lr`` stays nearer to it.
    model
        A named model: "nsf" (default), "maf", "nsf-coupling", "realnvp", ..., of images "nsf-image", "glow", "tarflow", ...; "auto" takes the best of a few by short trials, a third of ``max_time``
        at most.
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
    trim
        The share of the rows to leave out first, at most 0.5: those that are least like the others, as flows of small random samples see them. For data with anomalies
        in it that are not to be learned.
    drop_constant, dequantize, any_subset
        Leave out columns of one value; columns whose whole numbers get no probabilities of their own; learn any columns given any others.
    transforms, hidden, bins, bound, residual, base, order, precision, embed
        The shape of the model: layers, widths of the networks, pieces of the scalar maps, half-width of the box of splines, residual
        networks, base distribution ("normal", "student-t", ...), order of the columns, "f32" or "f64", width of what is seen of the context.
    graph
        Who influences whom among columns of numbers: a mapping of children to lists of parents, the path of a file of such edges (lines ``parent -> child``, or JSON), or "learn".
    frames
        Of clips, arrays ``[clips, frames, height, width]`` or with channels last, files or folders: how many frames before it each frame is given; whole clips validate. See `Model.continue_clips`.
    levels, noise, patch
        Of images: how many values a number may have; normal noise on those that are learned from, of this share of the way from black to white, of which samples are cleaned; the side of the
        patches of "tarflow".
    loss, epochs, steps, batch, lr, weight_decay, clip_norm, warmup, average, patience
        How to train; what is not given follows from the rows.
    context_dropout
        Share of the rows whose context, of categories, is hidden in each step: what `Model.guided` needs.
    contrast
        Weight of a contrast beside the likelihood, which compares each row with itself under the context of another: a model that tells its classes better (`Model.classify`).
    max_time
        Seconds; the rate falls by then.
    seed, threads
        The seed of everything random (drawn if None); the result does not depend on the threads.
    checkpoint, resume, allow_changed
        A file that all is kept in once a minute and when the fit is stopped; go on from it, to the same bits as if it had never
        stopped; what may differ then ("lr", "epochs").
    communicator
        The processes that train together, such as ``mpi4py.MPI.COMM_WORLD``: each is given the same rows, options and seed, takes its part of every batch, and comes to the same model, with the bits of one
        process. It takes batches of some hundred rows for each process to gain anything. Ctrl-C, and any error of one process, ends them all if they run under ``python -m mpi4py``.
    progress
        True, False, None (if a terminal or a notebook watches), or a function that is called with a dictionary now and then.

    Returns
    -------
    Model
        With the weights that were best on the held-out rows. Ctrl-C ends a fit early, with a warning.
    """
    settings = dict(locals())
    for name in ("data", "valid", "communicator", "progress"):
        del settings[name]
    fitted, reason = run(data, valid, progress, settings, communicator)
    if reason == "interrupted":
        warn("interrupted: the best weights so far were kept")
    return fitted


def run(data, valid, progress, settings, communicator=None):
    """The model, and why its fit ended."""
    settings["valid_share"], valid = _valid(valid)
    settings["start"] = _start(settings)
    data, valid = _weighted(data, valid, settings)
    for name in ("columns", "context"):
        settings[name] = _asked(settings[name], name)
    for name in ("exclude", "dequantize", "allow_changed"):
        settings[name] = _names(settings[name] or (), name)
    if settings["hidden"] is not None:
        settings["hidden"] = _widths(settings["hidden"])
    settings["graph"] = _graph(settings["graph"])
    if settings["levels"] is None and _is_of_bits(data):
        settings["levels"] = 2
    report = progress if callable(progress) else _progress.Line() if _progress.wanted(progress) else None
    try:
        fitted, reason = _native.fit(data, settings, valid=valid, communicator=communicator, report=report, warn=warn)
    except TypeError as error:
        raise named(error, settings) from error
    if reason == "diverged":
        warn("training diverged: the weights of the best step were kept; try a lower lr")
    return fitted, reason


# What a model says itself that a fit begins from.
_OF_A_MODEL = (
    "model columns context exclude dequantize any_subset drop_constant levels noise frames transforms hidden bins bound residual embed graph patch "
    "order base precision"
).split()


def _start(settings):
    """The model that a fit begins from, if any."""
    start = settings.get("start")
    if start is None:
        return None
    given = [name for name in _OF_A_MODEL if not _is_unsaid(settings[name])]
    if given:
        raise ConfigError(f"start: the columns and layers are those of the model; leave out {', '.join(given)}")
    if isinstance(start, (str, os.PathLike)):
        return _native.Model.load(start)
    if not isinstance(start, _native.Model):
        raise ConfigError(f"start: expected a model or the path of its file, found {type(start).__name__}")
    return start


def _is_unsaid(value):
    return value is None or value is False or (isinstance(value, tuple) and not value)


def warn(text):
    """Warns at the line of the caller's own code."""
    level, frame = 1, sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        level, frame = level + 1, frame.f_back
    warnings.warn(text, DiffeoWarning, stacklevel=level if frame else level - 1)


def named(error, settings):
    """A parameter of the wrong type, by its name."""
    match = re.fullmatch(r"failed to extract field Settings\.(\w+)", str(error))
    if not match:
        return error
    name = match[1]
    shown = name.replace("valid_share", "valid")
    return ConfigError(f"{shown}: {error.__cause__}, found {settings.get(name)!r}")


def _is_of_bits(data):
    """Whether the images of an array, or of a column, are truth values."""
    arrays = data.values() if isinstance(data, Mapping) else [data]
    return any(getattr(array, "ndim", 0) > 2 and str(array.dtype) == "bool" for array in arrays)


def _graph(graph):
    """How a graph is given, and what is given."""
    if graph is None:
        return None
    if not isinstance(graph, Mapping):
        try:
            return "file", os.fspath(graph)
        except TypeError:
            raise ConfigError(f'graph: expected a mapping of children to parents, a path or "learn", found {graph!r}') from None
    families = {str(child): _names(parents, "graph") for child, parents in graph.items()}
    return "json", json.dumps(families)


def _widths(hidden):
    try:
        return [operator.index(width) for width in hidden]
    except TypeError:
        raise ConfigError(f"hidden: expected a list of widths such as (128, 128), found {hidden!r}") from None


def _weighted(data, valid, settings):
    """Rows with their weights as a column, if those are an array; arrays that validate have the columns of the others."""
    from ._tables import free_name, has_names, vector

    weight, start = settings["weight"], settings["start"]
    is_array = weight is not None and not isinstance(weight, str)
    if settings.get("frames") is not None or (start is not None and start.frames):
        if weight is not None:
            raise ConfigError("weight: frames of clips count alike; leave it out")
        return data, valid
    names = None if start is None or has_names(data) else [*start.columns, *start.context]
    if valid is not None and not isinstance(valid, str) and not has_names(valid):
        valid = _native.Table(valid, names or _native.Table(data).columns)
    if not is_array:
        return data, valid
    table, weight = _native.Table(data, names), vector(weight)
    if len(weight) != len(table):
        raise DataError(f"weight: expected a number for each of {len(table)} rows, found {len(weight)}")
    name = free_name("weight", table.columns)
    settings["weight"] = name
    if valid is not None:
        valid = _native.Table(valid)
        valid = valid.beside(_native.Table([[1.0]] * len(valid), [name]))
    return table.beside(_native.Table(weight, [name])), valid


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
    # Data frames may have whole numbers for names.
    if not isinstance(names, Iterable):
        raise ConfigError(f"{role}: expected names of columns, found {names!r}")
    names = [str(name) if isinstance(name, numbers.Integral) and not isinstance(name, bool) else name for name in names]
    for name in names:
        if not isinstance(name, str):
            raise ConfigError(f"{role}: expected names of columns, found {name!r}")
    return names


def _valid(valid):
    """A share of the rows, or a table."""
    if valid is None or isinstance(valid, numbers.Real) or (hasattr(valid, "ndim") and valid.ndim == 0):
        return (None if valid is None else float(valid)), None
    if isinstance(valid, (str, os.PathLike)):
        valid = os.fspath(valid)
    return None, valid
