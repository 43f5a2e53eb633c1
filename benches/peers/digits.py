"""How far drawn digits are from real ones, by classifiers of this script's own.

    python3 benches/peers/digits.py [--classes] FOLDER_OF_MNIST samples.npy [more.npy ...]

FOLDER_OF_MNIST holds the four gzipped IDX files. Each array is `(n, 28, 28)` bytes, as
`diffeo sample model.safetensors -n 2000 --out samples.npy` writes it.

* Frechet distance: |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of the 64 features before the last layer of a small
  convolutional network that tells digits (trained here on 20,000 real ones), between samples and as many test images.
  After Heusel et al. *GANs trained by a two time-scale update rule*. NeurIPS 2017, arXiv:1706.08500, with other features.
* Two-sample test: a network of the same kind tells half of the samples from as many real images; its accuracy on the
  other halves, 50% if nothing can be told. After Lopez-Paz, Oquab. *Revisiting classifier two-sample tests*. ICLR 2017,
  arXiv:1610.06545.

With `--classes` image `i` of each array was asked to be the digit `i mod 10` (`sample --context` of a table that counts so), and the share that the network tells as what was asked for is printed, too.

The first line measures training images the same way: what perfect samples would get.
"""

import gzip
import sys
from pathlib import Path

from environment import enter

enter()

import numpy as np
import torch
from torch import nn


def idx(path):
    """The array of an IDX file of bytes."""
    data = gzip.open(path).read()
    axes = data[3]
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(axes)]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


class Network(nn.Module):
    """Two convolutions, 64 features, and what they tell."""

    def __init__(self, classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 49, 64),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, classes)

    def forward(self, x):
        return self.head(self.features(x))


def tensor(images):
    return torch.from_numpy(images.astype(np.float32) / 255.0)[:, None]


def trained(images, labels, classes, epochs):
    """A network that has learned to tell these labels."""
    torch.manual_seed(0)
    network, x, y = Network(classes), tensor(images), torch.from_numpy(labels.astype(np.int64))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(epochs):
        for at in torch.randperm(len(x)).split(128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[at]), y[at]).backward()
            optimizer.step()
    return network.eval()


@torch.no_grad()
def told(network, images):
    return torch.cat([network(part) for part in tensor(images).split(500)]).argmax(1).numpy()


@torch.no_grad()
def moments(network, images):
    found = torch.cat([network.features(part) for part in tensor(images).split(500)]).double().numpy()
    return found.mean(0), np.cov(found, rowvar=False)


def frechet(a, b):
    """The distance of two normal densities by mean and covariance."""
    (m1, s1), (m2, s2) = a, b
    values = np.linalg.eigvals(s1 @ s2)
    root = np.sqrt(np.clip(values.real, 0.0, None)).sum()
    return float(((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2.0 * root)


def two_samples(images, real):
    """How often a network tells whether an image of the halves it has not seen is real."""
    half = len(images) // 2
    both = np.concatenate([images[:half], real[:half]])
    labels = np.repeat([0, 1], half)
    network = trained(both, labels, 2, 5)
    right = [(told(network, images[half:]) == 0).mean(), (told(network, real[half : len(images)]) == 1).mean()]
    return float(np.mean(right))


def main():
    given = [text for text in sys.argv[1:] if text != "--classes"]
    folder, of_classes = Path(given[0]), len(given) < len(sys.argv) - 1
    real, labels = idx(folder / "train-images-idx3-ubyte.gz"), idx(folder / "train-labels-idx1-ubyte.gz")
    test, test_labels = idx(folder / "t10k-images-idx3-ubyte.gz"), idx(folder / "t10k-labels-idx1-ubyte.gz")
    # The first half of the test images is another collection than the second.
    order = np.random.default_rng(0).permutation(len(test))
    test, test_labels = test[order], test_labels[order]
    order = np.random.default_rng(1).permutation(len(real))
    real, labels = real[order], labels[order]
    judge = trained(real[:20_000], labels[:20_000], 10, 3)
    print(f"the judge tells {(told(judge, test) == test_labels).mean():.2%} of the test images right")
    arrays = [("training images", real[-2000:])]
    for path in given[1:]:
        found = np.load(path)
        arrays.append((path, found.reshape(len(found), 28, 28)))
    for name, images in arrays:
        distance = frechet(moments(judge, images), moments(judge, test[: len(images)]))
        line = f"{name}: Frechet distance {distance:.2f}, told from test images {two_samples(images, test):.1%}"
        if of_classes and name.endswith(".npy"):
            line += f", what was asked for {(told(judge, images) == np.arange(len(images)) % 10).mean():.1%}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
