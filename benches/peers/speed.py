#!/usr/bin/env python3
"""How fast diffeo is beside zuko, FlowJAX, diffrax, nflows, normflows and UMNN, and beside the machine's limit, on the same shapes.

    python3 benches/peers/speed.py                      # everything, about 20 minutes on an idle machine
    python3 benches/peers/speed.py --quick              # small models and the middle batch, 1 minute
    python3 benches/peers/speed.py --json speed.json    # a list of {model, d, hidden, batch, op, diffeo_ms, zuko_ms,
                                                        #            flowjax_ms, diffrax_ms, nflows_ms, normflows_ms, umnn_ms,
                                                        #            pytorch_ms, limit_ms}, and with log_prob the mean
                                                        #            log-density of each, diffeo_nats ...
    python3 benches/peers/speed.py --memory             # peak memory of a training process instead

Each library runs in a process of its own (worker.py has the protocol). For a row of the table the processes take turns, several
rounds each, so that what else the machine does hits all alike; a time is the median over all rounds. The machine must
be idle otherwise.

`limit_ms` is the time that the necessary products would take at the rate that the fastest library reaches for large square
products in this run. Necessary are, for each weight that the masks let through, 2 operations for a row's density, 2 for a
sample (every weight is needed once if hidden units are sorted), and 6 for training (output, gradient of the weight,
gradient of the input), less the gradient of the data. Scalar maps, activations and the optimizer are not counted: with what
is lost elsewhere, they make the fraction smaller than 1.
"""

import environment

environment.enter()

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

