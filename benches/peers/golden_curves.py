"""Numbers for diffeo's scalar maps without a formula for the inverse: polynomials by zuko's arithmetic, splines by nflows', mixtures of logistics and networks with 50 digits."""

import math

import mpmath
import torch
from nflows.transforms.splines.cubic import cubic_spline
from nflows.transforms.splines.linear import linear_spline
from nflows.transforms.splines.quadratic import quadratic_spline
from torch.nn.functional import softplus
from UMNN import ParallelNeuralIntegral
from zuko.transforms import BernsteinTransform, SOSPolynomialTransform, UnconstrainedMonotonicTransform

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


def softplus_inverse(value):
    return value + torch.log(-torch.expm1(-value))


def raw_slopes(slopes):
    """Parameters whose slopes are these without being scaled, because they reach the end."""
    return softplus_inverse((slopes - MIN) / (1 - MIN)) - SLOPE_SHIFT


def spline_case(degree, bins, bound, raw, transform):
    x = torch.cat((torch.linspace(-bound, bound, 23)[1:-1], torch.tensor([1e-8, -0.999 * bound, 0.999 * bound])))
    box = {"left": -bound, "right": bound, "bottom": -bound, "top": bound}
    z, log_slope = transform(x, box)
    spec = {"type": "polynomial_spline", "degree": degree, "bins": bins, "bound": bound}
    return case(spec, raw, x, z.tolist(), log_slope.tolist())


def spread(row, x):
    return row.expand(len(x), -1)


def linear(bins, bound, size):
    """nflows' bins are equally wide."""
    slopes = (size * torch.randn(bins)).softmax(-1) * bins
    raw = torch.cat((torch.zeros(bins), raw_slopes(slopes)))
    return spline_case(1, bins, bound, raw, lambda x, box: linear_spline(x, spread((slopes / bins).log(), x), **box))


def quadratic(bins, bound, size):
    """`raw`: widths, then inner slopes, to be scaled so that the spline ends at the bound; nflows is given the scaled ones."""
    raw = size * torch.randn(2 * bins - 1)
    widths = MIN + (1 - MIN * bins) * raw[:bins].softmax(-1)
    free = MIN + (1 - MIN) * softplus(raw[bins:] + SLOPE_SHIFT)
    reach = (widths[:-1] * free).sum() / 2 + (widths[1:] * free).sum() / 2
    inner = free * (1 - (widths[0] + widths[-1]) / 2) / reach
    heights = softplus_inverse(torch.cat((torch.ones(1), inner, torch.ones(1))) - 1e-3)

    def transform(x, box):
        box = {"min_bin_width": MIN, "min_bin_height": 0.0, **box}
        return quadratic_spline(x, spread(raw[:bins], x), spread(heights, x), **box)

    return spline_case(2, bins, bound, raw, transform)


def cubic(bins, bound, size):
    """nflows' slopes at knots are Steffen's; some of its splines have a slope of 1 at the ends and Bernstein coefficients that are positive."""
    while True:
        raw_widths, raw_heights = size * torch.randn(2, bins)
        widths, heights = (MIN + (1 - MIN * bins) * row.softmax(-1) for row in (raw_widths, raw_heights))
        chords = heights / widths
        mean = (widths[1:] * chords[:-1] + widths[:-1] * chords[1:]) / (widths[:-1] + widths[1:])
        inner = 2 * torch.minimum(torch.minimum(chords[:-1], chords[1:]), mean / 2)
        slopes = torch.cat((torch.ones(1), inner, torch.ones(1)))
        middles = 3 * chords - slopes[:-1] - slopes[1:]
        if middles.min() > 0.02 and chords[[0, -1]].min() > 0.4:
            break
    ends = torch.logit(1 / (3 * chords[[0, -1]]))
    raw = torch.cat((raw_widths, raw_slopes(inner), raw_slopes(middles)))

    def transform(x, box):
        rows = [spread(row, x) for row in (raw_widths, raw_heights, ends[:1], ends[1:])]
        return cubic_spline(x, *rows, min_bin_width=MIN, min_bin_height=MIN, **box)

    return spline_case(3, bins, bound, raw, transform)


