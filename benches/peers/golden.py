#!/usr/bin/env python3
"""Writes the numbers of the differential tests: by zuko, nflows, normflows, FlowJAX, torchdiffeq, UMNN, arviz-stats and PyTorch, in double precision.

    python3 benches/peers/golden.py          # writes crates/diffeo/tests/golden/*.json, under 100 KB each
    python3 benches/peers/golden.py --check  # compares with the files that are there instead, to 1e-12

The arithmetic of masks, networks, transforms, chains and densities is the other library's. Only how a network's raw output
becomes a scale or a knot differs between libraries, so an adapter gives the library the raw value that has the same
effect as diffeo's would:

- affine: `z = x exp(s) + t`, `s = 7 tanh(raw / 7)`; zuko clips `a / (1 + |a / ln(slope)|)`.
- spline: sizes `2 B (1e-3 + (1 - 1e-3 K) softmax(p))`, inner slopes `1e-3 + (1 - 1e-3) softplus(p + ln(e - 1))`; zuko
  clips softly, then softmax and exp, without minima; nflows has the same sizes, and slopes `1e-3 + softplus(p)`.
- network: diffeo has hidden units sorted by degree, weights `[in, out]`, columns in the order of the model; zuko has degrees
  in turns, weights `[out, in]`, columns in the order of the data. With context, zuko has one first layer for both.

A file of a flow holds: `library`, `about`, `dims`, `context_dims`, `layers` (type, settings, `parameters`), `base`, `x`,
`context` (or null), `stages` (per layer: `network_output`, `z`, `log_slope` per column or `log_det` per row), and in the end
`z`, `log_det`, `log_prob`. Numbers have as many digits as bring back the same double.
"""

import environment

environment.enter()

import argparse
import json
import math

import golden_blocks
import golden_continuous
import golden_curves
import golden_residual
import golden_sequence
import golden_weights
import jax
import mpmath
import numpy as np
import torch
from flowjax.bijections import TriangularAffine
from torch.nn.functional import softplus
from nflows.transforms.orthogonal import HouseholderSequence
from nflows.transforms.splines.rational_quadratic import unconstrained_rational_quadratic_spline
from zuko.flows.autoregressive import MaskedAutoregressiveTransform
from zuko.flows.coupling import GeneralCouplingTransform
from zuko.transforms import LULinearTransform, MonotonicAffineTransform, MonotonicRQSTransform, PermutationTransform

FOLDER = environment.HERE.parents[1] / "crates" / "diffeo" / "tests" / "golden"
VERSIONS = environment.versions() | environment.versions(("torchdiffeq", "arviz-stats"))
PYTORCH = f"PyTorch {torch.__version__} in float64"
TORCHDIFFEQ = f"torchdiffeq {VERSIONS['torchdiffeq']} on {PYTORCH}"
NORMFLOWS = f"normflows {VERSIONS['normflows']} on {PYTORCH}"
NFLOWS = f"nflows {VERSIONS['nflows']} on {PYTORCH}"
FLOWJAX = f"FlowJAX {VERSIONS['flowjax']} on JAX {jax.__version__} in float64"
ZUKO = f"zuko {VERSIONS['zuko']} on {PYTORCH}"
LOG_SCALE_MAX = 7.0
MIN = 1e-3
SLOPE_SHIFT = math.log(math.e - 1)
HIDDEN = (8, 8)


# --- scalar maps: diffeo's raw parameters, zuko's arithmetic ---


def unclip(value, limit):
    """The raw value that zuko's soft clip `a / (1 + |a| / limit)` maps to `value`."""
    return value / (1 - value.abs() / limit)


def affine(shift, raw):
    slope = 1e-9
    log_scale = LOG_SCALE_MAX * torch.tanh(raw / LOG_SCALE_MAX)
    return MonotonicAffineTransform(shift, unclip(log_scale, -math.log(slope)), slope=slope)


def spline_sizes(raw):
    """Widths or heights as shares of the box."""
    return MIN + (1 - MIN * raw.shape[-1]) * torch.softmax(raw, dim=-1)


def spline_slopes(raw):
    return MIN + (1 - MIN) * softplus(raw + SLOPE_SHIFT)


