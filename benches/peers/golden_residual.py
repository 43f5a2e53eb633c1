"""Numbers for diffeo's residual layers: of two columns by normflows, with more or with a context by PyTorch's Jacobian."""

import torch
from normflows.flows.residual import iResBlock
from normflows.nets.lipschitz import Swish

LIPSCHITZ = 0.97
LOG_BETA_MAX = 7.0
ORDER = 1025


class Residual:
    """`z = x + g(x, c)`, weights `[in, out]` of deviation `size`: 0.2 leaves them as they are, 1 has them scaled down."""

    def __init__(self, dims, context, hidden, size, numbers):
        widths = [dims, *hidden, dims]
        shapes = list(zip(widths, widths[1:], strict=False))
        limit = LIPSCHITZ ** (1 / len(shapes))
        raw, self.modules, parameters = torch.randn(1, len(hidden)), [], {}
        for i, (below, above) in enumerate(shapes):
            weight, bias = size * torch.randn(below, above), torch.randn(1, above)
            linear = torch.nn.Linear(below, above)
            linear.weight.data, linear.bias.data = (weight * min(1, limit / norm(weight))).T, bias[0]
            self.modules.append(linear)
            parameters |= {f"layers.{i}.weight": weight, f"layers.{i}.bias": bias}
            if i < len(hidden):
                swish = Swish()
                beta = (LOG_BETA_MAX * torch.tanh(raw[0, i] / LOG_BETA_MAX)).exp()
                swish.beta.data = beta.expm1().log()[None]
                self.modules.append(swish)
        parameters["log_beta"] = raw
        self.context = torch.randn(context, hidden[0]) if context else None
        if context:
            parameters["context.weight"] = self.context
        settings = {"hidden": hidden, "lipschitz": LIPSCHITZ, "activation": "lip_swish", "norm": "spectral"}
        self.spec = {"type": "residual", **settings, "parameters": {name: numbers(value) for name, value in parameters.items()}}

    def stage(self, x, context):
        if self.context is None and x.shape[1] == 2:
            block = iResBlock(torch.nn.Sequential(*self.modules), brute_force=True)
            z, minus = block(x.clone(), torch.zeros(len(x), 1))
            z, log_det = z.detach(), -minus.detach()[:, 0]
        else:
            addend = torch.zeros(len(x), self.modules[0].out_features) if context is None else context @ self.context
            z = x + torch.stack([self.at(*row) for row in zip(x, addend, strict=True)])
            with torch.enable_grad():
                rows = zip(x, addend, strict=True)
                jacobians = torch.stack([torch.autograd.functional.jacobian(lambda v, a=a: self.at(v, a), v) for v, a in rows])
            log_det = torch.linalg.slogdet(torch.eye(x.shape[1]) + jacobians).logabsdet
        return z, log_det, {"z": z.tolist(), "log_det": log_det.tolist()}

    def at(self, x, addend):
        value = self.modules[0](x) + addend
        for module in self.modules[1:]:
            value = module(value)
        return value


def norm(weight):
    """The Schatten norm that diffeo bounds the largest singular value by."""
    values = torch.linalg.svdvals(weight)
    return values[0] * ((values / values[0]) ** (2 * ORDER)).sum() ** (1 / (2 * ORDER))


def layers(dims, context, numbers):
    of = lambda hidden, size: Residual(dims, context, hidden, size, numbers)
    return [of([8], 0.2), of([7, 9], 1.0), of([6, 6, 6], 3.0)]
