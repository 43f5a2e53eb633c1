"""`diffeo.import_model`: flows of zuko and nflows, with their weights, as models.

Layers of a peer become layers of diffeo whose scalar maps read raw parameters as that library does (`translated`). Masked networks keep their weights in another
order: diffeo sorts hidden units by degree, so units are sorted, and every degree is filled up with units of zeros to the same number.
"""

import json
import os
import re

import numpy as np

from . import _native
from ._errors import ConfigError, DataError, ModelFileError

_ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "elu": "elu"}


def import_model(source, *, library=None, columns=None, context=None, precision="f64", **settings) -> _native.Model:
    """A model of diffeo with the log-density of a flow of zuko or nflows.

    Parameters
    ----------
    source
        The module; or its state, as a mapping of names to arrays or as a `.safetensors` file. Nothing is unpickled.
        Of zuko: MAF, NSF, NICE, RealNVP and what is composed of their layers, with context or without. Of nflows, without context: flows of masked and
        coupling transforms (affine, additive, rational-quadratic with linear tails), permutations, LULinear, ActNorm, BatchNorm as in evaluation.
    library
        "zuko" or "nflows"; a module and the names of a state tell it.
    columns, context
        What the columns are called; x1, x2, ... and c1, c2, ... if nobody says.
    precision
        "f64", or "f32" for speed.
    settings
        What a state does not say, of all layers alike: `activation` ("relu", "tanh", "elu"), of zuko `bound` (5) and `slope` (1e-3), of nflows `tail_bound`.
    """
    if hasattr(source, "state_dict") and hasattr(source, "modules"):
        if source.training and any("BatchNorm" in type(m).__name__ for m in source.modules()):
            raise ConfigError("the module is in training mode, where batch normalisation depends on the batch; call eval() first")
        state = {name: value.detach().cpu().numpy() for name, value in source.state_dict().items()}
        module = source
    else:
        state, module = _state(source), None
    library = library or _library(state)
    reader = {"zuko": _Zuko, "nflows": _Nflows}.get(library)
    if reader is None:
        raise ConfigError(f"library: expected zuko or nflows, found {library!r}")
    flow = reader(state, module, settings)
    layers = flow.layers()
    flow.expect_all_used()
    names = _names(columns, "x", flow.dims), _names(context, "c", flow.context)
    spec = {
        "dims": flow.dims,
        "context_dims": flow.context,
        "precision": precision,
        "transforms": [layer for layer, _ in layers],
        "base": {"type": "normal"},
    }
    weights = [
        (f"transform.{i}.{name}", np.ascontiguousarray(np.atleast_2d(value), dtype=np.float64))
        for i, (_, values) in enumerate(layers)
        for name, value in values.items()
    ]
    return _native.assemble(json.dumps(spec), *names, weights)


def _names(names, prefix, count):
    if names is None:
        return [f"{prefix}{i + 1}" for i in range(count)]
    if len(names) != count:
        raise ConfigError(f"expected {count} names, found {len(names)}")
    return list(names)


def _state(source):
    if isinstance(source, (str, os.PathLike)):
        return _read_safetensors(source)
    try:
        return {str(name): np.asarray(value) for name, value in source.items()}
    except (AttributeError, TypeError) as error:
        raise DataError(
            f"expected a module, a mapping of names to arrays or a .safetensors file, found {type(source).__name__}"
        ) from error


