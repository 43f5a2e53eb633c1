"""Whatever holds a table, as something that the native part reads: a stream of Arrow's, or one column after another."""

import re
from collections.abc import Mapping, Sequence

from ._errors import DataError


def columns(data, names: Sequence[str]):
    """An object with Arrow's C stream interface, or a list of (name, cells, type of the cells).

    Arrays have no names: see `_names_of`. Those of three dimensions or four are images, one column of them.
    """
    if is_pandas(data):
        # The index is not a column, and would travel as one.
        data = data.reset_index(drop=True)
        if not data.columns.is_unique:
            double = data.columns[data.columns.duplicated()][0]
            raise DataError(f"two columns are called {double!r}; rename one of them")
        arrays = [name for name in data.columns if _holds_arrays(data[name])]
        if arrays:
            return _of_mapping({name: _stacked(name, data[name]) if name in arrays else data[name] for name in data.columns})
        return data if _has_pyarrow() and data.shape[1] else _of_mapping(data)
    if _is_column(data):
        return _of_mapping({str(getattr(data, "name", None) or (names[0] if len(names) == 1 else "x1")): data})
    if hasattr(data, "__arrow_c_stream__"):
        return data
    if _is_mapping(data):
        return _of_mapping(data)
    return _of_array(data, names)


def clip_columns(data):
    """Clips as a column: an array ``[clips, frames, height, width]``, perhaps with channels last."""
    import numpy as np

    array = _asarray(np, data)
    if array.ndim not in (4, 5) or 0 in array.shape:
        raise DataError(
            f"expected clips of shape (clips, frames, height, width) or with channels last, found shape {array.shape}"
        )
    return [("clip", _bytes(np, "clip", array), "image")]


def is_pandas(data) -> bool:
    """Whether it is a data frame of pandas, told without importing it."""
    return any(kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas" for kind in type(data).__mro__)


def _holds_arrays(column) -> bool:
    """Whether the cells of a column of a data frame are arrays of two dimensions or more: images."""
    return column.dtype == object and len(column) > 0 and getattr(column.iloc[0], "ndim", 0) > 1


def _stacked(name, column):
    import numpy as np

    shapes = {getattr(cell, "shape", None) for cell in column}
    if len(shapes) > 1:
        shown = ", ".join(map(str, list(shapes)[:4]))
        raise DataError(f"column {name}: expected images of one size, found {shown}; scale or crop them")
    return np.stack(list(column))


def has_names(data) -> bool:
    """Whether the columns of a table have names."""
    return not _is_column(data) and (is_pandas(data) or hasattr(data, "__arrow_c_stream__") or _is_mapping(data))


def _is_column(data) -> bool:
    """Whether it is a column by itself: a series of pandas or polars, an array of pyarrow."""
    origin = type(data).__module__.partition(".")[0]
    if origin == "pyarrow":
        return hasattr(data, "to_pylist") and not hasattr(data, "schema")
    return origin in ("pandas", "polars") and len(getattr(data, "shape", (0, 0))) == 1


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
    if not found:
        raise DataError("expected at least one column, found none")
    lengths = {len(cells) for _, cells, _ in found}
    if len(lengths) > 1:
        raise DataError(f"expected columns of one length, found lengths {sorted(lengths)}")
    return found


def _of_array(data, names):
    import numpy as np

    if hasattr(data, "compute") and hasattr(data, "columns"):
        raise DataError(f"expected a table in memory, found a {type(data).__module__.partition('.')[0]} frame; compute() it")
    array = _asarray(np, data)
    if array.ndim == 0:
        advice = {"LazyFrame": "; collect() it", "generator": "; make it a list"}.get(type(data).__name__, "")
        advice = advice or ("; toarray() makes one" if hasattr(data, "tocsr") else "")
        raise DataError(f"expected an array, a data frame, a mapping of columns or a path, found {type(data).__name__}{advice}")
    if array.ndim == 1:
        array = array.reshape(-1, 1)
    if array.ndim in (3, 4):
        return [("image", *_images(np, "image", array))]
    if array.ndim != 2 or array.shape[1] == 0:
        raise DataError(f"expected rows of at least one column, or images, found shape {array.shape}")
    return [(name, *_cells(name, array[:, i])) for i, name in enumerate(_names_of(array.shape[1], names))]


def _names_of(width, names):
    """What the columns of an array are called: x1, x2, ..., as in files of arrays and in fits; or, where those that are looked for are others, like them."""
    numbered = [f"x{i + 1}" for i in range(width)]
    places = [int(match[1]) if (match := re.fullmatch(r"x([1-9]\d*)", name)) else width + 1 for name in names]
    if all(place <= width for place in places):
        # Those in between were left out of the fit as well.
        left = numbered[max(places) :] if places else []
        if left:
            from ._fit import warn

            shown = ", ".join(left[:8]) + (", ..." if len(left) > 8 else "")
            warn(f"left out of the array, as the model has no such columns: {shown}")
        return numbered
    if len(names) != width:
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise DataError(f"expected rows of {len(names)} columns ({shown}), found rows of {width}")
    return list(names)


def _asarray(np, data):
    try:
        if isinstance(data, np.ma.MaskedArray):
            return data.astype(float).filled(np.nan) if data.dtype.kind in "biuf" else data.astype(object).filled(None)
        return np.asarray(data)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise DataError(
            f"expected an array, a data frame, a mapping of columns or a path, found {type(data).__name__}: {error}"
        ) from error


def _cells(name, cells):
    """The cells of a column and how they are given: float64, int64, uint8 (truth values), time (microseconds), text, image."""
    import numpy as np

    array = _asarray(np, cells)
    if array.ndim in (3, 4):
        return _images(np, name, array)
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
        return _objects(np, name, array)
    raise DataError(f"column {name}: expected numbers, truth values, text or times, found {array.dtype}")


def _images(np, name, array):
    """Images of bytes: lines of pixels, perhaps of channels, which may come first."""
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] not in (1, 3):
        array = array.transpose(0, 2, 3, 1)
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if 0 in array.shape[1:]:
        raise DataError(f"column {name}: expected images of at least a pixel, found shape {array.shape}")
    return _bytes(np, name, array), "image"