def spline(bound):
    def build(widths, heights, slopes):
        slope = 1e-12
        limit = -math.log(slope)
        widths, heights = (unclip(spline_sizes(raw).log(), limit / 2) for raw in (widths, heights))
        slopes = unclip(spline_slopes(slopes).log(), limit)
        return MonotonicRQSTransform(widths, heights, slopes, bound=bound, slope=slope)

    return build


def monotone(kind, bins=4, bound=5.0):
    """A map as a specification names it, and what zuko's layers want: a constructor and the shapes of its parameters."""
    if kind == "affine":
        return {"type": "affine", "log_scale_max": LOG_SCALE_MAX}, {"univariate": affine, "shapes": [(), ()]}
    spec = {"type": "rational_quadratic", "bins": bins, "bound": bound}
    return spec, {"univariate": spline(bound), "shapes": [(bins,), (bins,), (bins - 1,)]}


# --- layers: a zuko module, and the same thing with diffeo's names and layout ---


class Conditioned:
    """A zuko layer with a network; `before` are the columns the network reads, `moved` those it moves, in diffeo's order."""

    def __init__(self, module, spec, before, moved, context):
        self.module, self.moved, self.total = module.double(), moved, module.total
        for parameter in module.parameters():
            parameter.data = torch.randn(parameter.shape) * (0.5 if parameter.ndim == 1 else 1.2 / parameter.shape[1] ** 0.5)
        elements = range(len(moved)) if spec["type"] == "coupling" else moved
        self.outputs = [i * self.total + k for i in elements for k in range(self.total)]
        self.spec = {**spec, "network": {"hidden": list(HIDDEN)}, "parameters": self.weights(before, context)}

    def weights(self, before, context):
        linear = [layer for layer in self.module.hyper if hasattr(layer, "weight")]
        orders = [before, *([list(range(width)) for width in HIDDEN]), self.outputs]
        masked = hasattr(linear[0], "mask")
        if masked:
            degree = linear[0].mask[:, : len(before)].sum(-1).tolist()
            orders[1:-1] = [sorted(range(width), key=lambda unit: degree[unit]) for width in HIDDEN]
        found = {}
        for i, (layer, rows, columns) in enumerate(zip(linear, orders, orders[1:], strict=False)):
            matrix = (layer.weight * layer.mask if masked else layer.weight).detach()[columns]
            name = "input" if i == 0 else "output" if i == len(HIDDEN) else f"hidden.{i - 1}"
            if i == 0 and context:
                found["network.context.weight"] = matrix[:, len(before) :].T
            found[f"network.{name}.weight"] = matrix[:, rows].T
            found[f"network.{name}.bias"] = layer.bias.detach()[columns][None]
            if masked:
                seen = layer.mask[columns][:, rows].int()
                assert (seen.diff(dim=1) <= 0).all() and (seen.diff(dim=0) >= 0).all(), "the mask is not a staircase"
        return {name: numbers(value) for name, value in found.items()}

    def stage(self, x, context):
        given = x[:, self.module.mask] if self.spec["type"] == "coupling" else x
        output = self.module.hyper(given if context is None else torch.cat((given, context), dim=-1))[:, self.outputs]
        parts = output.unflatten(-1, (-1, self.total)).split([math.prod(shape) for shape in self.module.shapes], dim=-1)
        parts = [part if shape else part.squeeze(-1) for part, shape in zip(parts, self.module.shapes, strict=True)]
        scalar = self.module.univariate(*parts)
        log_slope = torch.zeros_like(x)
        log_slope[:, self.moved] = scalar.log_abs_det_jacobian(x[:, self.moved], scalar(x[:, self.moved]))
        z, log_det = self.module(context).call_and_ladj(x)
        assert (log_slope.sum(-1) - log_det).abs().max() < 1e-13
        assert (self.module(context).inv(z) - x).abs().max() < 1e-6
        return z, log_det, {"network_output": output.tolist(), "z": z.tolist(), "log_slope": log_slope.tolist()}


def autoregressive(dims, context, order, kind, **settings):
    """`order[i]` is the column that comes i-th."""
    spec, options = monotone(kind, **settings)
    rank = torch.tensor(order).argsort()
    module = MaskedAutoregressiveTransform(dims, context, order=rank, hidden_features=HIDDEN, **options)
    return Conditioned(module, {"type": "autoregressive", "order": order, "monotone": spec}, order, order, context)


