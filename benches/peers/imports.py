#!/usr/bin/env python3
"""Flows of zuko and nflows, imported with their weights: how far log-densities are from the peer's own.

    python3 benches/peers/imports.py                    # a table, and its largest differences
    python3 benches/peers/imports.py --write FOLDER     # also small states with densities, for the tests of the package

Twelve flows of zuko and twelve of nflows in double precision, weights far from those they start with, 500 points inside and outside of the boxes of splines.
Differences are those of log-densities, divided by these where they are beyond 1, of `f64` models and of `f32` ones; each model is also passed as its bare state.
Needs the package for Python in the environment (`benches/peers/.venv/bin/pip install .`).
"""

import environment

environment.enter()

import argparse
import json
from pathlib import Path

import diffeo
import numpy as np
import torch
import zuko
from nflows import distributions, flows, transforms
from nflows.nn import nets
from torch import nn
from torch.nn import functional

POINTS = 500


def of_zuko():
    flows_of = zuko.flows
    small = dict(hidden_features=(16, 16))
    return {
        "MAF(2)": flows_of.MAF(2, transforms=3, **small),
        "MAF(5), widths 13, 9": flows_of.MAF(5, transforms=3, hidden_features=(13, 9)),
        "MAF(4) given 3": flows_of.MAF(4, 3, transforms=2, **small),
        "MAF(6), random orders, tanh": flows_of.MAF(6, transforms=3, randperm=True, activation=nn.Tanh, **small),
        "NSF(3)": flows_of.NSF(3, transforms=3, **small),
        "NSF(5), 16 bins": flows_of.NSF(5, transforms=2, bins=16, hidden_features=(20,)),
        "NSF(3) given 2": flows_of.NSF(3, 2, transforms=3, **small),
        "NSF(4), slope 1e-2, ELU": flows_of.NSF(4, transforms=2, slope=1e-2, activation=nn.ELU, **small),
        "NSF(4), two passes": flows_of.NSF(4, transforms=2, passes=2, **small),
        "RealNVP(4)": flows_of.RealNVP(4, transforms=4, **small),
        "NICE(5), random masks": flows_of.NICE(5, transforms=4, randmask=True, **small),
        "RealNVP(3) given 2": flows_of.RealNVP(3, 2, transforms=3, **small),
    }


def net(hidden=16, blocks=2, activation=functional.relu):
    return lambda inputs, outputs: nets.ResidualNet(inputs, outputs, hidden, num_blocks=blocks, activation=activation)


def composed(dims, *parts):
    return flows.Flow(transforms.CompositeTransform(list(parts)), distributions.StandardNormal([dims]))


def of_nflows():
    t = transforms
    spline = dict(num_bins=6, tails="linear", tail_bound=3.0)
    masks = [[1, 0, 1, 0], [0, 1, 0, 1]]

    def maf(dims, layers, **settings):
        return composed(
            dims,
            *(
                p
                for _ in range(layers)
                for p in (t.ReversePermutation(dims), t.MaskedAffineAutoregressiveTransform(dims, 16, **settings))
            ),
        )

    masked = t.MaskedPiecewiseRationalQuadraticAutoregressiveTransform
    coupled = t.PiecewiseRationalQuadraticCouplingTransform
    norm = t.BatchNorm(3)
    norm.running_mean, norm.running_var = torch.randn(3), torch.rand(3) + 0.5
    return {
        "MAF(2)": maf(2, 3),
        "MAF(5), 3 blocks": maf(5, 2, num_blocks=3),
        "MAF(4), plain, tanh": maf(4, 3, use_residual_blocks=False, activation=torch.tanh),
        "masked splines(3)": composed(3, *(p for _ in range(2) for p in (t.RandomPermutation(3), masked(3, 16, **spline)))),
        "masked splines(5), plain": composed(
            5,
            masked(5, 20, use_residual_blocks=False, **spline),
            t.ReversePermutation(5),
            masked(5, 20, use_residual_blocks=False, **spline),
        ),
        "masked splines(4), LU": composed(
            4,
            t.LULinear(4, identity_init=False),
            masked(4, 16, **spline),
            t.LULinear(4, identity_init=False),
            masked(4, 16, **spline),
        ),
        "affine couplings(4)": composed(4, *(t.AffineCouplingTransform(mask, net()) for mask in masks * 2)),
        "additive couplings(4)": composed(4, *(t.AdditiveCouplingTransform(mask, net()) for mask in masks)),
        "spline couplings(4)": composed(4, *(coupled(mask, net(), **spline) for mask in masks * 2)),
        "spline couplings(5), LU": composed(
            5, t.RandomPermutation(5), t.LULinear(5, identity_init=False), coupled([1, 0, 1, 1, 0], net(24, 1), **spline)
        ),
        "ActNorm, affine couplings(4)": composed(
            4, t.ActNorm(4), t.AffineCouplingTransform(masks[0], net()), t.ActNorm(4), t.AffineCouplingTransform(masks[1], net())
        ),
        "BatchNorm, MAF(3)": composed(3, norm, t.MaskedAffineAutoregressiveTransform(3, 16)),
    }


