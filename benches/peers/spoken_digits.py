"""How near the sound of a teacher and its student is to held-out recordings, and whether their digits are understood.

    names="--name-labels digit,speaker"
    diffeo audio fit clips/ $names --max-time 35m --seed 1 --out teacher.safetensors
    diffeo audio distill teacher.safetensors clips/ $names --max-time 30m --seed 1 --out student.safetensors
    python3 benches/peers/spoken_digits.py --diffeo target/release/diffeo --clips clips/ \\
        --models teacher.safetensors student.safetensors

Clips are named as those of the free-spoken-digit-dataset: 7_theo_0.wav. Each held-out clip is drawn anew by each model from its
own mel bands and labels. Distances are means over clips:

* log-spectral: root mean square over frequencies of the difference of log-powers in decibels, of frames of 256 samples that are
  at most 60 dB below the loudest of the recording;
* STFT: over windows of 128, 256 and 512, ||X| - |Y|| / ||Y|| of magnitudes plus the mean of |ln X - ln Y|;
* energy: power of the draws over that of the recordings, both summed;
* silence: power of the draws' frames where the recording is 40 dB or more below its loudest, in decibels of those where it is at
  most 20 dB below.

The classifier is a small convolutional network on log-spectra, trained on the recordings that were not held out. `noise` is what
a student draws before it has learned: white noise through the filters that follow from the mel bands; it is what good draws must
be well below.
"""

import argparse
import csv
import io
import json
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np
import torch
from torch import nn


def read(path):
    with wave.open(str(path)) as sound:
        assert sound.getsampwidth() == 2 and sound.getnchannels() == 1, path
        return np.frombuffer(sound.readframes(sound.getnframes()), dtype=np.int16) / 32768


def power(x, window, hop):
    padded = np.concatenate([np.zeros(window // 2), x, np.zeros(window)])
    count = -(-len(x) // hop)
    frames = np.stack([padded[i * hop : i * hop + window] for i in range(count)])
    return np.abs(np.fft.rfft(frames * np.hanning(window + 1)[:-1])) ** 2


def distances(x, y):
    """Of a draw from a recording."""
    px, py = power(x, 256, 64), power(y, 256, 64)
    loud = 10 * np.log10(py.sum(1) + 1e-12)
    heard = loud > loud.max() - 60
    floor = 1e-8 * py.mean()
    apart = 10 * np.log10((px[heard] + floor) / (py[heard] + floor))
    spectral = np.sqrt((apart**2).mean(1)).mean()
    stft = 0.0
    for window in (128, 256, 512):
        a, b = (np.sqrt(power(v, window, window // 4)) for v in (x, y))
        floor = 1e-4 * b.mean()
        logs = np.abs(np.log(a + floor) - np.log(b + floor)).mean()
        stft += (np.linalg.norm(a - b) / np.linalg.norm(b) + logs) / 3
    quiet, speech = loud < loud.max() - 40, loud > loud.max() - 20
    return spectral, stft, (px[quiet].sum(1), px[speech].sum(1))


def features(x):
    """A second of log-spectra, whatever the level."""
    x = x / (np.sqrt((x**2).mean()) + 1e-9)
    logs = np.log(power(x, 256, 80)[:100, :128] + 1e-2)
    out = np.full((100, 64), np.log(1e-2))
    out[: len(logs)] = logs.reshape(len(logs), 64, 2).mean(2)
    return out


def classifier(clips, digits, seed=0):
    torch.manual_seed(seed)
    network = nn.Sequential(
        *(nn.Conv2d(1, 16, 5, 2), nn.ReLU(), nn.Conv2d(16, 32, 5, 2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d((6, 4)), nn.Flatten(), nn.Dropout(0.3), nn.Linear(768, 10)),
    )
    x = torch.tensor(np.stack([features(c) for c in clips]), dtype=torch.float32)[:, None]
    y, mean, scale = torch.tensor(digits), x.mean(), x.std()
    steps = 25 * len(x) // 32
    adam = torch.optim.AdamW(network.parameters(), 2e-3)
    rate = torch.optim.lr_scheduler.OneCycleLR(adam, 2e-3, steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (32,))
        loss = nn.functional.cross_entropy(network((x[rows] - mean) / scale), y[rows])
        adam.zero_grad()
        loss.backward()
        adam.step()
        rate.step()
    network.eval()

    def accuracy(clips, digits):
        x = torch.tensor(np.stack([features(c) for c in clips]), dtype=torch.float32)[:, None]
        with torch.no_grad():
            found = network((x - mean) / scale).argmax(1)
        return (found == torch.tensor(digits)).double().mean().item()

    return accuracy


def digit(names):
    return [int(name.split("_")[0]) for name in names]


def measured(drawn, real, accuracy, digits):
    found = [distances(x, y) for x, y in zip(drawn, real, strict=True)]
    quiet, speech = (np.concatenate([f[2][i] for f in found]) for i in (0, 1))
    return {
        "log_spectral_decibels": float(np.mean([f[0] for f in found])),
        "stft": float(np.mean([f[1] for f in found])),
        "energy": float(sum((x**2).sum() for x in drawn) / sum((y**2).sum() for y in real)),
        "silence_decibels": float(10 * np.log10(quiet.mean() / speech.mean())),
        "recognised": accuracy(drawn, digits),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--diffeo", required=True)
    parser.add_argument("--clips", required=True, type=Path)
    parser.add_argument("--models", required=True, nargs="+")
    args = parser.parse_args()

    def run(*line):
        done = subprocess.run([args.diffeo, "audio", *map(str, line)], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        return done.stdout

    names = ("--name-labels", "digit,speaker")
    rows = run("score", args.models[0], args.clips, *names, "--held-out")
    held = sorted(Path(row["file"]).name for row in csv.DictReader(io.StringIO(rows)))
    others = sorted(p.name for p in args.clips.glob("*.wav") if p.name not in set(held))
    real = [read(args.clips / name) for name in held]
    accuracy = classifier([read(args.clips / name) for name in others], digit(others))
    report = {"clips": len(held), "real": {"recognised": accuracy(real, digit(held))}}
    with tempfile.TemporaryDirectory() as folder:
        noise = Path(folder) / "noise.safetensors"
        line = ("--steps", 1, "--lr", 1e-12, "--seed", 1, "--out", noise, "--width", 2, "--layers", 1)
        run("distill", args.models[0], args.clips, *names, *line, "--flows", 1)
        for model in [*args.models, noise]:
            drawn = []
            for name in held:
                out = Path(folder) / "drawn.wav"
                which, who, *_ = name.split("_")
                labels = ("--label", f"digit={which}", "--label", f"speaker={who}")
                line = ("--like", args.clips / name, *labels, "--seed", 1, "--force", "--out", out)
                run("sample", model, *line)
                drawn.append(read(out))
            report[Path(model).stem] = measured(drawn, real, accuracy, digit(held))
            print(Path(model).stem, json.dumps(report[Path(model).stem]), flush=True)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