def coupling(dims, context, kept, kind, **settings):
    spec, options = monotone(kind, **settings)
    module = GeneralCouplingTransform(dims, context, mask=torch.tensor(kept), hidden_features=HIDDEN, **options)
    moved = [i for i in range(dims) if not kept[i]]
    return Conditioned(module, {"type": "coupling", "kept": kept, "monotone": spec}, list(range(sum(kept))), moved, context)


class Plu:
    """`z = x P (I + N) (D + M) + b`; zuko's `L U x` is the transpose of that, with the diagonal in L."""

    def __init__(self, order):
        d = len(order)
        lower, upper = torch.randn(d, d).tril(-1), torch.randn(d, d).triu(1)
        raw, shift = 0.7 * torch.randn(1, d), torch.randn(1, d)
        log_scale = LOG_SCALE_MAX * torch.tanh(raw / LOG_SCALE_MAX)
        self.shift = shift
        self.steps = [
            PermutationTransform(torch.tensor(order)),
            LULinearTransform((upper + log_scale.exp().diag_embed()[0] + lower).T),
        ]
        values = {"lower": lower, "upper": upper, "log_scale": raw, "shift": shift}
        self.spec = {"type": "plu", "order": order, "parameters": {name: numbers(value) for name, value in values.items()}}

    def stage(self, x, _context):
        log_det = torch.zeros(len(x))
        z = x
        for step in self.steps:
            z, step_log_det = step.call_and_ladj(z)
            log_det = log_det + step_log_det
        z = z + self.shift
        return z, log_det, {"z": z.tolist(), "log_det": log_det.tolist()}


class Householder:
    """`z = x H_1 ... H_k`, by nflows."""

    def __init__(self, dims, reflections):
        vectors = torch.randn(reflections, dims)
        self.sequence = HouseholderSequence(dims, reflections)
        self.sequence.q_vectors.copy_(vectors)
        self.spec = {"type": "householder", "reflections": reflections, "parameters": {"vectors": numbers(vectors)}}

    def stage(self, x, _context):
        z, log_det = self.sequence(x)
        return z, log_det, {"z": z.tolist(), "log_det": log_det.tolist()}


class Cholesky:
    """`x = L z + mu`, by FlowJAX, whose forward is the way from base to data."""

    def __init__(self, dims):
        lower, raw, mean = torch.randn(dims, dims).tril(-1), 0.7 * torch.randn(1, dims), torch.randn(1, dims)
        diagonal = (LOG_SCALE_MAX * torch.tanh(raw / LOG_SCALE_MAX)).exp()
        self.bijection = TriangularAffine(mean[0].numpy(), (lower + diagonal.diag_embed()[0]).numpy())
        values = {"lower": lower, "log_diagonal": raw, "mean": mean}
        self.spec = {"type": "cholesky", "parameters": {name: numbers(value) for name, value in values.items()}}

    def stage(self, x, _context):
        z, log_det = (torch.tensor(np.array(part)) for part in jax.vmap(self.bijection.inverse_and_log_det)(x.numpy()))
        return z, log_det, {"z": z.tolist(), "log_det": log_det.tolist()}


def numbers(tensor):
    return {"shape": list(tensor.shape), "values": tensor.flatten().tolist()}


# --- files ---


def flow(about, dims, context_dims, layers, rows=24, library=ZUKO):
    """Runs a chain from data to a standard normal; the first rows lie in the spline's tails and at zero."""
    x = 1.5 * torch.randn(rows, dims)
    x[0], x[1], x[2, 0], x[3, -1] = 6.5, 0.0, -40.0, 1000.0
    context = torch.randn(rows, context_dims) if context_dims else None
    value, total, stages = x, torch.zeros(rows), []
    for layer in layers:
        value, log_det, stage = layer.stage(value, context)
        total = total + log_det
        stages.append(stage)
    log_prob = torch.distributions.Normal(torch.zeros(dims), 1.0).log_prob(value).sum(-1) + total
    return {
        "library": library,
        "about": about,
        "dims": dims,
        "context_dims": context_dims,
        "layers": [layer.spec for layer in layers],
        "base": {"type": "normal"},
        "x": x.tolist(),
        "context": None if context is None else context.tolist(),
        "stages": stages,
        "z": value.tolist(),
        "log_det": total.tolist(),
        "log_prob": log_prob.tolist(),
    }


