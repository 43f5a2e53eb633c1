#!/usr/bin/env python3
"""Makes the tables of this folder from the copies that the project's benchmark data holds (needs numpy and pyarrow).

    python3 data/make.py ../shared/data

Those copies are shifted or standardised and their columns are unnamed. The means and deviations below are those of the
original files, so the original numbers come back; each is then rounded to the digits that the original has, and the
script fails where a value was not within rounding of such a number.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as parquet

HERE = Path(__file__).resolve().parent

# column: (mean, standard deviation with n - 1)
MAGIC = {
    "fLength": (53.250154, 42.364855),
    "fWidth": (22.180966, 18.346056),
    "fSize": (2.825017, 0.472599),
    "fConc": (0.380327, 0.182813),
    "fConc1": (0.214657, 0.110511),
    "fAsym": (-4.331745, 59.206062),
    "fM3Long": (10.545545, 51.000118),
    "fM3Trans": (0.249726, 20.827439),
    "fAlpha": (27.645707, 26.103621),
    "fDist": (193.818026, 74.731787),
}
MAGIC_FIRST = [28.7967, 16.0021, 2.6449, 0.3918, 0.1982, 27.7004, 22.011, -8.2027, 40.092, 81.8828]

# column: (mean, decimals); the copy holds quality before alcohol, the original after it
WINE = {
    "fixed_acidity": (8.319637, 3),
    "volatile_acidity": (0.527821, 3),
    "citric_acid": (0.270976, 3),
    "residual_sugar": (2.538806, 3),
    "chlorides": (0.087467, 4),
    "free_sulfur_dioxide": (15.874922, 1),
    "total_sulfur_dioxide": (46.467792, 1),
    "density": (0.996747, 5),
    "pH": (3.311113, 3),
    "sulphates": (0.658149, 3),
    "quality": (5.636023, 0),
    "alcohol": (10.422983, 3),
}


def unscaled(values, mean, deviation, decimals=4):
    """Undoes the standardising. The grid of the original's decimals fixes the last digits of mean and deviation."""
    standard = values.astype(np.float64)
    for _ in range(20):
        raw = standard * deviation + mean
        target = raw.round(decimals)
        deviation, mean = np.polyfit(standard, target, 1)
    assert np.abs(raw - target).max() < 0.2 * 10.0**-decimals
    return target + 0.0


def magic(source):
    table = parquet.read_table(source / "anomaly" / "magic_gamma.parquet")
    columns = [unscaled(table[f"x{index + 1}"].to_numpy(), *moments) for index, moments in enumerate(MAGIC.values())]
    assert [column[0] for column in columns] == MAGIC_FIRST
    return pa.table([pa.array(column.astype(np.float32)) for column in columns], names=list(MAGIC))


def wine(source):
    table = parquet.read_table(source / "tabular" / "wine.parquet")
    columns = {}
    for index, (name, (mean, decimals)) in enumerate(WINE.items()):
        raw = table[f"x{index + 1}"].to_numpy().astype(np.float64) + mean
        columns[name] = raw.round(decimals) + 0.0
        assert np.abs(raw - columns[name]).max() < 0.4 * 10.0**-decimals
    columns["quality"] = columns.pop("quality").astype(np.int64)
    return pa.table(columns)


if __name__ == "__main__":
    source = Path(sys.argv[1])
    options = {"compression": "zstd", "compression_level": 19, "use_dictionary": False}
    parquet.write_table(magic(source), HERE / "magic_gamma.parquet", **options)
    table = wine(source)
    with open(HERE / "wine_red.csv", "wb") as file:
        file.write((",".join(table.column_names) + "\n").encode())
        csv.write_csv(table, file, csv.WriteOptions(include_header=False))
    for path in (HERE / "magic_gamma.parquet", HERE / "wine_red.csv"):
        print(hashlib.sha256(path.read_bytes()).hexdigest(), path.name, path.stat().st_size)
