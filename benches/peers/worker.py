"""One library in one process that times what it is asked to: `python worker.py zuko|flowjax|diffrax|nflows|normflows|umnn|pytorch THREADS`.

The protocol, which diffeo's program of the same kind (`cargo run --release --example speed -- THREADS`) speaks too. A
request is one line of JSON on stdin, an answer one line on stdout; the process lives until stdin ends:

    {"model": "maf", "d": 6, "hidden": 256, "layers": 2, "transforms": 5, "bins": 8, "batch": 512, "op": "train", "seconds": 0.5}
    {"ms": [14.61, 14.55, ...]}

- `model`: `maf` (affine) or `nsf` (rational-quadratic spline, `bins` bins, bound 5), both autoregressive, f32, ReLU networks
  with `layers` hidden layers of `hidden` units, `transforms` of them, columns reordered in between. diffeo and zuko also have
  `bernstein` (degree `bins`), `sos` (three polynomials of half that degree), `naf` (zuko's: a monotone network of two layers of 2 `bins` units for each
  column, ours: one such layer), `umnn` (zuko's UNAF: an integral of a network of one layer of `bins` units; the package UMNN: the same, with 32 intervals
  and ten inputs from the conditioner) and `ffjord` (one continuous transform with exact divergence, tolerances of 1e-5, relative and absolute; beside
  diffrax too), diffeo and nflows `qnsf` (quadratic splines), diffeo and normflows `resflow` (contractive residual layers, with normflows' roulette). `t-maf` (affine maps by causal
  transformers, `layers` blocks of `hidden` inner and half as many outer units) is written here in PyTorch as diffeo has it, with keys and values kept for samples.
- With `"image": [28, 28, 1]` rows are images: `glow` (diffeo: two scales of `transforms` affine couplings with convolutional networks of `hidden / 4` units and `layers` blocks; normflows: the
  same with its networks of 138 channels for 128 `hidden`, of as many products) and `tarflow` (diffeo: splines over tokens of 4 x 4 pixels; written here in PyTorch: the same transformer with affine maps, of the
  paper, in place of splines).
- `op`: `train` is loss, gradient and Adam's step on one batch that is in memory already; `log_prob` is without gradient;
  `sample` draws `batch` rows, new ones each time.
- Calls are repeated for `seconds`, at least once; `ms` has the time of each. What happens once (building, compiling, the
  first call) is not in it. A model is kept until another `(model, d, hidden, batch)` is asked for.
- {"op": "product", "size": 1536, "seconds": 0.3} gives {"gflops": [..]}, the rate of f32 products of square matrices. 2 size^3
  operations each.
- What `ffjord` and `resflow` cost depends on what they have learned: a field of zeros takes two steps. So they have a lesson before they are timed: 100 steps at a rate of 5e-3 on
  rows of two clusters, (1.5 s + 0.5 n) / sqrt(2.5), `s` the same random sign in all columns. With the times of `log_prob` comes what they reached, `nats`, their mean log-density.
- A request that cannot be served gives {"error": "why"}.
"""

import json
import os
import sys
import time


LEARNING = ("ffjord", "resflow")
LESSON = {"steps": 100, "rate": 5e-3}


def lesson(signs, noise):
    return (1.5 * signs + 0.5 * noise) / 2.5**0.5


class Torch:
    """What zuko and nflows have in common."""

    def __init__(self, threads):
        import torch

        torch.set_num_threads(threads)
        torch.manual_seed(0)

    def calls(self, model, flow, d, batch, distribution, sample):
        import torch

        learns = model in LEARNING
        optimizer = torch.optim.Adam(flow.parameters(), lr=LESSON["rate"] if learns else 1e-3)
        x = torch.randn(batch, d)
        if learns:
            x = lesson(torch.randn(batch, 1).sign(), x)

        def train():
            optimizer.zero_grad()
            loss = -distribution().log_prob(x).mean()
            loss.backward()
            optimizer.step()
            return loss.item()

        for _ in range(LESSON["steps"] if learns else 0):
            train()
        return {
            "train": train,
            "log_prob": torch.no_grad()(lambda: distribution().log_prob(x)),
            "sample": torch.no_grad()(sample),
        }

    def product(self, size):
        import torch

        a, b = torch.randn(size, size), torch.randn(size, size)
        return lambda: a @ b