def scalar_maps():
    """Splines and affine maps with parameters of their own, at knots, bounds, inside, and outside."""
    splines = []
    for bins, bound, scale in [
        (2, 3.0, 1.0),
        (4, 5.0, 0.0),
        (4, 5.0, 1.0),
        (8, 5.0, 2.0),
        (8, 1.0, 6.0),
        (16, 20.0, 1.0),
        (5, 3.0, 40.0),
    ]:
        raw = scale * torch.randn(3 * bins - 1)
        widths, heights, slopes = raw.split([bins, bins, bins - 1])
        edge = lambda sizes: [-bound, *(bound * (2 * spline_sizes(sizes).cumsum(-1)[:-1] - 1)).tolist(), bound]
        knots = {"x": edge(widths), "z": edge(heights), "slope": [1.0, *spline_slopes(slopes).tolist(), 1.0]}
        spread = torch.linspace(-bound, bound, 21)[1:-1]
        outside = [-bound - 1e-9, bound + 1e-9, -1.5 * bound, 1e6, -1e6]
        x = torch.tensor([*knots["x"], *spread.tolist(), 1e-8, -1e-8, *outside])
        own = spline(bound)(widths, heights, slopes)
        z = own(x)
        rows = lambda values: values.expand(len(x), -1).clone()
        theirs = softplus_inverse(spline_slopes(slopes) - MIN)
        other, other_slope = unconstrained_rational_quadratic_spline(
            x, rows(widths), rows(heights), rows(theirs), tail_bound=bound
        )
        case = {"bins": bins, "bound": bound, "params": raw.tolist(), "knots": knots, "x": x.tolist()}
        case["zuko"] = {"z": z.tolist(), "log_slope": own.log_abs_det_jacobian(x, z).tolist()}
        case["nflows"] = {"z": other.tolist(), "log_slope": other_slope.tolist()}
        case["exact"] = exact_spline(raw.tolist(), bins, bound, x.tolist())
        gap = lambda name: " and ".join(
            f"{np.abs(np.subtract(case[name][part], case['exact'][part])).max():.1e}" for part in ("z", "log_slope")
        )
        print(f"spline, {bins} bins, parameters of size {scale:g}: zuko is off by {gap('zuko')}, nflows by {gap('nflows')}")
        splines.append(case)
    shift, raw = 3 * torch.randn(16), torch.tensor([0.0, 1e-8, -1e-8, 7.0, -7.0, 30.0, -30.0, *(3 * torch.randn(9)).tolist()])
    x = 2 * torch.randn(16)
    own = affine(shift, raw)
    library = f"{ZUKO}; nflows {VERSIONS['nflows']}"
    about = (
        "params of a spline: K widths, K heights, K - 1 inner slopes, raw; of an affine map: shift, raw log-scale; "
        "exact: by the formulas, with 50 digits"
    )
    affine_case = {
        "params": torch.stack((shift, raw), -1).tolist(),
        "x": x.tolist(),
        "z": own(x).tolist(),
        "log_slope": own.log_abs_det_jacobian(x, own(x)).tolist(),
    }
    return {"library": library, "about": about, "splines": splines, "affine": affine_case}


def exact_spline(raw, bins, bound, points):
    """Equations 4 and 5 of Durkan et al. 2019 with 50 digits: steep bins cost the libraries some of their digits."""
    m = mpmath
    bound, least = m.mpf(bound), m.mpf("0.001")

    def knots(values):
        weights = [m.exp(m.mpf(value)) for value in values]
        shares = [least + (1 - least * bins) * weight / m.fsum(weights) for weight in weights]
        return [bound * (2 * m.fsum(shares[:k]) - 1) for k in range(bins)] + [bound]

    xs, zs = knots(raw[:bins]), knots(raw[bins : 2 * bins])
    slopes = [m.mpf(1), *(least + (1 - least) * m.log(1 + m.exp(m.mpf(p)) * (m.e - 1)) for p in raw[2 * bins :]), m.mpf(1)]
    result = {"z": [], "log_slope": []}
    for x in map(m.mpf, points):
        z, log_slope = x, m.mpf(0)
        if abs(x) <= bound:
            k = max(k for k in range(bins) if k == 0 or xs[k] <= x)
            width, height = xs[k + 1] - xs[k], zs[k + 1] - zs[k]
            t, s, low, high = (x - xs[k]) / width, height / width, slopes[k], slopes[k + 1]
            below = s + (low + high - 2 * s) * t * (1 - t)
            z = zs[k] + height * (s * t**2 + low * t * (1 - t)) / below
            log_slope = m.log(s**2 * (high * t**2 + 2 * s * t * (1 - t) + low * (1 - t) ** 2) / below**2)
        result["z"].append(float(z))
        result["log_slope"].append(float(log_slope))
    return result


