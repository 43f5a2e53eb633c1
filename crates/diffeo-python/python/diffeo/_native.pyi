"""The native part of the package."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

__version__: str

class ArrowStream(Protocol):
    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...

Tabular = ArrayLike | ArrowStream | Mapping[str, ArrayLike] | str | PathLike[str]
"""An array, a data frame of pandas or polars, a table of pyarrow, a mapping of names to columns, or the path of a file."""

class Table:
    """Rows under named columns, which speak Arrow's C stream interface."""

    def __init__(self, data: Tabular, names: Sequence[str] | None = None) -> None: ...
    @property
    def columns(self) -> list[str]: ...
    def keys(self) -> list[str]: ...
    def beside(self, other: Table) -> Table: ...
    def __len__(self) -> int: ...
    def __getitem__(self, name: str) -> NDArray[Any]: ...
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]: ...
    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...
    def numpy(self) -> NDArray[np.float64]: ...
    def to_pandas(self) -> Any: ...
    def to_polars(self) -> Any: ...
    def to_pyarrow(self) -> Any: ...

class Model:
    """A normalizing flow together with the columns that it is of."""

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Model: ...
    def save(self, path: str | PathLike[str]) -> None: ...
    @classmethod
    def from_bytes(cls, data: bytes) -> Model: ...
    def to_bytes(self) -> bytes: ...
    @property
    def columns(self) -> list[str]: ...
    @property
    def context(self) -> list[str]: ...
    @property
    def kinds(self) -> dict[str, str]: ...
    @property
    def parameters(self) -> int: ...
    @property
    def summary(self) -> dict[str, Any] | None: ...
    @property
    def spec(self) -> dict[str, Any]: ...
    def log_prob(
        self, data: Tabular, context: Tabular | None = None, *, threads: int | None = None
    ) -> NDArray[np.float64]: ...
    def sample(
        self,
        n: int = 1,
        context: Tabular | None = None,
        *,
        seed: int | None = None,
        temperature: float = 1.0,
        first_row: int = 0,
        common: bool = False,
        threads: int | None = None,
    ) -> Table: ...
    def sample_with_log_prob(
        self,
        n: int = 1,
        context: Tabular | None = None,
        *,
        seed: int | None = None,
        temperature: float = 1.0,
        first_row: int = 0,
        threads: int | None = None,
    ) -> tuple[Table, NDArray[np.float64]]: ...
    def impute(
        self,
        data: Tabular,
        context: Tabular | None = None,
        *,
        seed: int | None = None,
        first_row: int = 0,
        threads: int | None = None,
    ) -> Table: ...
    def to_base(
        self, data: Tabular, context: Tabular | None = None, *, threads: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
    def to_data(
        self, z: ArrayLike, context: Tabular | None = None, *, threads: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
    def round_trip_error(
        self, data: Tabular, context: Tabular | None = None, *, threads: int | None = None
    ) -> NDArray[np.float64]: ...
    def tail_probability(self, log_prob: ArrayLike) -> NDArray[np.float64]: ...
    def log_prob_quantile(self, share: float) -> float | None: ...

class Figure:
    """A picture, which notebooks show."""

    @property
    def notes(self) -> list[str]: ...
    def save(self, path: str | PathLike[str]) -> None: ...
    def svg(self) -> str: ...
    def png(self) -> bytes: ...

def fit(
    data: Tabular,
    settings: Mapping[str, Any],
    *,
    weights: NDArray[np.float64] | None,
    valid: Tabular | None,
    report: Callable[[dict[str, Any]], None] | None,
    warn: Callable[[str], None],
) -> tuple[Model, str]: ...
def check(
    model: Model,
    data: Tabular | None,
    context: Tabular | None,
    *,
    samples: int,
    seed: int,
    threads: int | None,
) -> list[tuple[str, bool, float, float, str]]: ...
def plot(
    model: Model,
    data: Tabular | None,
    context: Tabular | None,
    *,
    kind: str | None,
    rows: int,
    seed: int,
    threads: int | None,
) -> Figure: ...
def command(arguments: Sequence[str]) -> int: ...
