#!/usr/bin/env python3
"""A funnel of 101 numbers by samplers that learn a flow along the way: diffeo's and nutpie's.

    python3 benches/peers/funnel.py                  # both, about five minutes
    python3 benches/peers/funnel.py --seeds 1,2,3 --json funnel.json

`s ~ N(0, 1)` and a hundred `x_i ~ N(0, e^s)` by their deviation. Two chains, 1,500 draws of warm-up and 1,000 that are kept,
the defaults of both; `seconds` are of the whole run, compilation included (diffeo's binary is built before). Effective sizes
and r-hat are ArviZ's, for both.
"""

import environment

environment.enter()

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import arviz
import datasets
import numpy as np
import pyarrow.parquet as parquet

CHAINS, WARMUP, DRAWS, NUMBERS = 2, 1500, 1000, 100


def find_example():
    """The example, built anew if need be."""
    command = ["cargo", "build", "--release", "--quiet", "-p", "diffeo-cli", "--features", "nuts", "--example", "funnel"]
    command.append("--message-format=json-render-diagnostics")
    built = subprocess.run(command, cwd=datasets.REPOSITORY, stdout=subprocess.PIPE, text=True, check=True).stdout
    messages = map(json.loads, built.splitlines())
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "funnel")


def diffeo(seed, binary):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "draws.parquet"
        said = subprocess.run([binary, str(file), str(seed)], capture_output=True, text=True, check=True).stdout
        table = parquet.read_table(file)
    draws = np.stack([column.to_numpy() for column in table.columns[2:]], axis=1).reshape(CHAINS, -1, NUMBERS + 1)
    return draws, int(said.split(" divergences")[0].split()[-1])


def nutpie(seed, _):
    import jax
    import jax.numpy as jnp
    import nutpie as package

    jax.config.update("jax_enable_x64", True)

    def log_density(x):
        s, rest = x[0], x[1:]
        return -0.5 * s**2 - NUMBERS * s - 0.5 * jnp.sum(rest**2) * jnp.exp(-2 * s)

    def make_log_density():
        both = jax.jit(jax.value_and_grad(log_density))

        def evaluate(x, **_):
            value, gradient = both(x)
            return float(value), np.asarray(gradient)

        return evaluate

    model = package.compiled_pyfunc.from_pyfunc(
        NUMBERS + 1,
        make_log_density,
        lambda *_: lambda x, **_: {"x": np.asarray(x, np.float64)},
        [np.dtype("float64")],
        [(NUMBERS + 1,)],
        ["x"],
        raw_logp_fn=lambda x: (log_density(x), None),
    ).with_transform_adapt()
    settings = {"chains": CHAINS, "tune": WARMUP, "draws": DRAWS, "cores": 2, "seed": seed, "progress_bar": False}
    trace = package.sample(model, transform_adapt=True, **settings)
    return trace.posterior["x"].to_numpy(), int(trace.sample_stats["diverging"].sum())


def measure(sample, seed, binary):
    start = time.perf_counter()
    draws, divergences = sample(seed, binary)
    seconds = time.perf_counter() - start
    data = arviz.convert_to_dataset({"x": draws})
    sizes, r_hat = arviz.ess(data)["x"].to_numpy(), arviz.rhat(data)["x"].to_numpy()
    scale = draws[..., 0]
    return {
        "seconds": seconds,
        "ess_least": sizes.min(),
        "ess_of_s": sizes[0],
        "r_hat": r_hat.max(),
        "divergences": divergences,
        "mean_of_s": scale.mean(),
        "deviation_of_s": scale.std(),
    }


def main():
    parser = argparse.ArgumentParser(description="a funnel by two warped samplers")
    parser.add_argument("--seeds", default="1", help="comma-separated (1)")
    parser.add_argument("--only", default="diffeo,nutpie")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--binary", default=None, help="the example to run (built with cargo when not given)")
    options = parser.parse_args()
    sides = {"diffeo": diffeo, "nutpie": nutpie}
    binary = (options.binary or find_example()) if "diffeo" in options.only else None
    results = []
    for seed in map(int, options.seeds.split(",")):
        for name in options.only.split(","):
            found = {"sampler": name, "seed": seed} | measure(sides[name], seed, binary)
            results.append(found)
            numbers = " ".join(f"{key} {value:.4g}" for key, value in found.items() if key != "sampler")
            print(f"{name:<8} {numbers}", flush=True)
            if options.json:
                options.json.write_text(json.dumps(results, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