def softplus_inverse(y):
    return y + torch.log(-torch.expm1(-y))


def distributions():
    """Log-densities of the base distributions, and the closed-form Gaussian fit."""
    d, k = 3, 4
    z = torch.cat((2 * torch.randn(12, d), torch.tensor([[0.0] * d, [30.0] * d, [-1e-8, 1e6, 0.5]])))
    normal = torch.distributions.Normal
    raw_dof, logits, means, raw_scales = torch.randn(1, d), torch.randn(1, k), 2 * torch.randn(k, d), torch.randn(k, d)
    scales = (LOG_SCALE_MAX * torch.tanh(raw_scales / LOG_SCALE_MAX)).exp()
    each = torch.distributions.Independent(normal(means, scales), 1)
    mixture = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(logits=logits[0]), each)
    student = torch.distributions.StudentT(1 + softplus(raw_dof[0]))
    data = torch.randn(64, d) @ torch.randn(d, d) + torch.randn(d)
    mean, covariance = data.mean(0), torch.from_numpy(np.cov(data.numpy().T, bias=True))
    whiten = torch.linalg.inv(torch.linalg.cholesky(covariance))
    gaussian = torch.distributions.MultivariateNormal(mean, covariance)
    fitted = {"mean": mean[None], "log_diagonal": whiten.diagonal().log()[None], "lower": whiten.tril(-1)}
    named = lambda values: {name: numbers(value) for name, value in values.items()}
    return {
        "library": PYTORCH,
        "about": "dof = 1 + softplus(raw); log-scales 7 tanh(raw / 7); the Gaussian is the fit of data (1 / n): "
        "its diagonal and lower triangle are those of the inverse of the covariance's Cholesky factor",
        "z": z.tolist(),
        "normal": {"log_prob": normal(torch.zeros(d), 1.0).log_prob(z).sum(-1).tolist()},
        "student_t": {"parameters": named({"dof": raw_dof}), "log_prob": student.log_prob(z).sum(-1).tolist()},
        "mixture": {
            "parameters": named({"logits": logits, "means": means, "log_scales": raw_scales}),
            "log_prob": mixture.log_prob(z).tolist(),
        },
        "gaussian": {
            "data": data.tolist(),
            "mean": mean.tolist(),
            "covariance": covariance.tolist(),
            "parameters": named(fitted),
            "log_prob": gaussian.log_prob(z).tolist(),
        },
    }