def shaken(flow, seed):
    """The flow in double precision, with weights of the size that training makes."""
    torch.manual_seed(seed)
    flow = flow.double().eval()
    for parameter in flow.parameters():
        width = parameter.shape[-1] if parameter.ndim > 1 else 1
        parameter.data = torch.randn_like(parameter) * (1.0 / width**0.5 if parameter.ndim > 1 else 0.4)
    for name, value in flow.named_buffers():
        if name.endswith("initialized"):
            value.fill_(True)
    return flow


def widths(library, flow):
    """Columns, and those of the context."""
    if library == "nflows":
        return flow._distribution._shape[0], 0
    dims = len(flow.base.loc)
    layer = flow.transform.transforms[0]
    inputs = layer.hyper[0].weight.shape[1]
    return dims, inputs - (dims if hasattr(layer, "passes") else int(layer.mask.sum()))


def settings_of(library, name):
    """What a bare state does not say."""
    found = {}
    for word in ("tanh", "ELU"):
        if word in name:
            found["activation"] = word.lower()
    if library == "zuko" and "slope" in name:
        found["slope"] = 1e-2
    if library == "nflows":
        found["tail_bound"] = 3.0
    return found


def rounded(value):
    """As it is written: masks and places as whole numbers."""
    is_whole = (value == np.round(value)).all()
    return value.astype(int) if is_whole else np.round(value, 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    rows, worst, written = [], 0.0, {}
    print("| library | flow | largest difference, f64 | of the bare state | f32 |\n|---|---|--:|--:|--:|")
    for library, all_of in (("zuko", of_zuko()), ("nflows", of_nflows())):
        for i, (name, flow) in enumerate(all_of.items()):
            flow = shaken(flow, i)
            dims, given = widths(library, flow)
            x = 2.5 * torch.randn(POINTS, dims, dtype=torch.float64)
            context = torch.randn(POINTS, given, dtype=torch.float64) if given else None
            with torch.no_grad():
                if library == "zuko":
                    expected = flow(context).log_prob(x).numpy()
                else:
                    expected = flow.log_prob(x).numpy()
            beside = [] if context is None else [context.numpy()]
            state = {key: value.numpy() for key, value in flow.state_dict().items()}
            models = [
                diffeo.import_model(flow),
                diffeo.import_model(state, **settings_of(library, name)),
                diffeo.import_model(flow, precision="f32"),
            ]
            size = np.maximum(1, np.abs(expected))
            differences = [float((np.abs(model.log_prob(x.numpy(), *beside) - expected) / size).max()) for model in models]
            back = models[0].round_trip_error(x.numpy(), *beside).max()
            assert back < 1e-6, (name, back)
            worst = max(worst, *differences[:2])
            rows.append(dict(library=library, flow=name, f64=differences[0], state=differences[1], f32=differences[2]))
            print(f"| {library} | {name} | {differences[0]:.1e} | {differences[1]:.1e} | {differences[2]:.1e} |", flush=True)
            if options.write and i in (1, 2, 4, 8, 9):
                few = x[:20].numpy()
                written[f"{library}: {name}"] = dict(
                    settings=settings_of(library, name),
                    state={
                        key: dict(shape=list(value.shape), values=rounded(value).ravel().tolist()) for key, value in state.items()
                    },
                    x=few.tolist(),
                    context=None if context is None else context[:20].numpy().tolist(),
                )
                # Densities of the weights as they are written.
                flow.load_state_dict(
                    {key: torch.from_numpy(rounded(value)).to(flow.state_dict()[key].dtype) for key, value in state.items()}
                )
                with torch.no_grad():
                    again = (
                        flow(None if context is None else context[:20]).log_prob(x[:20])
                        if library == "zuko"
                        else flow.log_prob(x[:20])
                    )
                written[f"{library}: {name}"]["log_prob"] = again.tolist()
    print(f"\nlargest of all in f64: {worst:.1e}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    if options.write:
        text = json.dumps({"versions": environment.versions(), "flows": written})
        (options.write / "peers.json").write_text(text + "\n")


main()
