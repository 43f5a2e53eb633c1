#!/usr/bin/env python3
"""The benchmark of image patches, drawn anew from the public images.

    python3 benches/peers/patches.py IMAGES OUT

IMAGES is the folder `images` of the Berkeley Segmentation Dataset (BSDS300), with `train` (200 images) and `test` (100). Writes `train.npy` (1,000,000 rows, from 180 of the
training images), `valid.npy` (50,000, from the other 20) and `test.npy` (250,000) to OUT: patches of 8 x 8 grey pixels with uniform noise of one level, in 1/256, less their
mean, without their last pixel, which the mean tells (Zoran and Weiss 2011; Papamakarios, Pavlakou, Murray 2017, appendix D.2). Rows are other draws than
the published table's: a Gaussian with full covariance scores 96.3 nats on them, 96.7 on the published ones.
"""

import environment

environment.enter()

import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 8
VALIDATION = 20
SPLITS = {"train": (1_000_000, 1), "valid": (50_000, 2), "test": (250_000, 3)}


def images(folder, split):
    paths = sorted(p for p in (folder / ("test" if split == "test" else "train")).iterdir() if p.suffix in {".jpg", ".png"})
    if len(paths) <= VALIDATION:
        sys.exit(f"{folder}: expected the images of BSDS300 in train/ and test/, found {len(paths)} for {split}")
    parts = {"train": paths[:-VALIDATION], "valid": paths[-VALIDATION:], "test": paths}
    return [np.asarray(Image.open(path).convert("L")) for path in parts[split]]


def patches(of, rows, seed):
    rng = np.random.default_rng(seed)
    which, top, left = rng.integers(0, len(of), rows), rng.random(rows), rng.random(rows)
    pixels = np.empty((rows, SIDE * SIDE), np.float32)
    for i, image in enumerate(of):
        here = np.flatnonzero(which == i)
        height, width = (extent - SIDE + 1 for extent in image.shape)
        windows = np.lib.stride_tricks.sliding_window_view(image, (SIDE, SIDE))
        y, x = (top[here] * height).astype(int), (left[here] * width).astype(int)
        pixels[here] = windows[y, x].reshape(len(here), -1)
    pixels = (pixels + rng.random(pixels.shape, dtype=np.float32)) / 256
    return (pixels - pixels.mean(1, keepdims=True))[:, :-1]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    for split, (rows, seed) in SPLITS.items():
        np.save(out / f"{split}.npy", patches(images(folder, split), rows, seed))
        print(f"{out / split}.npy: {rows:,} rows")


if __name__ == "__main__":
    main()
