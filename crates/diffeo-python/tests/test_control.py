"""Policies for environments of Gymnasium's interface."""

import numpy as np
import pytest

import diffeo


class Box:
    def __init__(self, low, high, shape=(1,)):
        self.low, self.high = np.full(shape, low, dtype=np.float32), np.full(shape, high, dtype=np.float32)
        self.shape, self.dtype = shape, np.float32


class Follow:
    """A point that is to be brought to 0: the reward is minus its distance; ten steps."""

    observation_space, action_space = Box(-np.inf, np.inf, (1, 2)), Box(-1.0, 1.0)

    def reset(self, *, seed=None):
        self.x, self.steps = np.random.default_rng(seed).uniform(-2, 2), 0
        return self._seen(), {}

    def step(self, action):
        assert action.shape == (1,) and action.dtype == np.float32
        self.x, self.steps = self.x + float(action[0]), self.steps + 1
        return self._seen(), -abs(self.x), False, self.steps >= 10, {}

    def _seen(self):
        return np.array([[self.x, 1.0]], dtype=np.float32)


SMALL = dict(policy="gaussian", steps=1500, warmup=200, batch=64, hidden=(16,), validate_every=500, validate_episodes=5, seed=0)


def test_a_policy_learns_what_earns(tmp_path):
    seen = []
    policy = diffeo.control.train(Follow, temperature=0.05, progress=lambda *at: seen.append(at), **SMALL)
    returns = policy.play(20)
    random = diffeo.control.train(Follow, **{**SMALL, "steps": 50, "warmup": 50, "validate_every": 0}).play(20)
    assert returns.mean() > -4 and returns.mean() > random.mean() + 2
    assert any(validated is not None for _, _, validated in seen)
    assert policy.model.columns == ["action"] and policy.model.context == ["state1", "state2"]
    assert abs(policy.act([[1.5, 1.0]], seed=0)[0] + 1.0) < 0.5
    policy.model.save(tmp_path / "p.safetensors")
    again = diffeo.control.Policy.load(tmp_path / "p.safetensors", Follow)
    assert np.array_equal(again.play(3), policy.play(3))
    assert np.isfinite(policy.model.log_prob([[0.3]], [[1.0, 1.0]])).all()


def test_an_interruption_keeps_the_policy():
    def stop(steps, returns, validated):
        if steps > 300:
            raise KeyboardInterrupt

    with pytest.warns(diffeo.DiffeoWarning, match="interrupted"):
        policy = diffeo.control.train(Follow, progress=stop, **{**SMALL, "validate_every": 100})
    assert len(policy.play(2)) == 2


def test_a_seed_repeats():
    short = {**SMALL, "steps": 300}
    a, b = (diffeo.control.train(Follow, **short).model for _ in range(2))
    state = [[0.5, 1.0]]
    assert np.array_equal(a.log_prob([[0.1]], state), b.log_prob([[0.1]], state))


def test_what_environments_raise_and_lack():
    class Broken(Follow):
        def step(self, action):
            raise RuntimeError("the world is gone")

    class Discrete(Follow):
        action_space = object()

    with pytest.raises(RuntimeError, match="the world is gone"):
        diffeo.control.train(Broken, **SMALL)
    with pytest.raises(diffeo.ConfigError, match="action_space"):
        diffeo.control.train(Discrete, **SMALL)
    with pytest.raises(diffeo.ConfigError, match="discount"):
        diffeo.control.train(Follow, discount=2.0, **SMALL)
    with pytest.raises(diffeo.ConfigError, match="found int"):
        diffeo.control.train(3)
    with pytest.raises(diffeo.DiffeoError, match="not|number|finite"):

        class Odd(Follow):
            def _seen(self):
                return np.array([[np.nan, 1.0]])

        diffeo.control.train(Odd, **SMALL)


def test_gymnasium():
    pytest.importorskip("gymnasium")
    policy = diffeo.control.train("Pendulum-v1", **{**SMALL, "steps": 600, "validate_episodes": 1})
    assert policy.model.context == ["state1", "state2", "state3"] and np.isfinite(policy.play(1)).all()
