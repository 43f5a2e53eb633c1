"""Environments of Gymnasium's interface as numbers in a row."""

import numpy as np

from ._errors import ConfigError


class Flat:
    """An environment whose observations and actions are boxes, flattened."""

    def __init__(self, environment):
        self._environment = environment
        self.observation = _bounds(environment, "observation_space")
        self.action = _bounds(environment, "action_space")
        space = environment.action_space
        self._shape, self._dtype = space.shape, space.dtype

    def reset(self, seed):
        seen, _ = self._environment.reset(seed=seed)
        return flat(seen)

    def step(self, action):
        action = np.asarray(action, dtype=self._dtype).reshape(self._shape)
        seen, reward, terminated, truncated, _ = self._environment.step(action)
        return flat(seen), float(reward), bool(terminated), bool(truncated)


def flat(values):
    return np.ascontiguousarray(np.ravel(values), dtype=np.float64)


def _bounds(environment, name):
    space = getattr(environment, name, None)
    if not (hasattr(space, "low") and hasattr(space, "high")):
        raise ConfigError(f"{name}: expected a box with low and high, found {space!r}")
    return flat(space.low).tolist(), flat(space.high).tolist()
