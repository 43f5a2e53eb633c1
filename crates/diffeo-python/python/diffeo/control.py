"""Policies that are flows: soft actor-critic, and MEow, for environments of Gymnasium's interface.

policy = diffeo.control.train("Pendulum-v1", steps=20_000, value_scale=10.0, seed=0)
policy.act(observation), policy.play(10).mean()
policy.model.log_prob([[0.3]], [observation])          # the density of an action
"""

import numpy as np

from . import _native, _progress
from ._environments import Flat, flat
from ._errors import ConfigError

__all__ = ["Policy", "train"]


def train(
    environment,
    *,
    policy="nsf-coupling",
    algorithm="sac",
    steps=20_000,
    environments=1,
    warmup=1000,
    hold=1,
    batch=256,
    replay=100_000,
    every=1,
    updates=1,
    discount=0.99,
    temperature=None,
    value_scale=1.0,
    scales=None,
    hidden=(64, 64),
    transforms=None,
    lr=1e-3,
    validate_every=1000,
    validate_episodes=20,
    seed=None,
    progress=None,
):
    """Learn a policy.

    Parameters
    ----------
    environment
        A name of Gymnasium's, or a function without arguments that makes an environment of its interface, with boxes for observations and actions.
    policy, algorithm
        A named flow, or "gaussian" for the policy of usual soft actor-critic; "sac" or "meow" (one flow that is policy, Q and V).
    steps, environments
        Steps in all environments together, and how many of these stand side by side.
    warmup, hold, batch, replay, every, updates
        Steps of random actions before, for how many each is held; transitions of an update, most that are kept; steps from one round of updates to the next.
    discount, temperature, value_scale, lr
        What a reward is worth a step earlier; the weight of entropy (None to tune it); what values are about, in units of reward; the learning rate.
    scales
        Usual sizes of the numbers of an observation that have no bounds.
    hidden, transforms
        Widths of all networks, layers of the flow.
    validate_every, validate_episodes
        The policy that is kept is the one of the last validation that no other beat by more than its error.
    seed, progress
        The seed of everything here and of the environments; True, False, None, or a function of steps, returns of episodes, and the mean return of a validation.
    """
    settings = dict(locals())
    make, progress = _maker(settings.pop("environment")), settings.pop("progress")
    settings.update(hidden=list(hidden), scales=None if scales is None else list(scales))
    earned = [float("nan")]

    def seen(step, returns, validated):
        earned[:] = returns[-1:] or earned
        return step, -earned[0]

    report = _progress.reporter(progress, steps, seen)
    return Policy(_native.train_policy(make, settings, report), make)


class Policy:
    """A policy: `model` is the density of an action given an observation, a `diffeo.Model` that can be saved, scored and inspected."""

    def __init__(self, model, environment=None):
        self.model = model
        self._make = None if environment is None else _maker(environment)
        self._seeds = np.random.default_rng(0)

    @classmethod
    def load(cls, path, environment=None):
        """A policy from its file, which `save` of its model or the command line wrote."""
        return cls(_native.Model.load(path), environment)

    def act(self, observation, *, draws=16, seed=None):
        """An action: of so many draws the one of the highest density; a plain draw for one."""
        seed = int(self._seeds.integers(2**63)) if seed is None else seed
        context = flat(observation).reshape(1, -1)
        rows, log_prob = self.model.sample_with_log_prob(draws, context, seed=seed, threads=1)
        # In the precision of most action spaces, which hold nothing finer.
        return rows.numpy()[int(np.argmax(log_prob))].astype(np.float32)

    def play(self, episodes, *, draws=16, seed=0):
        """The returns of so many episodes."""
        if self._make is None:
            raise ConfigError("expected an environment: Policy(model, environment)")
        environment = Flat(self._make())
        rng, returns = np.random.default_rng(seed), []
        for _ in range(episodes):
            seen, earned, is_over = environment.reset(int(rng.integers(2**31))), 0.0, False
            while not is_over:
                seen, reward, terminated, truncated = environment.step(self.act(seen, draws=draws, seed=int(rng.integers(2**63))))
                earned, is_over = earned + reward, terminated or truncated
            returns.append(earned)
        return np.array(returns)

    def __repr__(self):
        return f"<diffeo.control.Policy of {', '.join(self.model.columns)} given {', '.join(self.model.context)}>"


def _maker(environment):
    if callable(environment):
        return environment
    if not isinstance(environment, str):
        raise ConfigError(
            f"environment: expected a name of Gymnasium's or a function that makes one, found {type(environment).__name__}"
        )
    import gymnasium

    return lambda: gymnasium.make(environment)