class Zuko(Torch):
    def build(self, model, d, hidden, layers, transforms, bins, batch):
        import zuko

        options = {"transforms": transforms, "hidden_features": (hidden,) * layers}
        kinds = {
            "maf": lambda: zuko.flows.MAF(d, **options),
            "nsf": lambda: zuko.flows.NSF(d, bins=bins, **options),
            "bernstein": lambda: zuko.flows.BPF(d, degree=bins, **options),
            "sos": lambda: zuko.flows.SOSPF(d, degree=-(-bins // 2), polynomials=3, **options),
            "naf": lambda: zuko.flows.NAF(d, network={"hidden_features": (2 * bins,) * 2}, **options),
            "umnn": lambda: zuko.flows.UNAF(d, network={"hidden_features": (bins,)}, **options),
            "ffjord": lambda: zuko.flows.CNF(d, hidden_features=(hidden,) * layers, atol=1e-5, rtol=1e-5),
        }
        expect(model, kinds)
        flow = kinds[model]()
        return self.calls(model, flow, d, batch, flow, lambda: flow().sample((batch,)))


def expect(model, known):
    if model not in known:
        raise ValueError(f"no {model} to compare with")


class NFlows(Torch):
    def build(self, model, d, hidden, layers, transforms, bins, batch):
        expect(model, ("maf", "nsf", "qnsf"))
        from nflows import distributions, flows
        from nflows import transforms as maps

        # A block without a residual connection is one more hidden layer.
        network = {"features": d, "hidden_features": hidden, "num_blocks": layers - 1, "use_residual_blocks": False}

        def layer():
            splines = {
                "nsf": maps.MaskedPiecewiseRationalQuadraticAutoregressiveTransform,
                "qnsf": maps.MaskedPiecewiseQuadraticAutoregressiveTransform,
            }
            if spline := splines.get(model):
                return spline(**network, num_bins=bins, tails="linear", tail_bound=5.0)
            return maps.MaskedAffineAutoregressiveTransform(**network)

        chain = [part for i in range(transforms) for part in ([maps.ReversePermutation(d)] if i else []) + [layer()]]
        flow = flows.Flow(maps.CompositeTransform(chain), distributions.StandardNormal([d]))
        return self.calls(model, flow, d, batch, lambda: flow, lambda: flow.sample(batch))


class NormFlows(Torch):
    def build(self, model, d, hidden, layers, transforms, bins, batch):
        expect(model, ("resflow", "glow"))
        import normflows

        if model == "glow":
            return self.glow(d, hidden, transforms, batch)

        def layer():
            network = normflows.nets.LipschitzMLP([d] + [hidden] * layers + [d], lipschitz_const=0.9, init_zeros=True)
            return [normflows.flows.Residual(network), normflows.flows.ActNorm(d)]

        chain = [part for _ in range(transforms) for part in layer()]
        flow = normflows.NormalizingFlow(normflows.distributions.DiagGaussian(d), chain)
        return self.calls(model, flow, d, batch, lambda: flow, lambda: flow.sample(batch))

    def glow(self, d, hidden, transforms, batch):
        """As in normflows' own example, listed from the base on."""
        from types import SimpleNamespace

        import normflows

        height, width, channels = self.image
        fine, coarse = (2 * channels, height // 2, width // 2), (8 * channels, height // 4, width // 4)
        block = lambda channels: normflows.flows.GlowBlock(channels, hidden * 138 // 128, init_zeros=True)
        scales = [[block(shape[0]) for _ in range(transforms)] for shape in (coarse, (4 * channels,))]
        flows = [[*blocks, normflows.flows.Squeeze()] for blocks in scales]
        bases = [normflows.distributions.DiagGaussian(shape) for shape in (coarse, fine)]
        flow = normflows.MultiscaleFlow(bases, flows, [normflows.flows.Merge()], class_cond=False)
        density = SimpleNamespace(log_prob=lambda x: flow.log_prob(x.view(-1, channels, height, width), None))
        return self.calls("glow", flow, d, batch, lambda: density, lambda: flow.sample(batch))


class Umnn(Torch):
    def build(self, model, d, hidden, layers, transforms, bins, batch):
        expect(model, ("umnn",))
        import contextlib
        import os
        from types import SimpleNamespace

        import torch
        from UMNN import UMNNMAFFlow

        networks = {"hidden_derivative": [bins], "hidden_embedding": [hidden] * layers, "embedding_s": 10}
        flow = UMNNMAFFlow(transforms, d, nb_steps=32, solver="CCParallel", **networks)
        flow.log_prob = lambda x: flow.compute_ll(x)[0]

        def sample():
            # It prints the columns that it has come to.
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                return flow.invert(torch.randn(batch, d))

        return self.calls(model, flow, d, batch, lambda: SimpleNamespace(log_prob=flow.log_prob), sample)


class PyTorch(Torch):
    def build(self, model, d, hidden, layers, transforms, bins, batch):
        expect(model, ("t-maf", "tarflow"))
        import math
        from types import SimpleNamespace

        import torch
        from torch import nn
        from torch.nn.functional import gelu, scaled_dot_product_attention

        width, heads, group = hidden // 2, 4, 16 * self.image[2] if self.image else 1
        tokens = d // group
        read = lambda x: 3 * torch.asinh(x / 3)

        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
                self.attention, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
                self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

            def forward(self, h, kept=None):
                parts = self.attention(self.norms[0](h)).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
                query, key, value = parts
                if kept is not None:
                    kept.append((key, value))
                    key, value = (torch.cat(past, 2) for past in zip(*kept, strict=True))
                seen = scaled_dot_product_attention(query, key, value, is_causal=kept is None)
                h = h + self.out(seen.transpose(1, 2).flatten(2))
                return h + self.down(gelu(self.up(self.norms[1](h)), approximate="tanh"))

        class Layer(nn.Module):
            def __init__(self):
                super().__init__()
                self.start = nn.Parameter(torch.randn(1, width))
                self.embedding, self.position = (
                    nn.Parameter(torch.randn(tokens - 1, *shape)) for shape in ((group, width), (width,))
                )
                self.blocks = nn.ModuleList(Block() for _ in range(layers))
                self.norm = nn.LayerNorm(width, elementwise_affine=False)
                self.weight = nn.Parameter(torch.zeros(tokens, width, 2 * group))
                self.bias = nn.Parameter(torch.zeros(tokens, 2 * group))

            def forward(self, x):
                seen = read(x[:, :-group]).reshape(len(x), -1, group)
                seen = torch.einsum("ntg,tge->nte", seen, self.embedding) + self.position
                h = torch.cat([self.start.expand(len(x), 1, -1), seen], 1)
                for block in self.blocks:
                    h = block(h)
                params = torch.einsum("nte,tek->ntk", self.norm(h), self.weight) + self.bias
                shift, raw = params.reshape(len(x), d, 2).unbind(-1)
                log_slope = 7 * torch.tanh(raw / 7)
                return x * log_slope.exp() + shift, log_slope.sum(-1)

            def inverse(self, z):
                kept, columns = [[] for _ in self.blocks], []
                for t in range(tokens):
                    h = self.start.expand(len(z), -1)
                    if t:
                        h = read(columns[-1]) @ self.embedding[t - 1] + self.position[t - 1]
                    h = h[:, None]
                    for block, past in zip(self.blocks, kept, strict=True):
                        h = block(h, past)
                    params = self.norm(h[:, 0]) @ self.weight[t] + self.bias[t]
                    shift, raw = params.reshape(len(z), group, 2).unbind(-1)
                    here = z[:, t * group : (t + 1) * group]
                    columns.append((here - shift) * torch.exp(-7 * torch.tanh(raw / 7)))
                return torch.cat(columns, 1)

        flow = nn.ModuleList(Layer() for _ in range(transforms))

        def log_prob(x):
            total = 0
            for layer in flow:
                x, log_det = layer(x)
                x, total = x.flip(1), total + log_det
            return total - x.square().sum(1) / 2 - d / 2 * math.log(2 * math.pi)

        def sample():
            z = torch.randn(batch, d)
            for layer in reversed(flow):
                z = layer.inverse(z.flip(1))
            return z

        return self.calls(model, flow, d, batch, lambda: SimpleNamespace(log_prob=log_prob), sample)


class Jax:
    """What FlowJAX and diffrax have in common."""

    def __init__(self, threads):
        # XLA has no option for its number of threads: it takes as many as the process may use cores.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        import jax

        self.key = jax.random.key(0)

    def calls(self, model, flow, d, batch, log_prob, sample):
        """`log_prob(flow, x)` and `sample(flow, key)` are of a whole batch."""
        import equinox as eqx
        import jax
        import optax
        import paramax

        x, learns = jax.random.normal(self.key, (batch, d)), model in LEARNING
        if learns:
            x = lesson(jax.random.rademacher(jax.random.key(1), (batch, 1)), x)
        parameters, static = eqx.partition(
            flow, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable)
        )
        optimizer = optax.adam(LESSON["rate"] if learns else 1e-3)
        state = {"parameters": parameters, "optimizer": optimizer.init(parameters), "key": self.key}

        def loss(parameters, x):
            return -log_prob(paramax.unwrap(eqx.combine(parameters, static)), x).mean()

        @eqx.filter_jit
        def step(parameters, optimizer_state, x):
            value, gradient = eqx.filter_value_and_grad(loss)(parameters, x)
            updates, optimizer_state = optimizer.update(gradient, optimizer_state, parameters)
            return eqx.apply_updates(parameters, updates), optimizer_state, value

        def train():
            state["parameters"], state["optimizer"], value = step(state["parameters"], state["optimizer"], x)
            value.block_until_ready()

        for _ in range(LESSON["steps"] if learns else 0):
            train()
        flow = eqx.combine(state["parameters"], static)
        score, draw = eqx.filter_jit(log_prob), eqx.filter_jit(sample)

        def samples():
            state["key"], key = jax.random.split(state["key"])
            draw(flow, key).block_until_ready()

        return {"train": train, "log_prob": lambda: score(flow, x).block_until_ready(), "sample": samples}

    def product(self, size):
        import jax

        a = jax.random.normal(self.key, (size, size))
        product = jax.jit(lambda a, b: a @ b)
        return lambda: product(a, a).block_until_ready()


class FlowJax(Jax):
    def build(self, model, d, hidden, layers, transforms, bins, batch):
        expect(model, ("maf", "nsf"))
        import jax.numpy as jnp
        from flowjax.bijections import RationalQuadraticSpline
        from flowjax.distributions import Normal
        from flowjax.flows import masked_autoregressive_flow

        # Inner knots are counted: one less than bins.
        transformer = RationalQuadraticSpline(knots=bins - 1, interval=5) if model == "nsf" else None
        options = {"transformer": transformer, "flow_layers": transforms, "nn_width": hidden, "nn_depth": layers}
        flow = masked_autoregressive_flow(self.key, base_dist=Normal(jnp.zeros(d)), **options)
        draw = lambda flow, key: flow.sample(key, (batch,))
        return self.calls(model, flow, d, batch, lambda flow, x: flow.log_prob(x), draw)


class Diffrax(Jax):
    """A continuous flow as diffrax's documentation builds one: a solution for each row, with steps of its own."""

    def build(self, model, d, hidden, layers, transforms, bins, batch):
        expect(model, ("ffjord",))
        import diffrax
        import equinox as eqx
        import jax
        import jax.numpy as jnp

        field = eqx.nn.MLP(d + 1, d, hidden, layers, activation=jnp.tanh, key=self.key)

        def velocity(t, x, field):
            return field(jnp.append(x, t))

        def with_divergence(t, state, field):
            x, _ = state
            value, by_x = jax.linearize(lambda x: velocity(t, x, field), x)
            return value, jnp.trace(jax.vmap(by_x)(jnp.eye(d)))

        def solve(term, start, field, ends):
            sign = 1.0 if ends[1] > ends[0] else -1.0
            control = diffrax.PIDController(rtol=1e-5, atol=1e-5)
            solver, term = diffrax.Dopri5(), diffrax.ODETerm(term)
            found = diffrax.diffeqsolve(term, solver, *ends, 0.05 * sign, start, field, stepsize_controller=control)
            return jax.tree.map(lambda v: v[-1], found.ys)

        def log_prob(field, x):
            z, log_det = solve(with_divergence, (x, jnp.zeros(())), field, (0.0, 1.0))
            return jax.scipy.stats.norm.logpdf(z).sum() + log_det

        def sample(field, key):
            z = jax.random.normal(key, (batch, d))
            return jax.vmap(lambda z: solve(velocity, z, field, (1.0, 0.0)))(z)

        return self.calls(model, field, d, batch, lambda field, x: jax.vmap(lambda x: log_prob(field, x))(x), sample)


def repeat(call, seconds):
    """Milliseconds of each call, for `seconds` and at least once."""
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def serve(library):
    name, ready, warm = None, {}, set()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            op, seconds = request.pop("op"), request.pop("seconds")
            library.image = request.pop("image", None)
            if op == "product":
                call = library.product(request["size"])
                call()
                answer = {"gflops": [2e-6 * request["size"] ** 3 / ms for ms in repeat(call, seconds)]}
            else:
                if request != name:
                    name, ready, warm = request, library.build(**request), set()
                if op not in warm:
                    ready[op]()
                    warm.add(op)
                answer = {"ms": repeat(ready[op], seconds)}
                if op == "log_prob":
                    answer["nats"] = float(ready[op]().mean())
        except Exception as fault:  # the other side must always get an answer
            answer = {"error": f"{type(fault).__name__}: {fault}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    libraries = {
        "zuko": Zuko,
        "flowjax": FlowJax,
        "diffrax": Diffrax,
        "nflows": NFlows,
        "normflows": NormFlows,
        "umnn": Umnn,
        "pytorch": PyTorch,
    }
    serve(libraries[sys.argv[1]](int(sys.argv[2])))
