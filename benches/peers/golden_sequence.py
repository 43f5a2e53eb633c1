"""Numbers for diffeo's conditioners that read columns in sequence, by PyTorch's transformer blocks and gated recurrent unit."""

import torch
from torch.nn.functional import gelu

LOG_SCALE_MAX = 7.0
PER_COLUMN = 2


def read(x):
    """What a column or a number of a context is read as."""
    return 3 * torch.asinh(x / 3)


class Sequence:
    """`z = x exp(s) + t`, `s = 7 tanh(raw / 7)`, where `t` and `raw` of a column follow from the context and the tokens before its own."""

    def __init__(self, dims, context, group, start, token, end, size=0.5):
        self.dims, self.group, self.size = dims, group, size
        self.levels = -(-dims // group)
        self.read = (self.levels - 1) * group
        self.parameters = {}
        self.start = self.add("start", 1, start)
        self.context = self.add("context", context, start) if context else None
        self.embedding = self.add("embedding", self.read, token)
        self.position = self.add("position", self.levels - 1, token)
        self.end = end

    def add(self, name, rows, columns):
        self.parameters[name] = self.size * torch.randn(rows, columns)
        return self.parameters[name]

    def add_heads(self, conditioner, numbers):
        self.head = self.add("head.weight", self.end, self.dims * PER_COLUMN), self.add("head.bias", 1, self.dims * PER_COLUMN)
        named = {name: numbers(value) for name, value in self.parameters.items()}
        settings = {
            "conditioner": {**conditioner, "group": self.group},
            "monotone": {"type": "affine", "log_scale_max": LOG_SCALE_MAX},
        }
        self.spec = {"type": "conditional", **settings, "parameters": named}

    def first(self, context, rows):
        return self.start.expand(rows, -1) + (0 if context is None else read(context) @ self.context)

    def stage(self, x, context):
        ends = self.states(x, context).repeat_interleave(self.group, 1)[:, : self.dims]
        weight, bias = (part.reshape(-1, self.dims, PER_COLUMN) for part in self.head)
        shift, raw = (torch.einsum("nte,etk->ntk", ends, weight) + bias).unbind(-1)
        log_slope = LOG_SCALE_MAX * torch.tanh(raw / LOG_SCALE_MAX)
        z, log_det = x * log_slope.exp() + shift, log_slope.sum(-1)
        return z, log_det, {"z": z.tolist(), "log_det": log_det.tolist()}


class Transformer(Sequence):
    def __init__(self, dims, context, group, numbers, width=8, heads=2, inner=10, blocks=2):
        super().__init__(dims, context, group, width, width, width)
        self.blocks = []
        for i in range(blocks):
            options = {
                "dropout": 0.0,
                "activation": lambda v: gelu(v, approximate="tanh"),
                "norm_first": True,
                "batch_first": True,
            }
            block = torch.nn.TransformerEncoderLayer(width, heads, inner, **options)
            attention = block.self_attn
            matrices = attention.in_proj_weight, attention.out_proj.weight, block.linear1.weight, block.linear2.weight
            biases = attention.in_proj_bias, attention.out_proj.bias, block.linear1.bias, block.linear2.bias
            shapes = (width, 3 * width), (width, width), (width, inner), (inner, width)
            for name, matrix, bias, shape in zip(("attention", "out", "up", "down"), matrices, biases, shapes, strict=True):
                matrix.data = self.add(f"block.{i}.{name}.weight", *shape).T.contiguous()
                bias.data = self.add(f"block.{i}.{name}.bias", 1, shape[1])[0].clone()
            self.blocks.append(block)
        self.norm = torch.nn.LayerNorm(width, elementwise_affine=False)
        self.add_heads({"type": "transformer", "width": width, "heads": heads, "inner": inner, "blocks": blocks}, numbers)

    def states(self, x, context):
        columns = read(x[:, : self.read])[..., None] * self.embedding
        tokens = columns.unflatten(1, (self.levels - 1, self.group)).sum(2) + self.position
        h = torch.cat([self.first(context, len(x))[:, None], tokens], 1)
        mask = torch.nn.Transformer.generate_square_subsequent_mask(self.levels)
        for block in self.blocks:
            h = block(h, src_mask=mask, is_causal=True)
        return self.norm(h)


class Recurrent(Sequence):
    """The unit's input is what each column of the token is read as, in its own place, and a one in the place of the level."""

    def __init__(self, dims, context, group, numbers, width=9):
        super().__init__(dims, context, group, width, 3 * width, width)
        weight, bias = self.add("step.weight", width, 3 * width), self.add("step.bias", 1, 3 * width)
        self.unit = torch.nn.GRU(self.read + self.levels - 1, width, batch_first=True)
        self.unit.weight_ih_l0.data = turned(torch.cat([self.embedding, self.position])).T.contiguous()
        self.unit.weight_hh_l0.data = turned(weight).T.contiguous()
        self.unit.bias_ih_l0.data = torch.zeros(3 * width)
        self.unit.bias_hh_l0.data = turned(bias)[0].clone()
        self.add_heads({"type": "recurrent", "width": width}, numbers)

    def states(self, x, context):
        places = torch.zeros(len(x), self.levels - 1, self.read + self.levels - 1)
        for level in range(self.levels - 1):
            columns = slice(level * self.group, (level + 1) * self.group)
            places[:, level, columns] = read(x[:, columns])
            places[:, level, self.read + level] = 1
        start = torch.tanh(self.first(context, len(x)))
        return torch.cat([start[:, None], self.unit(places, start[None].contiguous())[0]], 1)


def turned(gates):
    """diffeo has the update gate first, PyTorch the reset gate."""
    update, reset, candidate = gates.chunk(3, -1)
    return torch.cat([reset, update, candidate], -1)


def layers(kind, context, numbers):
    make = {"transformer": Transformer, "recurrent": Recurrent}[kind]
    return [make(5, context, group, numbers) for group in (1, 2)]
