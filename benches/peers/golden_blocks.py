"""Numbers for diffeo's block autoregressive layers: the network by FlowJAX, slopes by its log-determinant and JAX's Jacobian."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import paramax
import torch
from flowjax.bijections import Tanh
from flowjax.bijections.block_autoregressive_network import BlockAutoregressiveNetwork

LOG_SLOPE_MAX = 7.0


class Blocks:
    """`z = x e^s + g(x, c)`, `g` with all weights of deviation `size` before the signs of the blocks; weights `[in, out]`."""

    def __init__(self, dims, context, units, size, numbers):
        depth = len(units)
        assert len(set(units)) == 1, "FlowJAX has one width"
        key = jax.random.key(17 * depth + context)
        net = BlockAutoregressiveNetwork(
            key, dim=dims, cond_dim=context or None, depth=depth, block_dim=units[0], activation=Tanh()
        )
        arrays, rest = eqx.partition(net, eqx.is_inexact_array)
        moved = jax.tree.map(lambda a: a + size * torch.randn(a.shape).numpy(), arrays)
        self.net = paramax.unwrap(eqx.combine(moved, rest))
        parameters, widths = {}, [1, *units, 1]
        for i, (below, above) in enumerate(zip(widths, widths[1:], strict=False)):
            linear = self.net.layers[i][0]
            weight = torch.tensor(np.array(linear.weight)).T
            diagonal = torch.block_diag(*[torch.ones(below, above)] * dims) > 0
            blocks = [weight[j * below : (j + 1) * below, j * above : (j + 1) * above] for j in range(dims)]
            logs = (torch.cat(blocks, 1) * below).log()
            seen = torch.kron(torch.ones(dims, dims).triu(), torch.ones(below, above))
            assert (weight[seen == 0] == 0).all(), "a column sees a later one"
            parameters |= {
                f"layers.{i}.own": LOG_SLOPE_MAX * torch.atanh(logs / LOG_SLOPE_MAX),
                f"layers.{i}.free": torch.where(diagonal, 0, weight),
                f"layers.{i}.bias": torch.tensor(np.array(linear.bias))[None],
            }
        if context:
            parameters["context"] = torch.tensor(np.array(self.net.cond_linear.weight)).T
        raw = torch.randn(1, dims)
        parameters["log_slope"] = raw
        self.slope = jnp.exp(LOG_SLOPE_MAX * jnp.tanh(raw[0].numpy() / LOG_SLOPE_MAX))
        parameters = {name: numbers(value) for name, value in parameters.items()}
        self.spec = {"type": "block_autoregressive", "units": units, "parameters": parameters}

    def stage(self, x, context):
        given = [None] * len(x) if context is None else context.numpy()
        rows = [self.row(*row) for row in zip(x.numpy(), given, strict=True)]
        z, log_det = (torch.tensor(np.array(part)) for part in zip(*rows, strict=True))
        return z, log_det, {"z": z.tolist(), "log_det": log_det.tolist()}

    def row(self, x, given):
        value, log_det = self.net.transform_and_log_det(jnp.array(x), given)
        slopes = jnp.diag(jax.jacfwd(lambda x: self.net.transform(x, given))(jnp.array(x)))
        # Far out all is saturated, and the logarithm of what is left means nothing beside the slope of x.
        near = bool((slopes > 1e-3).all())
        assert not near or abs(float(jnp.log(slopes).sum() - log_det)) < 1e-10, "the slopes are not those of the determinant"
        return value + self.slope * x, jnp.log(slopes + self.slope).sum()


def layers(dims, context, numbers):
    of = lambda units, size: Blocks(dims, context, units, size, numbers)
    return [of([5], 0.5), of([4, 4], 0.7), of([3, 3, 3], 0.3)]
