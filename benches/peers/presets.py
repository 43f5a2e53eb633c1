#!/usr/bin/env python3
"""Which flow should I use: every named model of diffeo on real tables, its likelihood and what it costs.

    python3 benches/peers/presets.py                                  # four tables, default widths: hours
    python3 benches/peers/presets.py --quick                          # a small table, short fits: minutes
    python3 benches/peers/presets.py --sets magic_gamma --widths 64,128,256 --only nsf,maf --json presets.json
    python3 benches/peers/presets.py --json presets.json --markdown   # the table of what is in the file

Each model is fitted by the command line with the settings that `docs/flows.md` names for it and no others, early stopping on the same
validation rows, at most `--seconds`; all see the same files. `nats` is the mean test log-likelihood with its standard error, `fit` the seconds of the
fit, `score` and `sample` thousands of rows a second (of 20,000 draws, the whole command), `memory` the peak of the fit in MB. Results that are in the file
already are not measured again. The machine must be idle for times to mean anything.
"""

import environment

environment.enter()

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import datasets
from quality import all_real, find_binary

SETS = ["magic_gamma", "kin40k", "protein", "california_housing"]
# What docs/flows.md says to add, and models whose networks have no width to choose.
SETTINGS = {
    "planar": ["--transforms", "32"],
    "radial": ["--transforms", "32"],
    "sylvester": ["--transforms", "32"],
    "gaussianization": ["--transforms", "16"],
    "ffjord": ["--transforms", "1"],
    "ot-flow-matching": ["--transforms", "1"],
}
DRAWS = 20_000  # rows that are drawn and then scored
WITHOUT_WIDTH = {"gaussian", "planar", "radial", "sylvester", "gaussianization"}


class Failed(Exception):
    pass


def run(binary, *arguments):
    """Runs a command; what it printed as JSON, its seconds and its peak memory in MB."""
    command = [binary, *map(str, arguments), "--json", "--quiet"]
    memory = 0
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err)
        while process.poll() is None:
            memory = max(memory, peak_megabytes(process.pid))
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        out.seek(0), err.seek(0)
        if process.returncode:
            raise Failed(err.read().decode().strip()[-300:] or f"exit code {process.returncode}")
        text = out.read()
    return json.loads(text) if text.strip() else {}, seconds, memory


def peak_megabytes(process):
    """Of a process that runs. (What the kernel says after its end counts what this one had when it started it.)"""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024 if "VmHWM:" in status else 0


def names(binary):
    """The models that the command line lists."""
    complaint = subprocess.run([binary, "fit", "x.csv", "--out", "x", "--model", "?"], capture_output=True, text=True).stderr
    listed = complaint.split("choose one of ")[1].replace(", or auto", "").split()
    return [name.strip(",.") for name in listed]


def measure(binary, folder, model, width, seconds, threads):
    file, draws, scores = folder / "model.safetensors", folder / "draws.parquet", folder / "scores.parquet"
    common = ["--threads", threads]
    shape = [*SETTINGS.get(model, []), *([] if width is None else ["--hidden", f"{width},{width}"])]
    data = [folder / "train.parquet", "--valid", folder / "valid.parquet", "--columns", all_real(folder)]
    limit = ["--max-time", f"{seconds:g}s", "--seed", 0, "--out", file, "--force"]
    fit, fit_seconds, memory = run(binary, "fit", *data, "--model", model, *shape, *limit, *common)
    found, _, _ = run(binary, "evaluate", file, folder / "test.parquet", *common)
    _, sample_seconds, _ = run(binary, "sample", file, "-n", DRAWS, "--out", draws, "--force", "--seed", 0, *common)
    _, score_seconds, _ = run(binary, "score", file, draws, "--out", scores, "--force", *common)
    return {
        "nats": found["log_prob_mean"],
        "error": found["log_prob_stderr"],
        "fit_seconds": fit_seconds,
        "stop_reason": fit["stop_reason"],
        "parameters": fit["parameters"],
        "score_rows": DRAWS / score_seconds,
        "sample_rows": DRAWS / sample_seconds,
        "memory_mb": memory,
    }