def _read_safetensors(path):
    types = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "BOOL": "?", "U8": "u1"}
    with open(path, "rb") as file:
        data = file.read()
    try:
        size = int.from_bytes(data[:8], "little")
        header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
        header.pop("__metadata__", None)
        state = {}
        for name, tensor in header.items():
            begin, end = tensor["data_offsets"]
            state[name] = np.frombuffer(body[begin:end], dtype=types[tensor["dtype"]]).reshape(tensor["shape"])
    except (KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
        raise ModelFileError(
            f"{os.fspath(path)}: expected a .safetensors file of a state, found another or a damaged one: {error}"
        ) from error
    return state


def _library(state):
    if any(name.startswith("_transform.") for name in state):
        return "nflows"
    if any(name.startswith("transform.") for name in state):
        return "zuko"
    raise DataError(
        "expected the state of a flow of zuko or nflows, whose names begin with transform. or _transform.; for another flow give library"
    )


class _Reader:
    """A state that is read once, and what the module or the caller says besides."""

    def __init__(self, state, module, settings):
        self.state, self.module, self.settings = state, module, settings
        self.used = set()

    def take(self, name):
        self.used.add(name)
        try:
            return np.asarray(self.state[name], dtype=np.float64)
        except KeyError:
            raise ModelFileError(f"the state has no {name}") from None

    def numbered(self, prefix):
        """Prefixes of the numbered parts behind a prefix, in order."""
        pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
        found = {int(match[1]) for name in self.state if (match := pattern.match(name))}
        return [f"{prefix}{i}." for i in sorted(found)]

    def linear(self, prefix):
        """Weight, bias and mask of a layer."""
        weight, bias = self.take(prefix + "weight"), self.take(prefix + "bias")
        mask = self.take(prefix + "mask") if prefix + "mask" in self.state else None
        return weight, bias, mask

    def expect_all_used(self):
        left = sorted(set(self.state) - self.used)
        if left:
            shown = ", ".join(left[:5]) + (", ..." if len(left) > 5 else "")
            raise ConfigError(f"layers of this kind cannot be imported: {shown}")

    def activation(self, name=None):
        name = (name or self.settings.get("activation", "relu")).lower()
        if name not in _ACTIVATIONS:
            raise ConfigError(f"activation: expected relu, tanh or elu, found {name}")
        return _ACTIVATIONS[name]


class _Zuko(_Reader):
    def layers(self):
        prefixes = self.numbered("transform.transforms.")
        if not prefixes:
            raise ConfigError("expected a flow of composed transforms, transform.transforms.0 and so on")
        modules = list(self.module.transform.transforms) if self.module is not None else [None] * len(prefixes)
        location, scale = self.take("base.loc"), self.take("base.scale")
        self.dims, self.context = len(location), 0
        layers = [self._layer(prefix, module) for prefix, module in zip(prefixes, modules, strict=True)]
        if location.any() or (scale != 1).any():
            layers.append(_element_wise(-location / scale, -np.log(scale)))
        return layers

    def _layer(self, prefix, module):
        hyper = [self.linear(at) for at in self.numbered(prefix + "hyper.") if at + "weight" in self.state]
        if not hyper:
            raise ConfigError(f"{prefix[:-1]}: only masked autoregressive and coupling transforms can be imported")
        names = {type(layer).__name__ for layer in module.hyper} - {"Linear", "MaskedLinear"} if module is not None else set()
        if len(names) > 1 or names - {"ReLU", "Tanh", "ELU"}:
            raise ConfigError(f"{prefix[:-1]}: networks of {', '.join(sorted(names))} cannot be imported")
        activation = self.activation(names.pop() if names else None)
        if prefix + "order" in self.state:
            rank = self.take(prefix + "order").astype(int)
            order = np.argsort(rank, kind="stable")
            self._context(hyper[0][0].shape[1] - self.dims)
            per_dim = len(hyper[-1][1]) // self.dims
            rows = np.arange(self.dims * per_dim).reshape(self.dims, per_dim)[order]
            network = _Masked(hyper, order, self.context, rows.ravel(), False)
            return network.layer(
                {"type": "autoregressive", "order": order.tolist()}, self._map(per_dim, module, prefix), activation
            )
        kept = self.take(prefix + "mask").astype(bool)
        self._context(hyper[0][0].shape[1] - kept.sum())
        per_dim = len(hyper[-1][1]) // (~kept).sum()
        network = _Dense(hyper, int(kept.sum()), np.arange(len(hyper[-1][1])), False)
        return network.layer({"type": "coupling", "kept": kept.tolist()}, self._map(per_dim, module, prefix), activation)

    def _context(self, width):
        if self.context not in (0, width):
            raise ModelFileError("layers have contexts of different widths")
        self.context = int(width)

    def _map(self, per_dim, module, prefix):
        univariate = getattr(module, "univariate", None)
        keywords = getattr(univariate, "keywords", {})
        name = getattr(getattr(univariate, "func", univariate), "__name__", None)
        expected = "MonotonicAffineTransform" if per_dim == 2 else "MonotonicRQSTransform"
        if name not in (None, expected) or (per_dim != 2 and per_dim % 3 != 2):
            raise ConfigError(f"{prefix[:-1]}: {name or 'its univariate transform'} cannot be imported")
        slope = float(keywords.get("slope", self.settings.get("slope", 1e-3)))
        if per_dim == 2:
            return {"zuko_affine": {"slope": slope}}
        bound = float(keywords.get("bound", self.settings.get("bound", 5.0)))
        return {"zuko_spline": {"bins": (per_dim + 1) // 3, "bound": bound, "slope": slope}}


class _Nflows(_Reader):
    def layers(self):
        prefixes = self.numbered("_transform._transforms.") or ["_transform."]
        modules = [None] * len(prefixes)
        if self.module is not None:
            transform = self.module._transform
            modules = list(getattr(transform, "_transforms", [transform]))
            # Those without a state have no names in it.
            prefixes = (
                [f"_transform._transforms.{i}." for i in range(len(modules))] if hasattr(transform, "_transforms") else prefixes
            )
        self.used.add("_distribution._log_z")
        self.context = 0
        self.dims = self._dims(prefixes)
        return [self._layer(prefix, module) for prefix, module in zip(prefixes, modules, strict=True)]

    def _dims(self, prefixes):
        for prefix in prefixes:
            for name in ("_permutation", "unconstrained_upper_diag", "log_scale", "running_mean"):
                if prefix + name in self.state:
                    return len(self.state[prefix + name])
            if prefix + "autoregressive_net.initial_layer.weight" in self.state:
                return self.state[prefix + "autoregressive_net.initial_layer.weight"].shape[1]
            if prefix + "identity_features" in self.state:
                return len(self.state[prefix + "identity_features"]) + len(self.state[prefix + "transform_features"])
        raise ConfigError("no transform says how many columns there are")

    def _layer(self, prefix, module):
        has = lambda name: prefix + name in self.state  # noqa: E731
        kind = type(module).__name__ if module is not None else None
        if has("_permutation"):
            return {"type": "permutation", "order": self.take(prefix + "_permutation").astype(int).tolist()}, {}
        if has("unconstrained_upper_diag"):
            return self._lu(prefix, module)
        if has("running_mean"):
            return self._batch_norm(prefix, module)
        if has("initialized"):
            self.take(prefix + "initialized")
            return _element_wise(self.take(prefix + "shift"), self.take(prefix + "log_scale"))
        if has("autoregressive_net.initial_layer.weight") and kind in (
            None,
            "MaskedAffineAutoregressiveTransform",
            "MaskedPiecewiseRationalQuadraticAutoregressiveTransform",
        ):
            return self._masked(prefix, module)
        if has("transform_net.initial_layer.weight") and kind in (
            None,
            "AffineCouplingTransform",
            "AdditiveCouplingTransform",
            "PiecewiseRationalQuadraticCouplingTransform",
        ):
            return self._coupling(prefix, module)
        raise ConfigError(f"{prefix[:-1]}: {kind or 'a transform of this kind'} cannot be imported")

    def _network(self, prefix, net):
        """The layers of a network, whether it is residual, and its activation."""
        layers = [self.linear(prefix + "initial_layer.")]
        residual = False
        for block in self.numbered(prefix + "blocks."):
            inner = self.numbered(block + "linear_layers.")
            residual = residual or bool(inner)
            layers += [self.linear(at) for at in inner or [block + "linear."]]
        layers.append(self.linear(prefix + "final_layer."))
        self.used |= {name for name in self.state if name.startswith(prefix) and name.endswith("degrees")}
        name = None
        if net is not None:
            activation = getattr(net, "activation", None) or next((block.activation for block in net.blocks), None)
            name = getattr(activation, "__name__", type(activation).__name__)
        activation = self.activation(name)
        if residual and activation != "relu":
            raise ConfigError(f"{prefix[:-1]}: residual networks can be imported with relu only, found {activation}")
        return layers, residual, activation

    def _masked(self, prefix, module):
        net = getattr(module, "autoregressive_net", None)
        layers, residual, activation = self._network(prefix + "autoregressive_net.", net)
        per_dim = len(layers[-1][1]) // self.dims
        rows = np.arange(self.dims * per_dim).reshape(self.dims, per_dim)
        if per_dim == 2:
            rows, parameters = rows[:, ::-1], {"nflows_affine": {}}
        else:
            parameters = self._spline(per_dim, module, prefix)
            layers[-1] = self._shrunk(layers[-1], rows, parameters, net)
        network = _Masked(layers, np.arange(self.dims), 0, rows.ravel(), residual)
        return network.layer({"type": "autoregressive", "order": list(range(self.dims))}, parameters, activation)

    def _coupling(self, prefix, module):
        net = getattr(module, "transform_net", None)
        layers, residual, activation = self._network(prefix + "transform_net.", net)
        kept = np.zeros(self.dims, dtype=bool)
        kept[self.take(prefix + "identity_features").astype(int)] = True
        moved = self.take(prefix + "transform_features").astype(int)
        outputs = len(layers[-1][1])
        per_dim = outputs // len(moved)
        if layers[0][0].shape[1] != kept.sum():
            raise ConfigError(f"{prefix[:-1]}: networks with a context cannot be imported")
        if per_dim <= 2:
            # One number after another: all shifts, then all scales. Without scales, one of zero.
            rows = np.arange(outputs).reshape(per_dim, -1).T
            parameters = {"nflows_coupling": {}}
            if per_dim == 1:
                rows, parameters = np.column_stack([rows, np.full(len(moved), -1)]), {"zuko_affine": {"slope": 1e-3}}
        else:
            rows = np.arange(outputs).reshape(-1, per_dim)
            parameters = self._spline(per_dim, module, prefix)
            layers[-1] = self._shrunk(layers[-1], rows, parameters, net, usual=True)
        network = _Dense(layers, int(kept.sum()), rows.ravel(), residual)
        return network.layer({"type": "coupling", "kept": kept.tolist()}, parameters, activation)

    def _spline(self, per_dim, module, prefix):
        bound = getattr(module, "tail_bound", self.settings.get("tail_bound"))
        least = {getattr(module, name, 1e-3) for name in ("min_bin_width", "min_bin_height", "min_derivative")}
        if per_dim % 3 != 2 or getattr(module, "tails", "linear") != "linear" or least != {1e-3}:
            raise ConfigError(f"{prefix[:-1]}: only splines with linear tails and the usual least sizes can be imported")
        if bound is None:
            raise ConfigError(f"{prefix[:-1]}: the state does not say where splines end; give tail_bound")
        return {"nflows_spline": {"bins": (per_dim + 1) // 3, "bound": float(bound)}}

    def _shrunk(self, layer, rows, parameters, net, usual=False):
        """Sizes of bins are divided by the root of the width of networks that say it; those of couplings do."""
        if not (hasattr(net, "hidden_features") if net is not None else usual):
            return layer
        weight, bias, mask = layer
        sizes = rows[:, : 2 * parameters["nflows_spline"]["bins"]].ravel()
        by = weight.shape[1] ** -0.5
        weight, bias = weight.copy(), bias.copy()
        weight[sizes] *= by
        bias[sizes] *= by
        return weight, bias, mask

    def _lu(self, prefix, module):
        d, eps = self.dims, getattr(module, "eps", 1e-3)
        lower, upper = np.eye(d), np.zeros((d, d))
        lower[np.tril_indices(d, -1)] = self.take(prefix + "lower_entries")
        upper[np.triu_indices(d, 1)] = self.take(prefix + "upper_entries")
        diagonal = np.logaddexp(0, self.take(prefix + "unconstrained_upper_diag")) + eps
        # x U' L' = x (U' / D) (D L'): unit lower times upper.
        below = (upper.T + np.diag(diagonal)) / diagonal[None, :]
        above = diagonal[:, None] * lower.T
        values = {
            "lower": np.tril(below, -1),
            "upper": np.triu(above, 1),
            "log_scale": _bounded(np.log(diagonal), 7.0, f"{prefix[:-1]}: scales"),
            "shift": self.take(prefix + "bias"),
        }
        return {"type": "plu", "order": list(range(d))}, values

    def _batch_norm(self, prefix, module):
        eps = getattr(module, "eps", 1e-5)
        mean, variance = self.take(prefix + "running_mean"), self.take(prefix + "running_var")
        weight = np.logaddexp(0, self.take(prefix + "unconstrained_weight")) + eps
        scale = weight / np.sqrt(variance + eps)
        return _element_wise(self.take(prefix + "bias") - mean * scale, np.log(scale))


def _bounded(log_scale, bound, what):
    """The `raw` of `bound tanh(raw / bound) = log_scale`."""
    if np.abs(log_scale).max() > 0.999 * bound:
        raise ConfigError(f"{what} are beyond e^{bound:g}")
    return bound * np.arctanh(log_scale / bound)


def _element_wise(shift, log_scale):
    """`z = x e^s + t` of each column."""
    return {"type": "act_norm"}, {"log_scale": _bounded(log_scale, 40.0, "scales of columns"), "shift": shift}


class _Network:
    """Weights and biases of a network whose hidden units are laid out anew: a place for each unit, and a second one of the opposite sign in the trunk of a
    residual network, as diffeo's ends with an activation and theirs do not: h = relu(h) - relu(-h)."""

    def __init__(self, layers, inputs, rows, residual):
        self.inner, self.inputs, self.rows, self.residual = layers, inputs, rows, residual

    def layer(self, description, parameters, activation):
        """The description of the layer and its weights."""
        widths = [len(bias) for _, bias, _ in self.inner[:-1]]
        places, hidden = self.places(widths)
        context = self.inner[0][0].shape[1] - len(self.inputs)
        values = {}
        before, minus = self.inputs, None
        for i, (weight, bias, mask) in enumerate(self.inner):
            weight = weight if mask is None else weight * mask
            is_first, is_last = i == 0, i == len(self.inner) - 1
            if is_last:
                # A number that the network does not give is zero.
                weight = np.vstack([weight, np.zeros(weight.shape[1])])[self.rows]
                bias = np.append(bias, 0.0)[self.rows]
                after, sign = np.arange(len(self.rows)), None
            else:
                after, sign = places[i]
            name = "network.input" if is_first else "network.output" if is_last else f"network.hidden.{i - 1}"
            shape = (len(self.inputs) if is_first else hidden, len(self.rows) if is_last else hidden)
            at, shift = np.zeros(shape), np.zeros(shape[1])
            own = weight[:, : len(self.inputs)] if is_first else weight
            for target, factor in [(after, 1.0)] + ([(sign, -1.0)] if sign is not None else []):
                at[np.ix_(before, target)] += factor * own.T
                shift[target] += factor * bias
            if is_last and minus is not None:
                at[np.ix_(minus, after)] -= own.T
            if is_first and context:
                beside = np.zeros((context, hidden))
                beside[:, after] = weight[:, len(self.inputs) :].T
                values["network.context.weight"] = beside
            values[name + ".weight"], values[name + ".bias"] = at, shift
            before, minus = after, sign
        count = len(widths) if not self.residual else 1 + (len(widths) - 1) // 2
        network = {"hidden": [hidden] * count, "residual": self.residual, "activation": activation}
        return {**description, "monotone": {"type": "translated", "parameters": parameters}, "network": network}, values

    def is_trunk(self, i):
        """Whether hidden layer `i` is read again by what comes after the next ones."""
        return self.residual and i % 2 == 0


class _Dense(_Network):
    def __init__(self, layers, inputs, rows, residual):
        super().__init__(layers, np.arange(inputs), rows, residual)

    def places(self, widths):
        hidden = max(width * (2 if self.is_trunk(i) else 1) for i, width in enumerate(widths))
        found = []
        for i, width in enumerate(widths):
            units = np.arange(width)
            found.append((units, width + units if self.is_trunk(i) else None))
        return found, hidden


class _Masked(_Network):
    def __init__(self, layers, order, context, rows, residual):
        # Input `order[i]` is the i-th that diffeo's network reads.
        super().__init__(layers, np.argsort(order), rows, residual)
        self.context = context

    def places(self, widths):
        """By degree: how many of the inputs a unit sees."""
        d = len(self.inputs)
        lowest = 0 if self.context else min(1, d - 1)
        spread = max(1, d - lowest)
        degrees, below = [], None
        for weight, _, mask in self.inner[:-1]:
            seen = (np.ones_like(weight) if mask is None else mask) != 0
            if below is None:
                of_units = seen[:, :d].sum(1)
            else:
                of_units = np.where(seen, below[None, :], 0).max(1)
            below = of_units
            degrees.append(np.clip(of_units, lowest, d - 1 if d > 1 else 0))
        copies = [2 if self.is_trunk(i) else 1 for i in range(len(widths))]
        most = max(
            int(np.bincount(of_units - lowest, minlength=spread).max()) * n for of_units, n in zip(degrees, copies, strict=True)
        )
        found = []
        for of_units, n in zip(degrees, copies, strict=True):
            place, filled = np.zeros(len(of_units), dtype=int), np.zeros(spread, dtype=int)
            for unit, degree in enumerate(of_units - lowest):
                place[unit] = degree * most + filled[degree]
                filled[degree] += n
            found.append((place, place + 1 if n == 2 else None))
        return found, most * spread
