#!/usr/bin/env python3
"""Posteriors of simulators: diffeo and the sbi package on the same simulations, held to reference draws.

    python3 benches/peers/posteriors.py                              # six simulators: about an hour
    python3 benches/peers/posteriors.py --only two_moons,slcp --json posteriors.json
    python3 benches/peers/posteriors.py --only two_moons --without-sbi

The simulators are those of Lueckmann et al., Benchmarking Simulation-Based Inference (AISTATS 2021), written here from their
description; observations and 10,000 reference draws of each posterior are that project's. Both sides see the same
`--simulations` pairs: `diffeo fit` with the kinds of the parameters and the observation as context and no other setting, `sbi`
its default NPE. `C2ST` is the accuracy of a classifier (an MLP, five-fold) that tells draws from reference draws, 0.5 for the
same distribution; `leak` the share of draws outside the prior before any are rejected; `fit` the seconds of training.
"""

import environment

environment.enter()

import argparse
import contextlib
import json
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as parquet
from quality import find_binary
from scipy.integrate import solve_ivp
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier

REFERENCES = datasets.SHARED / "posteriors" / "sbi"
DRAWS = 5000


class Uniform:
    def __init__(self, dims, bound):
        self.dims, self.bound = dims, bound
        self.kinds = [f"({-bound},{bound})"] * dims

    def draw(self, n, rng):
        return rng.uniform(-self.bound, self.bound, (n, self.dims))

    def contains(self, parameters):
        return (np.abs(parameters) <= self.bound).all(axis=1)

    def torch(self):
        import torch
        from sbi.utils import BoxUniform

        return BoxUniform(-self.bound * torch.ones(self.dims), self.bound * torch.ones(self.dims))


class Normal:
    def __init__(self, dims, variance):
        self.dims, self.deviation = dims, variance**0.5
        self.kinds = ["real"] * dims

    def draw(self, n, rng):
        return self.deviation * rng.standard_normal((n, self.dims))

    def contains(self, parameters):
        return np.ones(len(parameters), bool)

    def torch(self):
        import torch

        return torch.distributions.MultivariateNormal(torch.zeros(self.dims), self.deviation**2 * torch.eye(self.dims))


class LogNormal:
    def __init__(self, means, deviation):
        self.means, self.deviation = np.array(means), deviation
        self.kinds = ["positive"] * len(means)

    def draw(self, n, rng):
        return np.exp(self.means + self.deviation * rng.standard_normal((n, len(self.means))))

    def contains(self, parameters):
        return (parameters > 0).all(axis=1)

    def torch(self):
        import torch

        means = torch.as_tensor(self.means, dtype=torch.float32)
        return torch.distributions.Independent(torch.distributions.LogNormal(means, self.deviation), 1)


def two_moons(parameters, rng):
    n = len(parameters)
    angle, radius = rng.uniform(-np.pi / 2, np.pi / 2, n), 0.1 + 0.01 * rng.standard_normal(n)
    a, b = parameters.T
    moved = [-np.abs(a + b), b - a] / np.sqrt(2)
    return np.stack([radius * np.cos(angle) + 0.25 + moved[0], radius * np.sin(angle) + moved[1]], axis=1)


def slcp(parameters, rng):
    """Four points of a normal distribution in the plane."""
    mean, (s1, s2) = parameters[:, :2], parameters[:, 2:4].T ** 2
    rho = np.tanh(parameters[:, 4])
    z = rng.standard_normal((len(parameters), 4, 2))
    first = s1[:, None] * z[..., 0]
    second = s2[:, None] * (rho[:, None] * z[..., 0] + np.sqrt(1 - rho**2)[:, None] * z[..., 1])
    return (mean[:, None] + np.stack([first, second], axis=2)).reshape(-1, 8)


def gaussian_linear(parameters, rng):
    return parameters + 0.1**0.5 * rng.standard_normal(parameters.shape)


