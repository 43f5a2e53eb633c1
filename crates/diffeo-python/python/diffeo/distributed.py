"""Scoring and drawing in parts, on whatever engine runs the parts: Ray Data, Spark, Dask, or a loop.

    Score("model.safetensors")            a part of a table in, the same part with the column log_prob out
    Sample("model.safetensors", seed=1)   rows with numbers in, draws of these numbers out

Both travel to workers as the path of the model, or as its bytes; a worker reads it once. Parts are tables or batches of pyarrow, or data frames of pandas or
polars, and come back as what they were. A row's result does not depend on its part: draws follow from the seed and the number of the row.
"""

import os

from . import _tables
from ._errors import ConfigError
from ._native import Model

__all__ = ["Sample", "Score"]


class _Part:
    """A model that is read where it is used."""

    def __init__(self, model, *, threads=1):
        if isinstance(model, Model):
            model = model.to_bytes()
        elif not isinstance(model, bytes):
            model = os.fspath(model)
        self._source, self._threads, self._model = model, threads, None

    def __getstate__(self):
        return {**self.__dict__, "_model": None}

    @property
    def model(self):
        if self._model is None:
            source = self._source
            self._model = Model.from_bytes(source) if isinstance(source, bytes) else Model.load(source)
        return self._model

    def batches(self, batches):
        """The same of an iterator of parts: what Spark's `mapInArrow` calls."""
        return map(self, batches)


class Score(_Part):
    """Adds the log-density of each row of a part; the columns of the model are found by name."""

    def __init__(self, model, *, column="log_prob", threads=1):
        super().__init__(model, threads=threads)
        self._column = column

    def __call__(self, part):
        return _with_columns(part, {self._column: self.model.log_prob(part, threads=self._threads)})


class Sample(_Part):
    """Replaces a part by draws: row `i` of the draws is that of the number in row `i` of the part, which stands in the column `number`."""

    def __init__(self, model, *, seed, number="id", threads=1):
        super().__init__(model, threads=threads)
        self._seed, self._number = int(seed), number

    def __call__(self, part):
        import numpy as np

        numbers = _row_numbers(part[self._number])
        # Rows that follow each other are drawn at once.
        runs = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
        drawn = [self._draw(int(run[0]), len(run)) for run in runs if len(run)] or [self._draw(0, 0)]
        columns = {name: np.concatenate([table[name] for table in drawn]) for name in self.model.columns}
        return _with_columns(part, columns)

    def _draw(self, first, n):
        if first < 0:
            raise ConfigError(f"numbers of rows: expected whole numbers of at least 0, found {first}")
        return self.model.sample(n, seed=self._seed, first_row=first, threads=self._threads)


def _row_numbers(column):
    """Numbers of rows, whose differences do not wrap around."""
    import numpy as np

    numbers = np.asarray(column)
    if numbers.dtype.kind not in "iu":
        raise ConfigError(f"numbers of rows: expected whole numbers, found {numbers.dtype}")
    if len(numbers) and int(numbers.max()) > np.iinfo(np.int64).max:
        raise ConfigError(f"numbers of rows: expected at most {np.iinfo(np.int64).max}, found {numbers.max()}")
    return numbers.astype(np.int64)


def _with_columns(part, columns):
    """A part with further columns, as what it was."""
    if _tables.is_pandas(part):
        return part.assign(**columns)
    if type(part).__module__.partition(".")[0] == "polars":
        import polars

        return part.with_columns(**{name: polars.Series(values) for name, values in columns.items()})
    import pyarrow

    is_batch = isinstance(part, pyarrow.RecordBatch)
    table = pyarrow.Table.from_batches([part]) if is_batch else pyarrow.table(part)
    for name, values in columns.items():
        array = pyarrow.array(values)
        at = table.schema.get_field_index(name)
        table = table.append_column(name, array) if at < 0 else table.set_column(at, name, array)
    if not is_batch:
        return table
    return pyarrow.RecordBatch.from_arrays([column.combine_chunks() for column in table.columns], schema=table.schema)
