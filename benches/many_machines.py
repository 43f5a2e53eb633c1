#!/usr/bin/env python3
"""Scores a table on Ray Data, Spark, Dask and DataFusion, and draws rows on them: the same bits as one process, and rows a second.

    pip install '.[test]' 'ray[data]' pyspark 'dask[dataframe]'     # the package from the root of the repository; Spark needs Java
    cargo build --release --manifest-path crates/diffeo-sql/Cargo.toml
    python3 benches/many_machines.py [ROWS] [--sql crates/diffeo-sql/target/release/diffeo-sql]

1,000,000 rows by default; engines that are not installed are left out. Workers have one thread each, there are as many as cores. Rates are of the whole call, with the start of the workers' tasks; engines that serve a cluster have more to
do than one process, which is what the table shows beside what stays the same.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import diffeo
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from diffeo.distributed import Sample, Score

CORES = os.cpu_count() or 1
COLUMNS = 10


def ray_data(model, folder):
    import ray

    ray.init(num_cpus=CORES, logging_level="ERROR", log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False

    def run(work, path):
        rows = ray.data.read_parquet(str(path), override_num_blocks=4 * CORES)
        found = rows.map_batches(work, batch_format="pyarrow", batch_size=None)
        return pa.concat_tables(ray.get(found.to_arrow_refs()))

    return ray.__version__, run


def spark(model, folder):
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    import pyspark
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master(f"local[{CORES}]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "4g")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "50000")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")

    def run(work, path):
        rows = session.read.parquet(str(path)).repartition(4 * CORES)
        added = (
            "log_prob double" if isinstance(work, Score) else ", ".join(f"{name} double" for name in diffeo.load(model).columns)
        )
        schema = ", ".join([*(f"{field.name} {field.dataType.simpleString()}" for field in rows.schema), added])
        out = folder / f"spark-{time.monotonic_ns()}"
        rows.mapInArrow(work.batches, schema).write.parquet(str(out))
        return parquet.read_table(out)

    return pyspark.__version__, run


def dask(model, folder):
    import dask
    import dask.dataframe as frames

    def run(work, path):
        rows = frames.read_parquet(str(path), split_row_groups=True)
        return pa.Table.from_pandas(
            rows.map_partitions(work).compute(scheduler="processes", num_workers=CORES), preserve_index=False
        )

    return dask.__version__, run


def datafusion(program):
    """The program of the crate diffeo-sql, with its start."""

    def build(model, folder):
        def run(work, path):
            out = folder / f"sql-{time.monotonic_ns()}.parquet"
            names = [f"x{i + 1}" for i in range(COLUMNS)]
            if isinstance(work, Score):
                query = f"SELECT id, diffeo_log_prob('{model}', {', '.join(names)}) AS log_prob FROM t"
            else:
                fields = ", ".join(f"d['{name}'] AS {name}" for name in diffeo.load(model).columns)
                query = f"SELECT id, {fields} FROM (SELECT id, diffeo_sample('{model}', 1, id) AS d FROM t)"
            subprocess.run([program, "query", query, "--table", f"t={path}", "--out", out], check=True)
            return parquet.read_table(out)

        return "", run

    return build


ENGINES = {"ray": ray_data, "pyspark": spark, "dask": dask}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--sql", default=None, help="the program diffeo-sql")
    options = parser.parse_args()
    rows = options.rows
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        values = rng.normal(size=(rows, COLUMNS)) @ np.tril(rng.normal(size=(COLUMNS, COLUMNS)))
        columns = {f"x{i + 1}": values[:, i] for i in range(COLUMNS)}
        table = pa.table({"id": np.arange(rows), **columns})
        path, ids, model_path = folder / "rows.parquet", folder / "ids.parquet", folder / "model.safetensors"
        parquet.write_table(table, path, row_group_size=max(1, rows // (4 * CORES)))
        parquet.write_table(table.select(["id"]), ids, row_group_size=max(1, rows // (4 * CORES)))
        model = diffeo.fit(values[:20_000], steps=300, seed=0)
        model.save(model_path)
        start = time.perf_counter()
        log_prob = model.log_prob(parquet.read_table(path))
        one = rows / (time.perf_counter() - start)
        drawn = model.sample(rows, seed=1).numpy()
        print(
            f"{rows:,} rows of {COLUMNS} columns, {CORES} cores; one process with {CORES} threads scores {one:,.0f} rows a second\n"
        )
        print("| engine | version | rows a second | beside one process | densities | draws |\n|---|---|--:|--:|---|---|")
        engines = ENGINES | ({"diffeo-sql": datafusion(options.sql)} if options.sql else {})
        for engine, build in engines.items():
            if engine in ENGINES and importlib.util.find_spec(engine) is None:
                print(f"| {engine} | not installed | | | | |")
                continue
            version, run = build(model_path, folder)
            run(Score(model_path), path)  # once, so that workers are there
            start = time.perf_counter()
            scored = run(Score(model_path), path).sort_by("id")
            rate = rows / (time.perf_counter() - start)
            same = np.array_equal(scored["log_prob"].to_numpy(), log_prob)
            samples = run(Sample(model_path, seed=1), ids).sort_by("id")
            found = np.column_stack([samples[name].to_numpy() for name in model.columns])
            equal = np.array_equal(found, drawn)
            print(
                f"| {engine} | {version} | {rate:,.0f} | {rate / one:.2f} | {'the same' if same else 'OTHERS'} | {'the same' if equal else 'OTHERS'} |",
                flush=True,
            )
            assert same and equal, engine


if __name__ == "__main__":
    main()
