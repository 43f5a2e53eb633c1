"""The same WaveNet in PyTorch: a training step, and samples drawn one after another with a queue for each layer.

    cargo build --release --workspace --examples
    python3 benches/peers/wavenet.py --diffeo target/release/examples/wavenet_speed

Both run in turn on the same threads; times are medians of seven.
"""

import argparse
import json
import os
import statistics
import subprocess
import time

import torch
from torch import nn

WIDTH, WINDOW, BANDS, HOP = 32, 32, 20, 80
DILATIONS = [2 ** (i % 8) for i in range(16)]


class WaveNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.entry = nn.Conv1d(2, WIDTH, WINDOW)
        self.direct = nn.Conv1d(2, 3, WINDOW, bias=False)
        self.frames = nn.Linear(BANDS, WIDTH)
        self.filters = nn.ModuleList(nn.Conv1d(WIDTH, 2 * WIDTH, 2, dilation=d) for d in DILATIONS)
        self.told = nn.ModuleList(nn.Linear(WIDTH, 2 * WIDTH) for _ in DILATIONS)
        self.outs = nn.ModuleList(nn.Conv1d(WIDTH, 2 * WIDTH, 1) for _ in DILATIONS)
        self.hidden = nn.Conv1d(WIDTH, WIDTH, 1)
        self.head = nn.Conv1d(WIDTH, 3, 1)

    @staticmethod
    def read(x):
        return torch.stack([x, torch.asinh(256 * x) / torch.asinh(torch.tensor(256.0))], 1)

    def forward(self, x, bands):
        seen = nn.functional.pad(self.read(x), (WINDOW, 0))[:, :, :-1]
        told = nn.functional.gelu(self.frames(bands), approximate="tanh")
        h, skip = self.entry(seen), 0
        for filter, to_gates, out, d in zip(self.filters, self.told, self.outs, DILATIONS):
            gates = to_gates(told).transpose(1, 2)
            gates = nn.functional.interpolate(gates, size=x.shape[1], mode="linear")
            u, v = (filter(nn.functional.pad(h, (d, 0))) + gates).chunk(2, 1)
            s, r = out(torch.tanh(u) * torch.sigmoid(v)).chunk(2, 1)
            h, skip = h + r, skip + s
        return self.head(torch.relu(self.hidden(torch.relu(skip)))) + self.direct(seen)

    def start(self, bands):
        told = nn.functional.gelu(self.frames(bands), approximate="tanh")
        self.gates = [to_gates(told) for to_gates in self.told]
        self.queues = [torch.zeros(len(bands), WIDTH, d) for d in DILATIONS]
        self.seen = torch.zeros(len(bands), 2, WINDOW)
        self.entry_weight = self.entry.weight.reshape(WIDTH, -1)
        self.direct_weight = self.direct.weight.reshape(3, -1)
        self.pairs = [(f.weight[:, :, 0], f.weight[:, :, 1]) for f in self.filters]
        self.at = 0

    def next(self, x):
        self.seen = torch.cat([self.seen[:, :, 1:], self.read(x).reshape(-1, 2, 1)], 2)
        flat = self.seen.reshape(len(x), -1)
        h, skip = nn.functional.linear(flat, self.entry_weight, self.entry.bias), 0
        for i, d in enumerate(DILATIONS):
            old = self.queues[i][:, :, self.at % d].clone()
            self.queues[i][:, :, self.at % d] = h
            before, now = self.pairs[i]
            gates = self.gates[i][:, min(self.at // HOP, self.gates[i].shape[1] - 1)]
            both = old @ before.T + nn.functional.linear(h, now, self.filters[i].bias) + gates
            u, v = both.chunk(2, 1)
            out = self.outs[i]
            made = nn.functional.linear(torch.tanh(u) * torch.sigmoid(v), out.weight[:, :, 0], out.bias)
            s, r = made.chunk(2, 1)
            h, skip = h + r, skip + s
        self.at += 1
        hidden = nn.functional.linear(torch.relu(skip), self.hidden.weight[:, :, 0], self.hidden.bias)
        params = nn.functional.linear(torch.relu(hidden), self.head.weight[:, :, 0], self.head.bias)
        p, q, r = (params + flat @ self.direct_weight.T).unbind(1)
        scale = (nn.functional.softplus(q + 9) - 9).exp()
        return p + scale * (r + torch.randn_like(p))


def nll(params, x):
    p, q, r = params.unbind(1)
    log_scale = nn.functional.softplus(q + 9) - 9
    mean = p + log_scale.exp() * r
    return (0.5 * ((x - mean) * (-log_scale).exp()) ** 2 + log_scale).mean()


def timed(work, times=7):
    work()
    found = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def peer():
    torch.manual_seed(0)
    model = WaveNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    x, bands = torch.randn(64, 1280), torch.randn(64, 1280 // HOP, BANDS)

    def step():
        optimizer.zero_grad()
        nll(model(x, bands), x).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()

    found = {"teacher_step_seconds": timed(step)}
    for rows, name in [(1, "teacher_sample_microseconds"), (32, "teacher_sample_of_32_microseconds")]:
        with torch.inference_mode():

            def draw(count=400):
                model.start(torch.randn(rows, 100, BANDS))
                x = torch.zeros(rows)
                for _ in range(count):
                    x = model.next(x)

            found[name] = 1e6 * timed(draw, 3) / (400 * rows)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--diffeo", required=True, help="the example wavenet_speed, built")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    environment = dict(os.environ, RAYON_NUM_THREADS=str(args.threads))
    ours = json.loads(subprocess.run([args.diffeo], env=environment, check=True, capture_output=True).stdout)
    theirs = peer()
    for name, value in ours.items():
        ratio = f"{theirs[name] / value:8.1f} times" if name in theirs else ""
        print(f"{name:36} {value:12.4f} {theirs.get(name, float('nan')):12.4f} {ratio}")


if __name__ == "__main__":
    main()
