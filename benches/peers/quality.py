#!/usr/bin/env python3
"""How good the densities are: `diffeo fit` with default settings beside zuko's neural spline flow, on real tables.

    python3 benches/peers/quality.py                         # six sets, 95 s a fit: about 25 minutes
    python3 benches/peers/quality.py --quick                 # the two tables of this repository, 5 s a fit
    python3 benches/peers/quality.py --sets protein,magic_gamma --seconds 30 --json quality.json

zuko: `NSF(transforms=5, hidden_features=(128, 128), bins=8)`, Adam 1e-3, batch 256, the weights of its best validation, trained
until the time is over. diffeo: no setting but `--max-time` (the same), on the same files and as many threads; it may end earlier.

The table shows the mean test log-likelihood in nats with its standard error (larger is better), and the classifier two-sample
test (C2ST): the accuracy, over five folds, with which gradient-boosted trees tell held-out rows from samples (0.5 is perfect).
Seconds are those of training with its validations for zuko, and of the whole process for diffeo.
"""

import environment

environment.enter()

import argparse
import copy
import json
import subprocess
import tempfile
import time
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as parquet
import torch
import zuko

CLASSIFIER_ROWS = 5000


def spline_flow(columns):
    return zuko.flows.NSF(columns, transforms=5, hidden_features=(128, 128), bins=8)


def zuko_fit(parts, seconds, threads, build=spline_flow, seed=0, batch=256):
    """Trains a flow of zuko's; returns test log-likelihoods, samples, and what the training did."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    train, valid, test = map(torch.from_numpy, parts)
    start = time.perf_counter()
    flow = build(train.shape[1])
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-3)
    best, best_state, history, step = -np.inf, None, [], 0
    interval = max(100, len(train) // batch)
    while time.perf_counter() - start < seconds:
        for rows in torch.randperm(len(train)).split(batch):
            loss = -flow().log_prob(train[rows]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            late = time.perf_counter() - start > seconds
            if step % interval == 0 or late:
                score = log_prob(flow, valid).mean().item()
                history.append([time.perf_counter() - start, score])
                if score > best:
                    best, best_state = score, copy.deepcopy(flow.state_dict())
            if late:
                break
    spent = time.perf_counter() - start
    flow.load_state_dict(best_state)
    with torch.no_grad():
        torch.manual_seed(seed)
        samples = torch.cat([flow().sample((len(rows),)) for rows in torch.arange(len(test)).split(1024)])
    return log_prob(flow, test).numpy(), samples.numpy(), {"seconds": spent, "steps": step, "valid": best, "history": history}


@torch.no_grad()
def log_prob(flow, rows):
    return torch.cat([flow().log_prob(part) for part in rows.split(4096)]).double()


def all_real(folder):
    names = parquet.read_schema(folder / "train.parquet").names
    return ",".join(f'"{name}"=real' for name in names)


def diffeo_fit(binary, folder, count, seconds, threads):
    """Fits with default settings, every column a density as it is to zuko; returns mean and error of the test log-likelihood, samples, and what
    the fit printed."""
    model, samples = folder / "model.safetensors", folder / "samples.parquet"

    def call(*arguments):
        command = [binary, *map(str, arguments), "--json", "--quiet", "--threads", str(threads)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: exit code {done.returncode}: {done.stderr.strip()[-600:]}")
        return json.loads(done.stdout)

    start = time.perf_counter()
    fit = call(
        "fit",
        folder / "train.parquet",
        "--valid",
        folder / "valid.parquet",
        "--out",
        model,
        "--columns",
        all_real(folder),
        "--max-time",
        f"{seconds:g}s",
        "--seed",
        0,
    )
    spent = time.perf_counter() - start
    evaluation = call("evaluate", model, folder / "test.parquet")
    call("sample", model, "-n", count, "--out", samples, "--seed", 0)
    report = {"seconds": spent, "steps": fit["steps"], "valid": fit["valid_log_prob_mean"], "stop_reason": fit["stop_reason"]}
    return evaluation["log_prob_mean"], evaluation["log_prob_stderr"], datasets.load(samples), report


def c2st(real, samples, seed=0):
    """Accuracy of gradient-boosted trees over five folds; rows that are not finite count as far away."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    count = min(len(real), len(samples), CLASSIFIER_ROWS)
    rows = np.nan_to_num(np.concatenate((real[:count], samples[:count])), nan=1e6, posinf=1e6, neginf=-1e6)
    labels = np.repeat([0, 1], count)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    model = HistGradientBoostingClassifier(random_state=seed)
    return float(cross_val_score(model, rows, labels, cv=folds).mean())