def _bytes(np, name, array):
    if array.dtype.kind not in "biu" or (array.size and (array.min() < 0 or array.max() > 255)):
        raise DataError(
            f"column {name}: images are whole numbers from 0 to 255, found {array.dtype}"
            + (f" from {array.min()} to {array.max()}" if array.size and array.dtype.kind in "biuf" else "")
            + ("; numbers from 0 to 1: (255 * images).round().astype('uint8')" if array.dtype.kind == "f" else "")
        )
    return np.ascontiguousarray(array, dtype=np.uint8)


def _objects(np, name, array):
    cells = [None if _is_missing(cell) else cell for cell in array.tolist()]
    present = [cell for cell in cells if cell is not None]
    if all(isinstance(cell, (int, float, np.number)) and not isinstance(cell, bool) for cell in present):
        try:
            return np.array([float("nan") if cell is None else float(cell) for cell in cells]), "float64"
        except OverflowError as error:
            raise DataError(f"column {name}: {error}") from error
    odd = next((cell for cell in present if isinstance(cell, (Mapping, list, tuple, set))), None)
    if odd is not None:
        raise DataError(f"column {name}: expected numbers, truth values, text or times, found {type(odd).__name__}")
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
    if array.ndim != 1 or array.dtype.kind not in "biufO":
        raise DataError(f"expected numbers, one for each row, found shape {array.shape} of {array.dtype}")
    try:
        return np.ascontiguousarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"expected numbers, one for each row: {error}") from error


def free_name(name, taken):
    """A name that is not taken, the given one if it is free."""
    while name in taken:
        name += "_"
    return name


def to_pandas(table):
    """A table as a data frame."""
    import pandas

    return pandas.DataFrame({name: table[name] for name in table.columns})
