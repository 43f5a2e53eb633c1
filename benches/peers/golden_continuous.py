"""Numbers for diffeo's continuous layers: without a context by zuko's free-form Jacobian transform with the exact trace, with one by torchdiffeq."""

import torch
from torch.nn.functional import softplus
from torchdiffeq import odeint
from zuko.transforms import FreeFormJacobianTransform

SPEED_MAX = 10.0
TOLERANCE = 1e-13


class Continuous:
    """`dx/dt = L tanh(o / L)`, `o` a network in whose layers `t w` is added, and in the first `c C`; weights `[in, out]`."""

    def __init__(self, dims, context, hidden, activation, size, numbers):
        widths, self.parameters = [dims, *hidden, dims], []
        self.bend = {"tanh": torch.tanh, "softplus": softplus}[activation]
        named = {}
        for i, (below, above) in enumerate(zip(widths, widths[1:], strict=False)):
            weight, bias, rate = size * torch.randn(below, above) / below**0.5, torch.randn(1, above), torch.randn(1, above)
            self.parameters.append((weight, bias, rate))
            named |= {f"layer.{i}.weight": weight, f"layer.{i}.bias": bias, f"layer.{i}.rate": rate}
        self.context = torch.randn(context, hidden[0]) if context else None
        if context:
            named["context"] = self.context
        settings = {"hidden": hidden, "activation": activation}
        self.spec = {"type": "continuous", **settings, "parameters": {name: numbers(value) for name, value in named.items()}}

    def at(self, t, x, context):
        for i, (weight, bias, rate) in enumerate(self.parameters):
            x = x @ weight + bias + t * rate
            if i == 0 and context is not None:
                x = x + context @ self.context
            if i + 1 < len(self.parameters):
                x = self.bend(x)
        return SPEED_MAX * torch.tanh(x / SPEED_MAX)

    def divergence(self, t, x, context):
        """By PyTorch's forward mode, an axis at a time."""
        along = lambda axis: torch.func.jvp(lambda x: self.at(t, x, context), (x,), (axis.expand_as(x).contiguous(),))[1] * axis
        return sum(along(axis) for axis in torch.eye(x.shape[1])).sum(1)

    def stage(self, x, context):
        if context is None:
            solution = FreeFormJacobianTransform(lambda t, x: self.at(t, x, None), atol=TOLERANCE, rtol=TOLERANCE)
            z, log_det = solution.call_and_ladj(x)
        else:
            start = (x, torch.zeros(len(x)))
            both = lambda t, state: (self.at(t, state[0], context), self.divergence(t, state[0], context))
            # A step ends where time does: in between, the solver interpolates.
            how = {"method": "dopri8", "options": {"step_t": torch.ones(1)}}
            ends = odeint(both, start, torch.tensor([0.0, 1.0]), rtol=TOLERANCE, atol=TOLERANCE, **how)
            z, log_det = (end[-1] for end in ends)
        return z, log_det, {"z": z.tolist(), "log_det": log_det.tolist()}


def layers(dims, context, activation, numbers):
    return [Continuous(dims, context, hidden, activation, size, numbers) for hidden, size in [([9], 1.0), ([7, 6], 1.5)]]
