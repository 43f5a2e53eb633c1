"""Numbers for diffeo's smooth scalar maps: polynomials by zuko's arithmetic, mixtures of logistics with 50 digits."""

import math

import mpmath
import torch
from torch.nn.functional import softplus
from zuko.transforms import BernsteinTransform, SOSPolynomialTransform

MIN = 1e-3
SLOPE_SHIFT = math.log(math.e - 1)


def case(spec, params, x, z, log_slope):
    return {"map": spec, "params": params.tolist(), "x": x.tolist(), "z": list(z), "log_slope": list(log_slope)}


def bernstein(degree, bound, size):
    """`raw`: a shift, then the slopes of the coefficients' increments. zuko is wrong within 1e-5 of the ends, which it makes straight."""
    raw = size * torch.randn(degree + 1)
    slopes = MIN + (1 - MIN) * softplus(raw[1:] + SLOPE_SHIFT)
    theirs = BernsteinTransform(torch.zeros(degree - 2), bound=bound)
    theirs.theta = raw[0] - bound + torch.cat((torch.zeros(1), slopes.cumsum(0))) * 2 * bound / degree
    theirs.basis = theirs._bernstein_basis(degree, dtype=raw.dtype)
    x = torch.cat((torch.linspace(-bound, bound, 25)[1:-1], torch.tensor([1e-8, -0.999 * bound, 0.999 * bound])))
    z = theirs(x)
    log_slope = theirs.log_abs_det_jacobian(x, z)
    return case({"type": "bernstein", "degree": degree, "bound": bound}, raw, x, z.tolist(), log_slope.tolist())


def sum_of_squares(polynomials, degree, bound, size):
    """`raw`: a shift, then the coefficients, from a start and held to 30; zuko's polynomials are one plus its own, and a mean."""
    raw = size * torch.randn(polynomials * (degree + 1) + 1)
    start = torch.zeros(polynomials, degree + 1)
    start[:, 0] = ((1 - MIN) / polynomials) ** 0.5
    if polynomials > 1:
        start[:, 1] = 0.2 * start[:, 0] * torch.linspace(-1, 1, polynomials)
    coefficients = 30 * torch.tanh(raw[1:] / 30).reshape(start.shape) + start
    theirs = polynomials**0.5 * coefficients
    theirs[:, 0] -= 1
    transform = SOSPolynomialTransform(theirs, slope=MIN, bound=bound)
    x = torch.cat((torch.linspace(-bound, bound, 25), torch.tensor([1e-8, -1e-8])))
    z = transform(x)
    log_slope = transform.log_abs_det_jacobian(x, z)
    spec = {"type": "sum_of_squares", "polynomials": polynomials, "degree": degree, "bound": bound}
    return case(spec, raw, x, (z + raw[0]).tolist(), log_slope.tolist())


def logistic_mixture(components, depth, size):
    """`raw`: for each layer logits (held to 30), places from a start, log-scales (held to 5) from a start; then shift and log-scale.
    So much of the identity is mixed in that all layers together have slopes of a thousandth at least."""
    raw = size * torch.randn(3 * components * depth + 2)
    x = torch.cat((torch.linspace(-6, 6, 15), torch.tensor([0.0, 1e-8, 40.0, -40.0, 1e3, -1e6])))
    mp = mpmath.mp
    held = lambda value, limit: limit * mp.tanh(mp.mpf(value) / limit)
    starts = [mp.mpf(1.5) * (mp.mpf(2 * k + 1) / components - 1) for k in range(components)]
    log_scale = mp.log(1 - 3 * sum(s * s for s in starts) / components / mp.pi**2) / 2

    def layer(y, part):
        logits = [held(v, 30) for v in part[:components]]
        total = sum(mp.exp(v) for v in logits)
        below = above = density = mp.mpf(0)
        for k in range(components):
            scale = mp.exp(held(part[2 * components + k], 5) + log_scale)
            u = (y - starts[k] - mp.mpf(part[components + k])) / scale
            share = mp.exp(logits[k]) / total
            left, right = 1 / (1 + mp.exp(-u)), 1 / (1 + mp.exp(u))
            below, above, density = below + share * left, above + share * right, density + share * left * right / scale
        linear = mp.mpf(MIN) ** (mp.mpf(1) / depth)
        value = linear * y + (1 - linear) * (mp.log(below) - mp.log(above))
        return value, mp.log(linear + (1 - linear) * density / (below * above))

    values, slopes = [], []
    numbers = raw.tolist()
    for start in x.tolist():
        y, log_slope = mp.mpf(start), mp.mpf(0)
        for i in range(depth):
            y, step = layer(y, numbers[3 * components * i :])
            log_slope += step
        scale = held(numbers[-1], 5)
        values.append(float(y * mp.exp(scale) + mp.mpf(numbers[-2])))
        slopes.append(float(log_slope + scale))
    return case({"type": "logistic_mixture", "components": components, "depth": depth}, raw, x, values, slopes)


def curves(library):
    return {
        "library": library,
        "about": "polynomials by zuko; mixtures of logistics by the formula, with 50 digits; params are raw",
        "cases": [
            *(bernstein(*settings) for settings in [(5, 3.0, 1.0), (16, 5.0, 1.0), (30, 2.0, 3.0)]),
            *(sum_of_squares(*settings) for settings in [(1, 1, 2.0, 1.0), (3, 4, 5.0, 0.5), (2, 8, 3.0, 2.0)]),
            *(logistic_mixture(*settings) for settings in [(1, 1, 1.0), (8, 1, 1.0), (5, 3, 0.5), (16, 2, 3.0)]),
        ],
    }