def monotonic_network(units, nodes, bound, size):
    """`raw`: shift and bias, then for each unit weight (held to 8 / units, at most 2), place from a start side by side, log-steepness (held to ln 2). The integral has 50 digits."""
    raw = size * torch.randn(3 * units + 2)
    x = torch.cat((torch.linspace(-bound, bound, 9), torch.tensor([1e-8, 40.0, -1e3])))
    mp = mpmath.mp
    held = lambda value, limit: limit * mp.tanh(mp.mpf(value) / limit)
    numbers = raw.tolist()
    weights = [held(v, min(2, 8 / units)) for v in numbers[2 : 2 + units]]
    places = [mp.mpf(0.5 * bound) * (mp.mpf(2 * j + 1) / units - 1) + mp.mpf(numbers[2 + units + j]) for j in range(units)]
    steepness = [5 / mp.mpf(bound) * mp.exp(held(v, mp.log(2))) for v in numbers[2 + 2 * units :]]

    def steep(t):
        s = mp.mpf(numbers[1]) + sum(v * mp.tanh((t - p) * k) for v, p, k in zip(weights, places, steepness))
        return mp.mpf(MIN) + (1 - mp.mpf(MIN)) * mp.exp(held(s, 7))

    values, slopes = [], []
    for start in x.tolist():
        end = mp.mpf(max(-bound, min(bound, start)))
        inside = mp.quad(steep, mp.linspace(0, end, 7))
        values.append(float(mp.mpf(numbers[0]) + inside + steep(end) * (mp.mpf(start) - end)))
        slopes.append(float(mp.log(steep(end))))
    return case({"type": "monotonic_network", "units": units, "nodes": nodes, "bound": bound}, raw, x, values, slopes)


def curves(library):
    return {
        "library": library,
        "about": "polynomials by zuko, splines by nflows; mixtures of logistics and integrals of networks by the formula, with 50 digits; params are raw",
        "cases": [
            *(monotonic_network(*settings) for settings in [(3, 64, 3.0, 1.0), (16, 96, 5.0, 1.0)]),
            *(linear(*settings) for settings in [(4, 3.0, 1.0), (16, 5.0, 0.7)]),
            *(quadratic(*settings) for settings in [(3, 2.0, 1.0), (8, 5.0, 1.0), (16, 3.0, 2.0)]),
            *(cubic(*settings) for settings in [(3, 2.0, 0.5), (8, 5.0, 0.4)]),
            *(bernstein(*settings) for settings in [(5, 3.0, 1.0), (16, 5.0, 1.0), (30, 2.0, 3.0)]),
            *(sum_of_squares(*settings) for settings in [(1, 1, 2.0, 1.0), (3, 4, 5.0, 0.5), (2, 8, 3.0, 2.0)]),
            *(logistic_mixture(*settings) for settings in [(1, 1, 1.0), (8, 1, 1.0), (5, 3, 0.5), (16, 2, 3.0)]),
        ],
    }


def integral(units, nodes, bound):
    """The same map with zuko's quadrature, Gauss-Legendre's, and UMNN's, Clenshaw-Curtis': both integrate what they are given. UMNN's weights are in single precision."""
    raw = torch.randn(3 * units + 2)
    places = 0.5 * bound * ((2 * torch.arange(units) + 1) / units - 1)
    held = lambda value, limit: limit * torch.tanh(value / limit)
    weights = held(raw[2 : 2 + units], min(2, 8 / units))
    places, steepness = places + raw[2 + units : 2 + 2 * units], 5 / bound * held(raw[2 + 2 * units :], math.log(2)).exp()

    def steep(t):
        s = raw[1] + (weights * torch.tanh((t[..., None] - places) * steepness)).sum(-1)
        return MIN + (1 - MIN) * held(s, 7).exp()

    x = torch.cat((torch.linspace(-bound, bound, 21), torch.tensor([1e-8, -0.3])))
    zuko = UnconstrainedMonotonicTransform(steep, n=nodes)
    z, log_slope = zuko.call_and_ladj(x)
    rows, start, none = x[:, None], torch.zeros(len(x), 1), torch.zeros(len(x), 1)
    rough = ParallelNeuralIntegral.apply(start, rows, lambda t, h: steep(t), None, none, nodes)[:, 0]
    spec = {"type": "monotonic_network", "units": units, "nodes": nodes, "bound": bound}
    return {**case(spec, raw, x, (z + raw[0]).tolist(), log_slope.tolist()), "rough": (rough + raw[0]).tolist()}


def integrals(library):
    return {
        "library": library,
        "about": "integrals of networks by zuko's quadrature, and by UMNN's (rough: its weights are in single precision)",
        "cases": [integral(*settings) for settings in [(3, 64, 3.0), (8, 64, 5.0), (16, 96, 5.0)]],
    }
