"""Normalizing flows: from a table to a density with exact likelihoods and fast samples.

    model = diffeo.fit(table)                 learn the density of an array, a data frame, a file
    model.log_prob(rows)                      log-densities, in nats, in the units of the data
    model.sample(1000)                        new rows
    model.save("model.safetensors")           one file, which `diffeo.load` and the command line read

`Density`, `ConditionalDensity` and `OutlierDetector` are the same in the manners of scikit-learn.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from ._errors import (
    ConfigError,
    DataError,
    DiffeoError,
    DiffeoWarning,
    InternalError,
    IoError,
    LimitError,
    ModelFileError,
    NotFoundError,
    TrainingError,
)
from ._fit import fit
from ._native import Figure, Model, Table, __version__
from ._portrait import Check, CheckReport, check, plot
from ._reweight import Average, Reweighted, reweight

if TYPE_CHECKING:
    from . import audio, control, distributed, inference, sbi
    from ._import import import_model
    from ._estimators import ConditionalDensity, Density, OutlierDetector

# scikit-learn takes a second to import, and not everybody needs it.
_ESTIMATORS = ("ConditionalDensity", "Density", "OutlierDetector")

__all__ = [
    "Average",
    "Check",
    "CheckReport",
    "ConditionalDensity",
    "ConfigError",
    "DataError",
    "Density",
    "DiffeoError",
    "DiffeoWarning",
    "Figure",
    "InternalError",
    "IoError",
    "LimitError",
    "Model",
    "ModelFileError",
    "NotFoundError",
    "OutlierDetector",
    "Reweighted",
    "Table",
    "TrainingError",
    "__version__",
    "audio",
    "check",
    "control",
    "distributed",
    "fit",
    "import_model",
    "inference",
    "load",
    "plot",
    "reweight",
    "sbi",
]


def load(path) -> Model:
    """Read a model from its file. Nothing in the file is run or trusted."""
    return Model.load(path)


def __getattr__(name):
    if name in ("audio", "control", "distributed", "inference", "sbi"):
        return _import_module(f".{name}", __name__)
    if name == "import_model":
        return _import_module("._import", __name__).import_model
    if name in _ESTIMATORS:
        return getattr(_import_module("._estimators", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
