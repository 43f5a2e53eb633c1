"""Whatever holds a table, as something that the native part reads: a stream of Arrow's, or one column after another."""

from collections.abc import Mapping, Sequence

from ._errors import DataError


def columns(data, names: Sequence[str]):
    """An object with Arrow's C stream interface, or a list of (name, cells, type of the cells).

    Arrays have no names: theirs are `names`, or x1, x2, ... as in files of arrays.
    """
    if is_pandas(data):
        # The index is not a column, and would travel as one.
        data = data.reset_index(drop=True)
        return data if _has_pyarrow() else _of_mapping(data)
    if hasattr(data, "__arrow_c_stream__"):
        return data
    if _is_mapping(data):
        return _of_mapping(data)
    return _of_array(data, names)


def is_pandas(data) -> bool:
    """Whether it is a data frame of pandas, told without importing it."""
    return any(
        kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas"
        for kind in type(data).__mro__
    )


def has_names(data) -> bool:
    """Whether the columns of a table have names."""
    return is_pandas(data) or hasattr(data, "__arrow_c_stream__") or _is_mapping(data)


def _is_mapping(data) -> bool:
    # A kind of sparse matrix is a mapping of places to numbers.
    return isinstance(data, Mapping) and not hasattr(data, "tocsr")


def _has_pyarrow() -> bool:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return False
    return True


def _of_mapping(data):
    found = [(str(name), *_cells(str(name), data[name])) for name in data.keys()]
    lengths = {len(cells) for _, cells, _ in found}
    if len(lengths) > 1:
        raise DataError(f"expected columns of one length, found lengths {sorted(lengths)}")
    return found


def _of_array(data, names):
    import numpy as np

    array = _asarray(np, data)
    if array.ndim == 1:
        array = array.reshape(-1, 1)
    if array.ndim != 2:
        raise DataError(f"expected an array of rows and columns, found {array.ndim} dimensions")
    width = array.shape[1]
    if names and len(names) != width:
        raise DataError(
            f"expected rows of {len(names)} columns ({_some(names)}), found rows of {width}"
        )
    names = names or [f"x{i + 1}" for i in range(width)]
    return [(name, *_cells(name, array[:, i])) for i, name in enumerate(names)]


def _some(names):
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _asarray(np, data):
    try:
        return np.asarray(data)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"expected an array, a data frame, a mapping of columns or a path, found {type(data).__name__}: {error}"
        ) from error


def _cells(name, cells):
    """The cells of a column and how they are given: float64, int64, uint8 (truth values), time (microseconds), text."""
    import numpy as np

    array = _asarray(np, cells)
    if array.ndim != 1:
        raise DataError(f"column {name}: expected one dimension, found {array.ndim}")
    kind = array.dtype.kind
    if kind == "b":
        return np.ascontiguousarray(array).view(np.uint8), "uint8"
    if kind == "u" and array.dtype.itemsize == 8 and array.size and array.max() >= 2**63:
        kind = "f"
    if kind in "iu":
        return np.ascontiguousarray(array, dtype=np.int64), "int64"
    if kind == "f":
        return np.ascontiguousarray(array, dtype=np.float64), "float64"
    if kind == "M":
        return np.ascontiguousarray(array.astype("datetime64[us]")).view(np.int64), "time"
    if kind in "OUT":
        return _objects(np, array)
    raise DataError(f"column {name}: expected numbers, truth values, text or times, found {array.dtype}")


def _objects(np, array):
    cells = [None if _is_missing(cell) else cell for cell in array.tolist()]
    if all(cell is None or isinstance(cell, (int, float)) for cell in cells):
        if any(isinstance(cell, bool) for cell in cells):
            return [None if cell is None else str(cell) for cell in cells], "text"
        numbers = [float("nan") if cell is None else float(cell) for cell in cells]
        return np.array(numbers, dtype=np.float64), "float64"
    return [None if cell is None else str(cell) for cell in cells], "text"


def _is_missing(cell) -> bool:
    return cell is None or (isinstance(cell, float) and cell != cell) or type(cell).__name__ in ("NAType", "NaTType")


def matrix(array):
    """Rows of numbers, one after another."""
    import numpy as np

    array = _asarray(np, array)
    if array.ndim == 1:
        array = array.reshape(-1, 1)
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise DataError(f"expected rows of numbers, found shape {array.shape} of {array.dtype}")
    return np.ascontiguousarray(array, dtype=np.float64)


def vector(array):
    """Numbers one after another."""
    import numpy as np

    array = _asarray(np, array)
    if array.ndim != 1 or array.dtype.kind not in "biuf":
        raise DataError(f"expected numbers, one for each row, found shape {array.shape} of {array.dtype}")
    return np.ascontiguousarray(array, dtype=np.float64)


def to_pandas(table):
    """A table as a data frame."""
    import pandas

    return pandas.DataFrame({name: table[name] for name in table.columns})
