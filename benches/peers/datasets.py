"""The real tables of the quality comparison: where they lie, how they are split and standardised.

Rows are split 80/10/10 at random with a fixed seed, columns standardised with the training part's mean and deviation, and
written once as 32-bit Parquet, so that both programs read the very same numbers. Columns of text and rows with holes are left out.

A rounded column has no density: a flow can put a spike on each value and its likelihood has no bound. Columns whose
most frequent value holds more than one row in fifty, and all columns of tables of counts, get uniform noise of the width
of their rounding step before the split (`dequantise`). `repeats` is the share of the most frequent value, before that, in
the column where it is largest.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as parquet

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared" / "data"

SETS = {
    "protein": SHARED / "tabular" / "protein.parquet",
    "magic_gamma": REPOSITORY / "data" / "magic_gamma.parquet",
    "california_housing": SHARED / "tabular" / "california_housing.csv",
    "kin40k": SHARED / "tabular" / "kin40k.parquet",
    "pumadyn32nm": SHARED / "tabular" / "pumadyn32nm.parquet",
    "miniboone_head": SHARED / "tabular" / "miniboone_head.parquet",
    "landsat": SHARED / "anomaly" / "landsat.parquet",
    "wine_red": REPOSITORY / "data" / "wine_red.csv",
}
DEFAULT = ["protein", "magic_gamma", "kin40k", "pumadyn32nm", "miniboone_head", "landsat"]
QUICK = ["magic_gamma", "wine_red"]
ROUNDED = {"landsat", "wine_red"}
SPIKE = 0.02


def read(name):
    path = SETS[name]
    table = csv.read_csv(path) if path.suffix == ".csv" else parquet.read_table(path)
    columns = [table[column] for column in table.column_names if column != "label" and not is_text(table[column])]
    rows = np.column_stack([column.to_numpy().astype(np.float64) for column in columns])
    return rows[np.isfinite(rows).all(1)]


def is_text(column):
    return pa.types.is_string(column.type)


def largest_share(values):
    return np.unique(values, return_counts=True)[1].max() / len(values)


def dequantise(values, everything, rng):
    values = values.copy()
    for column in values.T:
        if everything or largest_share(column) > SPIKE:
            gaps = np.diff(np.unique(column))
            # Rounding noise of the 32-bit copies is not a step.
            step = gaps[gaps > 1e-3 * gaps.max()].min()
            column += step * (rng.random(len(column)) - 0.5)
    return values


def prepare(name, folder, seed=0, rows=None):
    """Writes train, valid and test of a set; returns the three matrices and the largest share of a repeated value."""
    rng = np.random.default_rng(seed)
    values = read(name)
    repeats = max(largest_share(column) for column in values.T)
    values = dequantise(values, name in ROUNDED, rng)
    values = values[rng.permutation(len(values))[:rows]]
    ends = [int(0.8 * len(values)), int(0.9 * len(values))]
    parts = np.split(values, ends)
    mean, deviation = parts[0].mean(0), parts[0].std(0)
    parts = [((part - mean) / deviation).astype(np.float32) for part in parts]
    for part, label in zip(parts, ("train", "valid", "test"), strict=True):
        names = [f"x{i + 1}" for i in range(part.shape[1])]
        parquet.write_table(pa.table(list(part.T.copy()), names=names), folder / f"{label}.parquet")
    return parts, repeats


def load(path):
    table = parquet.read_table(path)
    return np.column_stack([column.to_numpy() for column in table.columns]).astype(np.float32)
