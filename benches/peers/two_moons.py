#!/usr/bin/env python3
"""Two moons: the posterior that `diffeo.sbi.NPE` finds, beside that of `sbi` and draws of the exact one.

    pip install '.[test]'                          # the package for Python, from the root of the repository
    python3 benches/peers/two_moons.py             # 10,000 simulations; sbi too where it is installed
    python3 benches/peers/two_moons.py --simulations 1000 --plot moons.png

C2ST is the accuracy with which a neural network tells 1,000 draws of a posterior from 1,000 exact ones, over five folds: 0.5 is perfect (Lueckmann et al. 2021). The
means of three observations are shown. One thread each.
"""

import argparse
import importlib.util
import time

import diffeo
import numpy as np
from sklearn.model_selection import cross_val_score
from sklearn.neural_network import MLPClassifier

DRAWS = 1000


def crescent(n, rng):
    angle, radius = rng.uniform(-np.pi / 2, np.pi / 2, n), rng.normal(0.1, 0.01, n)
    return np.column_stack([radius * np.cos(angle) + 0.25, radius * np.sin(angle)])


def simulate(theta, rng):
    a, b = theta.T
    return crescent(len(theta), rng) + np.column_stack([-np.abs(a + b), b - a]) / np.sqrt(2)


def exact(x, n, rng):
    """Draws of the posterior: from the noise back to parameters, either side of the line a = -b."""
    found = np.empty((0, 2))
    while len(found) < n:
        p = np.sqrt(2) * (x - crescent(4 * n, rng))
        total = rng.choice([-1.0, 1.0], len(p)) * -p[:, 0]
        theta = np.column_stack([total - p[:, 1], total + p[:, 1]]) / 2
        inside = (p[:, 0] <= 0) & (np.abs(theta) <= 1).all(1)
        found = np.vstack([found, theta[inside]])
    return found[:n]


def c2st(a, b):
    both = np.vstack([a, b])
    both = (both - a.mean(0)) / a.std(0)
    network = MLPClassifier((20, 20), max_iter=1000, solver="adam", random_state=1)
    order = np.random.default_rng(1).permutation(len(both))
    label = np.repeat([0, 1], [len(a), len(b)])
    return cross_val_score(network, both[order], label[order], cv=5).mean()


def with_diffeo(theta, x):
    npe = diffeo.sbi.NPE(low=[-1, -1], high=[1, 1], threads=1)
    posterior = npe.append_simulations(theta, x).train(seed=0)
    return lambda observed: posterior.sample((DRAWS,), x=observed, seed=1)


def with_sbi(theta, x):
    import torch
    from sbi.inference import NPE
    from sbi.utils import BoxUniform

    torch.manual_seed(0)
    torch.set_num_threads(1)
    prior = BoxUniform(-torch.ones(2), torch.ones(2))
    inference = NPE(prior, show_progress_bars=False)
    as_tensor = lambda rows: torch.from_numpy(rows.astype(np.float32))  # noqa: E731
    inference.append_simulations(as_tensor(theta), as_tensor(x)).train()
    posterior = inference.build_posterior()
    return lambda observed: posterior.sample((DRAWS,), x=as_tensor(observed), show_progress_bars=False).numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument("--plot")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    theta = rng.uniform(-1, 1, size=(options.simulations, 2))
    x = simulate(theta, rng)
    observations = [np.zeros(2), *simulate(rng.uniform(-1, 1, size=(2, 2)), rng)]
    programs = {"diffeo": with_diffeo}
    if importlib.util.find_spec("sbi"):
        programs["sbi"] = with_sbi
    print(f"{options.simulations:,} simulations\n\n| program | C2ST | seconds of training |\n|---|--:|--:|")
    for name, train in programs.items():
        start = time.perf_counter()
        sample = train(theta, x)
        seconds = time.perf_counter() - start
        score = np.mean([c2st(exact(observed, DRAWS, rng), sample(observed)) for observed in observations])
        print(f"| {name} | {score:.3f} | {seconds:.0f} |", flush=True)
        if options.plot and name == "diffeo":
            posterior = diffeo.fit(sample(observations[0]), columns={"x1": "(-1, 1)", "x2": "(-1, 1)"}, seed=0)
            diffeo.plot(posterior, exact(observations[0], DRAWS, rng)).save(options.plot)


main()