REPOSITORY = environment.HERE.parents[1]
LAYERS, BINS = 2, 8
PEERS = ("zuko", "flowjax", "diffrax", "nflows", "normflows", "umnn", "pytorch")
OPS = ("train", "log_prob", "sample")
# model, d, hidden, transforms, batches; the first batch is that of the table in docs/performance.md
ROWS = [
    ("maf", 2, 64, 3, (256, 64, 4096)),
    ("nsf", 2, 64, 3, (256, 64, 4096)),
    ("maf", 6, 256, 5, (512, 64, 4096)),
    ("nsf", 6, 256, 5, (512, 64, 4096)),
    ("maf", 43, 512, 5, (512, 64, 4096)),
    ("nsf", 43, 256, 5, (512, 64, 4096)),
    ("maf", 200, 512, 5, (64,)),
    ("nsf", 200, 256, 5, (64,)),
    ("bernstein", 6, 256, 5, (512, 4096)),
    ("sos", 6, 256, 5, (512, 4096)),
    ("qnsf", 6, 256, 5, (512, 4096)),
    ("naf", 6, 256, 5, (512, 4096)),
    ("umnn", 6, 256, 5, (512, 4096)),
    ("ffjord", 6, 64, 1, (512,)),
    ("resflow", 6, 64, 5, (512,)),
    ("t-maf", 10, 128, 2, (512,)),
    ("glow", 784, 128, 4, (128,)),
    ("tarflow", 784, 128, 4, (128,)),
]
IMAGES = {"glow": [28, 28, 1], "tarflow": [28, 28, 1]}
# Parameters that the scalar map of a column needs; what a model without such maps must do depends on its data.
PER_COLUMN = {
    "maf": 2,
    "nsf": 3 * BINS - 1,
    "bernstein": BINS + 1,
    "sos": 3 * (-(-BINS // 2) + 1) + 1,
    "qnsf": 2 * BINS - 1,
    "naf": 3 * 2 * BINS + 2,
    "umnn": 3 * BINS + 2,
}
# What is asked for of models of images, beside those of the same size: at least twice as fast.
IMAGES_TARGET = 2
# What is asked for: at least so many times as fast as zuko and FlowJAX.
TARGETS = {"train": (3, 2), "log_prob": (3, 3)}
LEARNING = ("ffjord", "resflow")  # of these the likelihood is shown, see worker.py
COSTLY = ("naf", "umnn", "ffjord", "resflow", "t-maf")  # of these three times in everything
SAMPLE_TARGETS = {6: 10, 43: 30, 200: 100}


class Worker:
    """A process that answers requests, or none when it cannot be had."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended while it served {request}")
        return json.loads(line)

    def peak_megabytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def commands(threads, diffeo, leave_out):
    worker = str(environment.HERE / "worker.py")
    found = {name: [sys.executable, worker, name, str(threads)] for name in PEERS}
    if "diffeo" not in leave_out:
        found = {"diffeo": [diffeo or build(), str(threads)], **found}
    return {name: command for name, command in found.items() if name not in leave_out}


def build():
    command = [
        "cargo",
        "build",
        "--release",
        "--quiet",
        "-p",
        "diffeo",
        "--example",
        "speed",
        "--message-format=json-render-diagnostics",
    ]
    built = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True).stdout
    messages = map(json.loads, built.splitlines())
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "speed")


def necessary_operations(model, d, hidden, transforms, batch, op):
    """Operations of the products of a batch, zeros of the masks left out; degrees as MADE's, spread evenly over the units."""
    if model not in PER_COLUMN:
        return None
    lowest = min(1, d - 1)
    degrees = [lowest + unit * max(1, d - lowest) // hidden for unit in range(hidden)]
    at_most = [sum(degree <= m for degree in degrees) for m in range(d + 1)]
    inputs = sum(min(degree, d) for degree in degrees)
    between = (LAYERS - 1) * sum(at_most[degree] for degree in degrees)
    outputs = PER_COLUMN[model] * sum(at_most[column] for column in range(d))
    weights = inputs + between + outputs
    if op != "train":
        return 2 * batch * transforms * weights
    return batch * (6 * transforms * weights - 2 * inputs)


def measure(workers, row, batch, op, rounds, seconds):
    model, d, hidden, transforms, _ = row
    request = {
        "model": model,
        "d": d,
        "hidden": hidden,
        "layers": LAYERS,
        "transforms": transforms,
        "bins": BINS,
        "batch": batch,
        "op": op,
    }
    if model in IMAGES:
        request["image"] = IMAGES[model]
    times, nats = {name: [] for name in workers}, {}
    for turn in range(rounds):
        # Every other round goes the other way, so that none always follows the same one.
        for name in list(workers)[:: 1 if turn % 2 == 0 else -1]:
            # A call that takes seconds is not repeated more often than a median needs.
            if turn >= 3 and times[name] and times[name][0] > 2e3:
                continue
            answer = workers[name].ask(**request, seconds=seconds)
            if "error" in answer:
                if "to compare with" not in answer["error"]:
                    print(f"{name}: {request}: {answer['error']}", file=sys.stderr)
                continue
            times[name] += answer["ms"]
            nats[name] = answer.get("nats")
    result = {"model": model, "d": d, "hidden": hidden, "batch": batch, "op": op}
    for name in ("diffeo", *PEERS):
        result[f"{name}_ms"] = statistics.median(times[name]) if times.get(name) else None
        result[f"{name}_nats"] = nats.get(name)
    return result


def product_rate(workers, seconds=0.5):
    """Operations a millisecond of the fastest library's square products."""
    rates = {}
    for name, worker in workers.items():
        answer = worker.ask(op="product", size=1536, seconds=seconds)
        if "gflops" in answer:
            rates[name] = max(answer["gflops"])
    return rates


def target(result):
    if result["model"] in IMAGES:
        return dict.fromkeys(PEERS, IMAGES_TARGET if result["op"] != "log_prob" else None)
    if result["model"] in COSTLY:
        return dict.fromkeys(PEERS, 3)
    zuko, flowjax = TARGETS.get(result["op"], (SAMPLE_TARGETS.get(result["d"]),) * 2)
    return {**dict.fromkeys(PEERS), "zuko": zuko, "flowjax": flowjax}


def show(result):
    number = lambda value: f"{value:9.3f}" if value is not None else f"{'-':>9}"
    shape = f"{result['model']} {result['d']:>4} {result['hidden']:>4} {result['batch']:>5} {result['op']:<9}"
    line = f"{shape}{number(result['diffeo_ms'])}"
    for name in PEERS:
        ratio = result[f"{name}_ms"] / result["diffeo_ms"] if result["diffeo_ms"] and result[f"{name}_ms"] else None
        wanted = target(result)[name]
        short = "!" if ratio and wanted and ratio < wanted else " "
        line += f" {number(result[f'{name}_ms'])} {number(ratio)}{short}"
    fraction = result["limit_ms"] / result["diffeo_ms"] if result["diffeo_ms"] and result["limit_ms"] else None
    print(f"{line} {number(result['limit_ms'])} {number(fraction)}", flush=True)
    reached = [f"{name} {result[f'{name}_nats']:.3f}" for name in ("diffeo", *PEERS) if result.get(f"{name}_nats")]
    if result["model"] in LEARNING and reached:
        print(f"    nats: {', '.join(reached)}", flush=True)


def summarise(results):
    """The targets that hold over all rows, and the rows that miss them."""
    for op in OPS:
        for name in PEERS:
            ratios = [
                (r[f"{name}_ms"] / r["diffeo_ms"], r) for r in results if r["op"] == op and r["diffeo_ms"] and r[f"{name}_ms"]
            ]
            if ratios:
                least, worst = min(ratios, key=lambda pair: pair[0])
                missed = sum(1 for ratio, r in ratios if target(r)[name] and ratio < target(r)[name])
                where = f"{worst['model']} d={worst['d']} batch {worst['batch']}"
                tail = f"below the target in {missed} of {len(ratios)} rows"
                print(f"{op:<9} {name:<8} {least:7.2f} times as fast at least ({where}), {tail}")
    key = lambda r: (r["model"], r["d"], r["batch"])
    density = {key(r): r["diffeo_ms"] for r in results if r["op"] == "log_prob" and r["diffeo_ms"]}
    costs = [
        (r["diffeo_ms"] / density[key(r)], key(r))
        for r in results
        if r["op"] == "sample" and r["diffeo_ms"] and key(r) in density
    ]
    if costs:
        print(
            "sampling takes at most {:.2f} times as long as log_prob ({} d={} batch {}); the target is 3".format(
                *(lambda c: (c[0], *c[1]))(max(costs))
            )
        )


def markdown(results):
    """The table of docs/performance.md; ratios below their target are bold."""
    number = lambda value: f"{value:.3g}" if value < 100 else f"{value:,.0f}"
    timed = [name for name in PEERS if any(result[f"{name}_ms"] for result in results)]
    titles = [{"flowjax": "FlowJAX", "umnn": "UMNN", "pytorch": "PyTorch"}.get(name, name) for name in timed]
    head = ["model", "d", "hidden", "batch", "op", "diffeo", *titles, *(f"{t} / diffeo" for t in titles), "limit", "fraction"]
    lines = [
        "| " + " | ".join(head) + " |",
        "|" + "|".join("--:" if title not in ("model", "op") else "---" for title in head) + "|",
    ]
    for result in results:
        ours, cells = result["diffeo_ms"], [str(result[key]) for key in ("model", "d", "hidden", "batch", "op")]
        peers = {name: result[f"{name}_ms"] for name in timed}
        cells += [number(value) if value else "" for value in (ours, *peers.values())]
        for name, theirs in peers.items():
            ratio, wanted = (theirs / ours if theirs and ours else None), target(result)[name]
            bold = "**" if ratio and wanted and ratio < wanted else ""
            cells.append(f"{bold}{ratio:.1f}{bold}" if ratio else "")
        limit = result["limit_ms"]
        cells += [number(limit), f"{limit / ours:.2f}"] if limit and ours else ["", ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def memory(every):
    """Peak memory of a fresh process that trains for a second."""
    print(f"{'peak MB of training':<22}" + "".join(f"{name:>10}" for name in every))
    for model, d, hidden, transforms, batches in ROWS[:6]:
        line = f"{model} {d:>3} {hidden:>4} {batches[0]:>5}"
        for command in every.values():
            worker = Worker(command)
            worker.ask(
                model=model,
                d=d,
                hidden=hidden,
                layers=LAYERS,
                transforms=transforms,
                bins=BINS,
                batch=batches[0],
                op="train",
                seconds=1.0,
            )
            line += f"{worker.peak_megabytes():>10.0f}"
            worker.close()
        print(f"{line[:18]:<22}{line[18:]}", flush=True)


def main():
    parser = argparse.ArgumentParser(description="times of diffeo, zuko and FlowJAX on the same shapes")
    parser.add_argument("--quick", action="store_true", help="d = 2 and 6, the middle batch, fewer rounds")
    parser.add_argument("--json", type=Path, default=None, help="write the results to this file")
    parser.add_argument("--markdown", type=Path, default=None, help="write the table of docs/performance.md to this file")
    parser.add_argument("--memory", action="store_true", help="peak memory of training instead of times")
    parser.add_argument("--threads", type=int, default=2, help="threads of every library (2)")
    parser.add_argument("--rounds", type=int, default=None, help="turns of each library for a row (5)")
    parser.add_argument("--seconds", type=float, default=None, help="length of a turn (0.5)")
    parser.add_argument("--only", default="", help="rows whose 'model d hidden batch op' holds this text, such as 'nsf 43'")
    parser.add_argument("--without", default="", help="libraries to leave out, comma-separated")
    parser.add_argument("--diffeo", default=None, help="the program to time (built with cargo when not given)")
    options = parser.parse_args()
    every = commands(options.threads, options.diffeo, options.without.split(","))
    if options.memory:
        return memory(every)
    rounds = options.rounds or (3 if options.quick else 5)
    seconds = options.seconds or (0.2 if options.quick else 0.5)
    rows = [(row[:4] + (row[4][:1],)) for row in ROWS[:4]] if options.quick else ROWS
    workers = {name: Worker(command) for name, command in every.items()}
    rates = product_rate(workers)
    print(f"{options.threads} threads; {environment.versions()}")
    print("products, GFLOP/s: " + ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items()))
    print("milliseconds; ratios are how many times as fast diffeo is, ! marks one below the target")
    titles = ("diffeo", *(title for name in PEERS for title in (name, "ratio ")), "limit", "fraction")
    print(f"{'model  d  hid batch op':<28}" + "".join(f"{title:>10}" for title in titles))
    results, flops = [], []
    for row in rows:
        for batch in row[4]:
            for op in OPS:
                if options.only not in " ".join(map(str, (*row[:3], batch, op))):
                    continue
                result = measure(workers, row, batch, op, rounds, seconds)
                flops.append(necessary_operations(*row[:4], batch, op))
                result["limit_ms"] = flops[-1] and flops[-1] / (1e6 * max(rates.values()))
                results.append(result)
                show(result)
    again = product_rate(workers)
    print("products, GFLOP/s, at the end: " + ", ".join(f"{name} {rate:.0f}" for name, rate in again.items()))
    best = max(*rates.values(), *again.values())
    for result, operations in zip(results, flops, strict=True):
        result["limit_ms"] = operations and operations / (1e6 * best)
    summarise(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(markdown(results))
    for worker in workers.values():
        worker.close()


if __name__ == "__main__":
    main()