def describe(result):
    width = result["width"] or "-"
    head = f"{result['set']:<19}{result['model']:<17}{width:>5}"
    if "fault" in result:
        return f"{head}  {result['fault']}"
    ended = "" if result["stop_reason"] in ("patience", "completed") else f" ({result['stop_reason']})"
    rates = f"{result['score_rows'] / 1e3:8.1f} {result['sample_rows'] / 1e3:8.1f}"
    return f"{head} {result['nats']:9.3f} +- {result['error']:.3f} {result['fit_seconds']:8.1f} s {rates} {result['memory_mb']:7.0f}{ended}"


def markdown(results):
    """A row a model, a column a set; and what the models cost on the first set."""
    sets = list(dict.fromkeys(r["set"] for r in results))
    print(f"| model | width | {' | '.join(sets)} | fit, s | score, k rows/s | sample, k rows/s | memory, MB |")
    print(f"|---|--:|{'--:|' * len(sets)}--:|--:|--:|--:|")
    for model, width in dict.fromkeys((r["model"], r["width"]) for r in results):
        of = {r["set"]: r for r in results if (r["model"], r["width"]) == (model, width)}
        cells = []
        for name in sets:
            r = of.get(name, {"fault": ""})
            late = "*" if r.get("stop_reason") == "max_time" else ""
            cells.append("-" if "fault" in r else f"{r['nats']:.3f}{late}")
        first = of.get(sets[0], {"fault": ""})
        keys = ["fit_seconds", "score_rows", "sample_rows", "memory_mb"]
        scale = [1, 1e3, 1e3, 1]
        costs = ["-"] * 4 if "fault" in first else [f"{first[k] / s:.3g}" for k, s in zip(keys, scale, strict=True)]
        print(f"| `{model}` | {width or '-'} | {' | '.join(cells)} | {' | '.join(costs)} |")


def main():
    parser = argparse.ArgumentParser(description="likelihood and cost of every named model")
    parser.add_argument("--sets", default=",".join(SETS), help=f"comma-separated, from {', '.join(datasets.SETS)}")
    parser.add_argument("--only", default=None, help="comma-separated models [default: all]")
    parser.add_argument("--widths", default="128", help="widths of both hidden layers, comma-separated (128)")
    parser.add_argument("--seconds", type=float, default=900, help="most time for a fit (900)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=None, help="so many rows of each set")
    parser.add_argument("--quick", action="store_true", help="2,000 rows of wine_red, 5 s a fit")
    parser.add_argument("--json", type=Path, default=None, help="results to add to")
    parser.add_argument("--markdown", action="store_true", help="print the table of the file and end")
    parser.add_argument("--binary", default=None, help="the diffeo to run (built with cargo when not given)")
    options = parser.parse_args()
    results = json.loads(options.json.read_text()) if options.json and options.json.exists() else []
    if options.markdown:
        return markdown(results)
    binary = options.binary or find_binary()
    seconds, rows, sets = options.seconds, options.rows, options.sets.split(",")
    if options.quick:
        seconds, rows, sets = 5, 2000, ["wine_red"]
    known = {(r["set"], r["model"], r["width"]) for r in results}
    for name in sets:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            parts, _ = datasets.prepare(name, folder, rows=rows)
            for model in options.only.split(",") if options.only else names(binary):
                widths = [None] if model in WITHOUT_WIDTH else [int(w) for w in options.widths.split(",")]
                for width in widths:
                    if (name, model, width) in known:
                        continue
                    result = {
                        "set": name,
                        "model": model,
                        "width": width,
                        "rows": sum(map(len, parts)),
                        "dims": parts[0].shape[1],
                    }
                    try:
                        result |= measure(binary, folder, model, width, seconds, options.threads)
                    except Failed as fault:
                        result["fault"] = str(fault)
                    results.append(result)
                    print(describe(result), flush=True)
                    if options.json:
                        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
