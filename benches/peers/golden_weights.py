"""Numbers for diffeo's importance weights and Markov chains by arviz-stats: tails and their smoothing, effective sizes and r-hat."""

import numpy as np
from arviz_stats.base import array_stats


def case(name, log_weights):
    # It takes log-likelihoods, of which weights are the inverses.
    smoothed, shape = array_stats.psislw(-log_weights)
    return {"name": name, "log_weights": log_weights.tolist(), "pareto_k": float(shape), "smoothed": smoothed.tolist()}


def weights(library):
    """Smoothed logarithms are those of weights that sum to one."""
    rng = np.random.default_rng(0)
    normal, other = rng.standard_normal(400), 3 + 0.5 * rng.standard_normal(400)
    # Sizes whose tails are whole numbers: the paper rounds them up, arviz-stats down.
    # Draws of a normal for a wider one, draws of a wide one for a narrower one, a lognormal, and tails with shapes of their own.
    cases = [
        case("too narrow a proposal", -0.5 * normal**2 / 1.5**2 + 0.5 * normal**2),
        case("a wide proposal", -0.5 * normal**2 / 0.7**2 + 0.5 * normal**2),
        case("lognormal, far from one", 700 + 2 * other),
        case("few draws", np.log(rng.pareto(2.0, 40))),
        case("an infinite mean", np.log(rng.pareto(0.7, 256))),
    ]
    return {"library": library, "about": "Pareto-smoothed importance weights", "cases": cases}


def walk(rng, correlation, chains=4, draws=150):
    """Autoregressive chains about zero."""
    values = rng.standard_normal((chains, draws))
    for t in range(1, draws):
        values[:, t] = correlation * values[:, t - 1] + (1 - correlation**2) ** 0.5 * values[:, t]
    return values


def chains(library):
    rng = np.random.default_rng(1)
    apart = walk(rng, 0.5) + np.array([[0.0], [0.0], [0.0], [1.5]])
    wide = walk(rng, 0.3) * np.array([[1.0], [1.0], [1.0], [4.0]])
    named = {
        "independent": walk(rng, 0.0),
        "slow": walk(rng, 0.9),
        "alternating": walk(rng, -0.6),
        "one chain elsewhere": apart,
        "one chain wider": wide,
        "whole numbers, with ties": np.round(2 * walk(rng, 0.4)),
        "odd, of heavy tails": np.tan(walk(rng, 0.6, draws=151)),
    }
    case = lambda name, values: {
        "name": name,
        "chains": values.tolist(),
        "bulk_effective_size": float(array_stats.ess(values, method="bulk", chain_axis=0, draw_axis=1)),
        "r_hat": float(array_stats.rhat(values, method="rank", chain_axis=0, draw_axis=1)),
    }
    cases = [case(name, values) for name, values in named.items()]
    return {"library": library, "about": "convergence of Markov chains", "cases": cases}
