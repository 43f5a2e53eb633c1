"""Targets that functions of Python's give, and posteriors of simulators."""

import numpy as np
import pytest

import diffeo


def gauss_and_gamma(x):
    """A normal of deviation 2 about 1, and a gamma of shape 3 and rate 2."""
    a, b = x[:, 0], x[:, 1]
    values = -0.5 * ((a - 1) / 2) ** 2 + 2 * np.log(b) - 2 * b
    return values, np.column_stack([-(a - 1) / 4, 2 / b - 2])


def test_means_and_evidence_of_a_target():
    fitted = diffeo.inference.fit(gauss_and_gamma, {"a": "real", "b": "positive"}, steps=400, seed=0)
    draws = fitted.draw(10_000)
    assert draws.weights.effective_size > 9000 and "worth" in draws.verdict
    for name, expected in (("a", 1.0), ("b", 1.5)):
        mean, error = draws.mean(name)
        assert abs(mean - expected) < 5 * error < 0.2
    evidence, error = draws.log_evidence
    assert abs(evidence - np.log(2 * np.sqrt(2 * np.pi) * 2 / 8)) < 5 * error + 0.01
    assert np.isclose(draws.resampled(5000)[:, 1].mean(), 1.5, atol=0.1)
    assert np.array_equal(fitted.draw(10).x, fitted.draw(10).x)


def test_domains_hold():
    def target(x):
        return np.zeros(len(x)), np.zeros_like(x)

    domains = {"share": ("simplex", 3), "place": "[2, 5]", "cuts": ("ordered", 2)}

    def bounded(x):
        values, gradients = target(x)
        gradients[:, 4:] = -x[:, 4:]
        return values - 0.5 * (x[:, 4:] ** 2).sum(1), gradients

    draws = diffeo.inference.fit(bounded, domains, steps=200, seed=0).draw(2000)
    assert np.allclose(draws["share"].sum(1), 1) and (draws["share"] >= 0).all()
    assert ((draws["place"] >= 2) & (draws["place"] <= 5)).all()
    assert (np.diff(draws["cuts"], axis=1) > 0).all()
    assert abs(draws.mean("place")[0] - 3.5) < 0.1
    with pytest.raises(KeyError):
        draws["none"]


def test_what_targets_raise_and_give_wrongly():
    def fail(x):
        raise RuntimeError("no density today")

    with pytest.raises(RuntimeError, match="no density today"):
        diffeo.inference.fit(fail, 2)
    with pytest.raises(diffeo.DataError, match="expected .log-densities, gradients."):
        diffeo.inference.fit(lambda x: 0.0, 2)
    with pytest.raises(diffeo.DataError, match=r"found \(.*\) and \(.*\)"):
        diffeo.inference.fit(lambda x: (x[:, 0], x[:, 0]), 2)
    with pytest.raises(diffeo.ConfigError, match="real, positive"):
        diffeo.inference.fit(gauss_and_gamma, {"a": "reel", "b": "positive"})


def test_weights_of_ones_own():
    rng = np.random.default_rng(0)
    x = 1.5 * rng.normal(size=5000)
    weights = diffeo.inference.Weights(-0.5 * x**2 + 0.5 * (x / 1.5) ** 2)
    assert weights.is_good and abs(weights.mean(x**2)[0] - 1) < 0.1
    shifted = diffeo.inference.Weights(weights.log + 700)
    assert np.isclose(shifted.effective_size, weights.effective_size)
    bad = diffeo.inference.Weights(20 * rng.normal(size=1000))
    assert not bad.is_good and "draws" in bad.verdict


def moons(theta, rng):
    """The two moons of Greenberg, Nonnenmacher and Macke (2019)."""
    angle, radius = rng.uniform(-np.pi / 2, np.pi / 2, len(theta)), rng.normal(0.1, 0.01, len(theta))
    first = np.column_stack([radius * np.cos(angle) + 0.25, radius * np.sin(angle)])
    a, b = theta.T
    return first + np.column_stack([-np.abs(a + b), b - a]) / np.sqrt(2)


