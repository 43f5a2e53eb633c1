#!/usr/bin/env python3
"""When diffeo passes the best validation likelihood that zuko reaches: how much sooner a fit is as good.

    python3 benches/peers/time_to_quality.py                             # protein and MAGIC, 95 s for each of zuko's fits: 11 minutes
    python3 benches/peers/time_to_quality.py --sets magic_gamma --seconds 30 --batches 256

zuko is trained as in quality.py, once for each batch size, and its best fit counts: its best validation likelihood, and when it was
first reached. diffeo is fitted with default settings and as many threads; its training log says when it passes. The clock of both starts
after the data is in memory and includes validations.
"""

import environment

environment.enter()

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import datasets
import quality


def diffeo_history(binary, folder, threads):
    """Seconds and validation log-likelihood, in the order in which the log has them."""
    log = folder / "train.jsonl"
    command = [binary, "fit", folder / "train.parquet", "--valid", folder / "valid.parquet", "--out", folder / "m.safetensors"]
    command += ["--columns", quality.all_real(folder)]
    subprocess.run(
        [*map(str, command), "--log", str(log), "--quiet", "--threads", str(threads), "--seed", "0"],
        check=True,
        capture_output=True,
    )
    events = map(json.loads, log.read_text().splitlines())
    return [[event["seconds"], -event["valid_loss"]] for event in events if event["event"] == "validated"]


def compare(name, binary, options):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        parts, _ = datasets.prepare(name, folder)
        fits = []
        for batch in options.batches:
            report = quality.zuko_fit(parts, options.seconds, options.threads, batch=batch)[2]
            reached = next(seconds for seconds, score in report["history"] if score == report["valid"])
            fits.append({"batch": batch, "valid": report["valid"], "seconds": reached, "history": report["history"]})
        best = max(fits, key=lambda fit: fit["valid"])
        history = diffeo_history(binary, folder, options.threads)
        passed = next((seconds for seconds, score in history if score >= best["valid"]), None)
        return {"set": name, "zuko": fits, "best": best, "diffeo": history, "passed": passed}


def main():
    parser = argparse.ArgumentParser(description="time until diffeo's fit is as good as zuko's best")
    parser.add_argument("--sets", default="protein,magic_gamma", help=f"comma-separated, from {', '.join(datasets.SETS)}")
    parser.add_argument("--seconds", type=float, default=95, help="time for each of zuko's fits (95)")
    parser.add_argument("--batches", default="256,1024", help="zuko's batch sizes (256,1024)")
    parser.add_argument("--threads", type=int, default=2, help="threads of both programs (2)")
    parser.add_argument("--json", type=Path, default=None, help="write the results to this file")
    parser.add_argument("--binary", default=None, help="the diffeo to run (built with cargo when not given)")
    options = parser.parse_args()
    options.batches = [int(batch) for batch in options.batches.split(",")]
    binary = options.binary or quality.find_binary()
    print(f"{options.threads} threads; {environment.versions()}")
    print(f"{'set':<15}{'zuko: best valid, batch, after':<36}{'diffeo: passes after':<22}{'ratio':<8}diffeo at the end")
    results = []
    for name in options.sets.split(","):
        result = compare(name, binary, options)
        results.append(result)
        best, passed = result["best"], result["passed"]
        theirs = f"{best['valid']:9.3f}  {best['batch']:>5}  {best['seconds']:6.1f} s"
        ours = "never" if passed is None else f"{passed:6.1f} s"
        ratio = "" if passed is None else f"{best['seconds'] / passed:5.1f}"
        seconds, end = max(result["diffeo"], key=lambda point: point[1])
        print(f"{name:<15}{theirs:<36}{ours:<22}{ratio:<8}{end:.3f} after {seconds:.1f} s", flush=True)
        if options.json:
            options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