def compare(name, binary, seconds, threads, rows):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        parts, repeats = datasets.prepare(name, folder, rows=rows)
        test = parts[2]
        result = {"set": name, "rows": sum(map(len, parts)), "dims": test.shape[1], "repeats": repeats}
        scores, samples, report = zuko_fit(parts, seconds, threads)
        error = float(scores.std(ddof=1) / len(scores) ** 0.5)
        result["zuko"] = {"test": float(scores.mean()), "error": error, "c2st": c2st(test, samples), **report}
        try:
            mean, error, samples, report = diffeo_fit(binary, folder, len(test), seconds, threads)
            result["diffeo"] = {"test": mean, "error": error, "c2st": c2st(test, samples), **report}
        except (RuntimeError, KeyError, ValueError, OSError) as fault:
            result["diffeo"] = {"fault": str(fault)}
    return result


def find_binary():
    """The release build of the command line, brought up to date."""
    command = ["cargo", "build", "--release", "--quiet", "-p", "diffeo-cli", "--message-format=json-render-diagnostics"]
    built = subprocess.run(command, cwd=datasets.REPOSITORY, stdout=subprocess.PIPE, text=True, check=True).stdout
    messages = map(json.loads, built.splitlines())
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "diffeo")


def show(result):
    def cells(side):
        if "fault" in side:
            return f"{'failed':<35}"
        return f"{side['test']:9.3f} +- {side['error']:.3f}  {side['c2st']:.3f} {side['seconds']:6.1f} s"

    shape = f"{result['set']:<15}{result['rows']:>7} x {result['dims']:<3} {result['repeats']:6.1%}"
    print(f"{shape}  {cells(result['diffeo'])}   {cells(result['zuko'])}", flush=True)
    if "fault" in result["diffeo"]:
        print(f"    {result['diffeo']['fault']}", flush=True)


def main():
    parser = argparse.ArgumentParser(description="test likelihood and samples of diffeo beside zuko's")
    parser.add_argument("--sets", default=None, help=f"comma-separated, from {', '.join(datasets.SETS)}")
    parser.add_argument("--seconds", type=float, default=None, help="time for each fit (95)")
    parser.add_argument("--threads", type=int, default=2, help="threads of both programs (2)")
    parser.add_argument("--quick", action="store_true", help="the two shipped tables, at most 4,000 rows, 5 s a fit")
    parser.add_argument("--json", type=Path, default=None, help="write the results to this file")
    parser.add_argument("--binary", default=None, help="the diffeo to run (built with cargo when not given)")
    options = parser.parse_args()
    names = options.sets.split(",") if options.sets else datasets.QUICK if options.quick else datasets.DEFAULT
    missing = [name for name in names if not datasets.SETS[name].exists()]
    if missing:
        print(f"not on this machine, left out: {', '.join(missing)}")
        names = [name for name in names if name not in missing] or datasets.QUICK
    seconds = options.seconds or (5 if options.quick else 95)
    binary = options.binary or find_binary()
    print(f"{seconds:g} s a fit, {options.threads} threads; {environment.versions()}")
    print(
        f"{'set':<15}{'rows x columns':<15}{'repeats':<8} {'diffeo: test nats   C2ST   time':<38} zuko: test nats   C2ST   time"
    )
    results = []
    for name in names:
        results.append(compare(name, binary, seconds, options.threads, 4000 if options.quick else None))
        show(results[-1])
        if options.json:
            options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