def test_a_posterior_of_a_simulator():
    rng = np.random.default_rng(0)
    theta = rng.uniform(-1, 1, size=(3000, 2))
    x = np.column_stack([moons(theta, rng), np.ones(len(theta))])  # a number that tells nothing
    npe = diffeo.sbi.NPE(low=[-1, -1], high=[1, 1], hidden=(32, 32), transforms=3)
    posterior = npe.append_simulations(theta[:2000], x[:2000]).append_simulations(theta[2000:], x[2000:]).train(epochs=20, seed=0)
    drawn = posterior.sample((500,), x=[0.0, 0.0, 1.0], seed=0)
    assert drawn.shape == (500, 2) and np.abs(drawn).max() <= 1
    # Both moons, which are images of each other in the line a = -b.
    sides = np.sign(drawn.sum(1))
    assert 0.2 < (sides > 0).mean() < 0.8
    assert posterior.log_prob([[2.0, 0.0]], x=[0, 0, 1]) == -np.inf
    inside = posterior.set_default_x([0, 0, 1]).log_prob(drawn)
    assert np.isfinite(inside).all() and inside.mean() > np.log(0.25)
    with pytest.raises(diffeo.DataError, match="3 numbers"):
        posterior.sample(5, x=[0, 0])
    report = posterior.check(theta[:500], x[:500], samples=500)
    assert any(check.name.startswith("coverage") or "rank" in check.name for check in report)


def test_priors_of_torch_and_bounds():
    class Box:
        low, high = [0.0, -1.0], [1.0, 1.0]

    class Independent:
        base_dist = Box()

    rng = np.random.default_rng(0)
    theta = rng.uniform([0, -1], [1, 1], size=(300, 2))
    for prior in (Box(), Independent()):
        model = diffeo.sbi.NPE(prior, model="maf", names=["a", "b"]).append_simulations(theta, theta).train(steps=5, seed=0).model
        assert model.columns == ["a", "b"] and model.kinds["a"] == "(0, 1)" and model.kinds["b"] == "(-1, 1)"
    with pytest.raises(diffeo.ConfigError, match="low and high"):
        diffeo.sbi.NPE(object())
    with pytest.raises(diffeo.ConfigError, match="append_simulations"):
        diffeo.sbi.NPE().train()
    for low, high in ((1, 1), ([1, 1], [-1, -1]), ([0, 0], [1, 1, 1])):
        with pytest.raises(diffeo.ConfigError, match="bounds|low < high"):
            diffeo.sbi.NPE(low=low, high=high)


def test_a_second_round_stays_where_the_posterior_is():
    rng = np.random.default_rng(0)

    def simulate(theta):
        return theta**3 + 0.05 * rng.normal(size=theta.shape)

    theta, observed = rng.uniform(-1, 1, (2000, 2)), [0.3, -0.1]
    npe = diffeo.sbi.NPE(low=-1, high=[1, 1], epochs=30)
    posterior = npe.append_simulations(theta, simulate(theta)).train(seed=0)
    proposal = posterior.restricted_prior(x=observed)
    drawn = proposal.sample((500,), seed=1)
    assert proposal.sample(np.int64(3)).shape == (3, 2) and proposal.sample().shape == (2,)
    with pytest.raises(diffeo.ConfigError, match="sample_shape"):
        proposal.sample(-1)
    assert drawn.shape == (500, 2) and proposal.within(drawn).all() and 0 < proposal.acceptance_rate < 0.6
    # The exact posterior: each parameter by itself, on a grid.
    grid = np.linspace(-1, 1, 2001)
    for j in range(2):
        exact = np.exp(-0.5 * ((observed[j] - grid**3) / 0.05) ** 2)
        inside = (grid >= drawn[:, j].min()) & (grid <= drawn[:, j].max())
        assert exact[inside].sum() / exact.sum() > 0.98
    second = npe.append_simulations(drawn, simulate(drawn)).train(seed=0)
    assert second.sample((100,), x=observed, seed=1).shape == (100, 2)
    with pytest.raises(diffeo.ConfigError, match="mass"):
        posterior.restricted_prior(x=observed, mass=1.0)
    unbounded = diffeo.sbi.NPE(epochs=2).append_simulations(theta, simulate(theta)).train(seed=0)
    with pytest.raises(diffeo.ConfigError, match="no box"):
        unbounded.restricted_prior(x=observed).sample((3,))