def gaussian_mixture(parameters, rng):
    deviation = np.where(rng.random(len(parameters)) < 0.5, 1.0, 0.1)
    return parameters + deviation[:, None] * rng.standard_normal(parameters.shape)


def lotka_volterra(parameters, rng):
    """Prey and predators at ten times, seen with log-normal noise; a run that blows up gives NaN."""
    times = np.arange(10) * 2.1
    observed = np.full((len(parameters), 20), np.nan)
    for i, (alpha, beta, gamma, delta) in enumerate(parameters):

        def slope(_, state):
            prey, predators = state
            return [alpha * prey - beta * prey * predators, delta * prey * predators - gamma * predators]

        run = solve_ivp(slope, (0, 20), [30.0, 1.0], t_eval=times, rtol=1e-6, atol=1e-9, method="LSODA")
        if run.success:
            observed[i] = np.log(np.maximum(run.y, 1e-10)).ravel()
    return np.exp(observed + 0.1 * rng.standard_normal(observed.shape))


TASKS = {
    "two_moons": (Uniform(2, 1), two_moons),
    "slcp": (Uniform(5, 3), slcp),
    "gaussian_linear": (Normal(10, 0.1), gaussian_linear),
    "gaussian_linear_uniform": (Uniform(10, 1), gaussian_linear),
    "gaussian_mixture": (Uniform(2, 10), gaussian_mixture),
    "lotka_volterra": (LogNormal([-0.125, -3, -0.125, -3], 0.5), lotka_volterra),
}


def references(task):
    """Each observation with its reference draws."""
    for file in sorted((REFERENCES / task).glob("*_observation.json")):
        table = parquet.read_table(file.with_name(file.name.replace("_observation.json", "_posterior.parquet")))
        draws = np.stack([column.to_numpy() for column in table.columns], axis=1)
        yield np.array(json.loads(file.read_text())["observation"]), draws[:DRAWS]


def c2st(draws, reference):
    """Accuracy of a classifier in telling the two, each column standardised by the reference."""
    scale = reference.mean(axis=0), reference.std(axis=0)
    rows = (np.concatenate([draws, reference]) - scale[0]) / scale[1]
    labels = np.repeat([0, 1], [len(draws), len(reference)])
    width = 10 * rows.shape[1]
    classifier = MLPClassifier((width, width), max_iter=1000, random_state=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cross_val_score(classifier, rows, labels, cv=KFold(5, shuffle=True, random_state=1), n_jobs=2).mean()


class Diffeo:
    """The command line."""

    def __init__(self, binary, arguments, threads):
        self.binary, self.arguments, self.threads = binary, arguments, threads

    def run(self, *arguments):
        command = [self.binary, *arguments, "--quiet", "--threads", self.threads]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)

    def posteriors(self, prior, parameters, observations, observed, folder):
        names, seen = [[f"{c}{i}" for i in range(len(rows[0]))] for c, rows in (("p", parameters), ("x", observations))]
        columns = [np.ascontiguousarray(column) for column in (*parameters.T, *observations.T)]
        parquet.write_table(pa.table(columns, names=[*names, *seen]), folder / "simulations.parquet")
        kinds = ",".join(f"{name}={kind}" for name, kind in zip(names, prior.kinds, strict=True))
        start = time.perf_counter()
        fitted = ["--columns", kinds, "--context", ",".join(f"{name}=real" for name in seen), *self.arguments]
        self.run(
            "fit", folder / "simulations.parquet", *fitted, "--seed", 0, "--out", folder / "posterior.safetensors", "--force"
        )
        seconds = time.perf_counter() - start
        draws = []
        for observation in observed:
            csv.write_csv(pa.table([[v] for v in observation], names=seen), folder / "observed.csv")
            at = ["--context", folder / "observed.csv", "--repeats", DRAWS, "--seed", 0]
            self.run("sample", folder / "posterior.safetensors", *at, "--out", folder / "draws.parquet", "--force")
            table = parquet.read_table(folder / "draws.parquet", columns=names)
            draws.append(np.stack([column.to_numpy() for column in table.columns], axis=1))
        leak = np.mean([~prior.contains(rows) for rows in draws])
        return {"seconds": seconds, "leak": leak}, draws