def files():
    alternate = [True, False, True, False]
    other = [not kept for kept in alternate]
    maf = lambda kind, context: [autoregressive(3, context, order, kind) for order in ([0, 1, 2], [2, 0, 1])]
    pair = lambda kind, context: [coupling(4, context, kept, kind) for kept in (alternate, other)]
    yield "scalar_maps", scalar_maps
    yield "distributions", distributions
    yield "maf", lambda: flow("masked autoregressive flow, affine", 3, 0, maf("affine", 0))
    yield "nsf", lambda: flow("autoregressive spline flow", 3, 0, maf("spline", 0))
    yield "maf_context", lambda: flow("masked autoregressive flow with context", 3, 2, maf("affine", 2))
    yield "nsf_context", lambda: flow("autoregressive spline flow with context", 3, 2, maf("spline", 2))
    yield "realnvp", lambda: flow("affine couplings", 4, 0, pair("affine", 0))
    yield "nsf_coupling", lambda: flow("spline couplings", 4, 0, pair("spline", 0))
    yield "realnvp_context", lambda: flow("affine couplings with context", 4, 2, pair("affine", 2))
    yield "plu", lambda: flow("linear maps", 5, 0, [Plu([3, 0, 4, 1, 2]), Plu([0, 1, 2, 3, 4])])
    yield (
        "nsf_plu",
        lambda: flow(
            "the chain of the nsf preset",
            3,
            0,
            [autoregressive(3, 0, [0, 1, 2], "spline"), Plu([2, 0, 1]), autoregressive(3, 0, [0, 1, 2], "spline", bins=8)],
        ),
    )
    yield "householder", lambda: flow("products of reflections", 5, 0, [Householder(5, 1), Householder(5, 4)], library=NFLOWS)
    yield "cholesky", lambda: flow("triangular maps with a positive diagonal", 4, 0, [Cholesky(4), Cholesky(4)], library=FLOWJAX)
    yield "curves", lambda: golden_curves.curves(ZUKO)
    residual = lambda dims, context: golden_residual.layers(dims, context, numbers)
    yield "residual", lambda: flow("residual layers of two columns", 2, 0, residual(2, 0), library=NORMFLOWS)
    yield "residual_context", lambda: flow("residual layers, whole Jacobians", 3, 2, residual(3, 2), library=PYTORCH)
    continuous = lambda dims, context, activation: golden_continuous.layers(dims, context, activation, numbers)
    yield "continuous", lambda: flow("solutions of equations", 3, 0, continuous(3, 0, "tanh"), library=ZUKO)
    yield (
        "continuous_context",
        lambda: flow("solutions of equations with a context", 3, 2, continuous(3, 2, "softplus"), library=TORCHDIFFEQ),
    )
    for kind, about in [
        ("transformer", "affine maps by causal transformers"),
        ("recurrent", "affine maps by recurrent networks"),
    ]:
        sequence = lambda context, kind=kind: golden_sequence.layers(kind, context, numbers)
        yield kind, lambda s=sequence, a=about: flow(a, 5, 0, s(0), rows=12, library=PYTORCH)
        yield f"{kind}_context", lambda s=sequence, a=about: flow(f"{a} with context", 5, 2, s(2), rows=12, library=PYTORCH)
    blocks = lambda dims, context: golden_blocks.layers(dims, context, numbers)
    yield "blocks", lambda: flow("block autoregressive layers", 3, 0, blocks(3, 0), library=FLOWJAX)
    yield "blocks_context", lambda: flow("block autoregressive layers with context", 4, 2, blocks(4, 2), library=FLOWJAX)
    yield "integrals", lambda: golden_curves.integrals(f"{ZUKO}, UMNN {VERSIONS['umnn']}")
    yield "weights", lambda: golden_weights.weights(f"arviz-stats {VERSIONS['arviz-stats']}")
    yield "chains", lambda: golden_weights.chains(f"arviz-stats {VERSIONS['arviz-stats']}")


def differences(old, new, path=""):
    if isinstance(new, dict):
        return [d for key in new.keys() | old.keys() for d in differences(old.get(key), new.get(key), f"{path}.{key}")]
    if isinstance(new, list) and isinstance(old, list) and len(old) == len(new):
        return [d for i, (a, b) in enumerate(zip(old, new, strict=True)) for d in differences(a, b, f"{path}[{i}]")]
    same = (
        math.isclose(old, new, rel_tol=1e-12, abs_tol=1e-12) if isinstance(new, float) and isinstance(old, float) else old == new
    )
    return [] if same else [f"{path}: {old} is now {new}"]


def main():
    parser = argparse.ArgumentParser(description="write the numbers of the differential tests")
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    check = parser.parse_args().check
    mpmath.mp.dps = 50
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    jax.config.update("jax_enable_x64", True)
    changed = []
    for seed, (name, make) in enumerate(files()):
        torch.manual_seed(seed)
        content, path = make(), FOLDER / f"{name}.json"
        if check:
            changed += [f"{name}{line}" for line in differences(json.loads(path.read_text()), content)]
            continue
        lines = ",\n".join(f'"{key}": {json.dumps(value, allow_nan=False)}' for key, value in content.items())
        FOLDER.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{{\n{lines}\n}}\n")
        print(f"{path.name}: {path.stat().st_size} bytes")
        assert path.stat().st_size < 100_000
    if changed:
        raise SystemExit("\n".join(changed[:20]))


if __name__ == "__main__":
    main()