class Sbi:
    """The default neural posterior estimation of the sbi package; its small products gain nothing from a second thread."""

    def __init__(self, threads):
        self.threads = threads

    def posteriors(self, prior, parameters, observations, observed, folder):
        import torch
        from sbi.inference import NPE

        torch.manual_seed(0)
        torch.set_num_threads(self.threads)
        tensors = [torch.as_tensor(rows, dtype=torch.float32) for rows in (parameters, observations)]
        start = time.perf_counter()
        with contextlib.chdir(folder):  # where its logs may go
            inference = NPE(prior=prior.torch(), show_progress_bars=False)
            estimator = inference.append_simulations(*tensors).train()
        seconds = time.perf_counter() - start
        posterior = inference.build_posterior(estimator)
        draws, inside = [], []
        for observation in observed:
            x = torch.as_tensor(observation, dtype=torch.float32)[None]
            draws.append(posterior.sample((DRAWS,), x=x, show_progress_bars=False).numpy())
            with torch.no_grad():
                free = estimator.sample((DRAWS,), condition=x).numpy().reshape(DRAWS, -1)
            inside.append(prior.contains(free))
        return {"seconds": seconds, "leak": 1 - np.mean(inside)}, draws


def measure(task, sides, simulations, seed, result):
    """Adds to `result` what is not in it yet."""
    prior, simulate = TASKS[task]
    rng = np.random.default_rng(seed)
    parameters = prior.draw(simulations, rng)
    observations = simulate(parameters, rng)
    whole = np.isfinite(observations).all(axis=1)
    parameters, observations = parameters[whole], observations[whole]
    observed, reference = zip(*references(task), strict=True)
    result |= {"task": task, "simulations": int(whole.sum())}
    for name, side in sides.items():
        if name in result:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found, draws = side.posteriors(prior, parameters, observations, observed, Path(folder))
        found["c2st"] = [c2st(rows, exact) for rows, exact in zip(draws, reference, strict=True)]
        result[name] = found
        each = " ".join(f"{accuracy:.3f}" for accuracy in found["c2st"])
        print(
            f"{task:<25}{name:<8} {np.mean(found['c2st']):.3f} ({each}) {found['seconds']:7.1f} s  leak {found['leak']:.1%}",
            flush=True,
        )
        yield


def main():
    parser = argparse.ArgumentParser(description="posteriors of simulators beside the sbi package")
    parser.add_argument("--only", default=",".join(TASKS), help=f"comma-separated, from {', '.join(TASKS)}")
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sbi-threads", type=int, default=1)
    parser.add_argument("--without-sbi", action="store_true")
    parser.add_argument("--fit", default="", help="more arguments of diffeo fit")
    parser.add_argument("--json", type=Path, default=None, help="results to add to; what is there is not measured again")
    parser.add_argument("--binary", default=None, help="the diffeo to run (built with cargo when not given)")
    options = parser.parse_args()
    sides = {"diffeo": Diffeo(options.binary or find_binary(), options.fit.split(), options.threads)}
    if not options.without_sbi:
        sides["sbi"] = Sbi(options.sbi_threads)
    print(f"{'simulator':<25}{'':<8} C2ST (each observation)       fit")
    results = json.loads(options.json.read_text()) if options.json and options.json.exists() else []
    for task in options.only.split(","):
        if all(result["task"] != task for result in results):
            results.append({"task": task})
        [result] = [result for result in results if result["task"] == task]
        for _ in measure(task, sides, options.simulations, options.seed, result):
            if options.json:
                options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
