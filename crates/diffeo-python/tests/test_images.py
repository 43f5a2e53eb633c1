"""Images as arrays: fits, densities, draws and pictures."""

import subprocess
import sys

import numpy as np
import pytest

import diffeo


@pytest.fixture(scope="module")
def blobs():
    """Light spots, narrow or wide, at random places of 8 x 8 pixels, and which of both they are."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:8, :8]
    middle = rng.uniform(2, 6, (2, 300, 1, 1))
    wide = rng.integers(0, 2, 300)
    width = np.where(wide, 6, 2)[:, None, None]
    light = 255 * np.exp(-((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / width)
    return light.astype(np.uint8), wide


@pytest.fixture(scope="module")
def model(blobs):
    return diffeo.fit(blobs[0], model="nsf-image", transforms=2, hidden=(16, 16), steps=20, seed=1, progress=False)


def test_arrays_and_files_are_the_same_images(blobs, model, tmp_path):
    np.save(tmp_path / "blobs.npy", blobs[0])
    settings = ["--model", "nsf-image", "--transforms", "2", "--hidden", "16,16", "--steps", "20", "--seed", "1"]
    out = tmp_path / "m.safetensors"
    command = [sys.executable, "-m", "diffeo", "fit", tmp_path / "blobs.npy", "--out", out, *settings, "-q"]
    subprocess.run(command, check=True)
    of_file = diffeo.load(out)
    assert model.image == of_file.image == (8, 8, 1, 256)
    expected = of_file.log_prob(tmp_path / "blobs.npy")
    for images in (blobs[0], blobs[0][..., None], blobs[0][:, None], {"image": blobs[0]}, blobs[0].reshape(-1, 64)):
        assert np.array_equal(model.log_prob(images), expected)
    assert np.allclose(model.bits_per_dim(blobs[0]), -expected / (64 * np.log(2)))


def test_images_as_they_come(blobs, model):
    images, wide = blobs
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"image": list(images), "label": wide})
    assert np.array_equal(model.log_prob(frame), model.log_prob(images))
    assert model.log_prob(images[:0]).shape == (0,)
    with pytest.raises(diffeo.DataError, match="images of one size"):
        model.log_prob(pandas.DataFrame({"image": [images[0], images[1, :7]]}))
    bits = diffeo.fit(images > 100, model="nsf-image", transforms=1, hidden=(8, 8), steps=2, seed=1, progress=False)
    beside = diffeo.fit({"image": images > 100}, model="nsf-image", transforms=1, hidden=(8, 8), steps=1, seed=1, progress=False)
    assert beside.image == (8, 8, 1, 2)
    assert bits.image == (8, 8, 1, 2) and bits.sample(1, seed=0).images.max() <= 1


def test_draws_are_images_again(model):
    drawn = model.sample(5, seed=2)
    assert drawn.images.shape == (5, 8, 8) and drawn.images.dtype == np.uint8
    assert np.array_equal(drawn.images.reshape(5, 64), drawn.numpy())
    assert np.array_equal(model.log_prob(drawn), model.log_prob(drawn.images))
    assert diffeo.fit(np.random.default_rng(0).normal(size=(50, 2)), steps=1, seed=0).sample(2).images is None


def test_colour_and_labels(blobs):
    images, wide = blobs
    colour = np.stack([images, 255 - images, images // 2], axis=-1)
    table = {"picture": colour, "label": wide.astype(str)}
    settings = dict(model="glow", transforms=2, hidden=(8, 8), steps=3, seed=1, progress=False)
    model = diffeo.fit(table, context=["label"], **settings)
    assert model.context == ["label"] and model.image == (8, 8, 3, 256)
    drawn = model.sample(2, {"label": ["0", "1", "0"]}, seed=1)
    assert drawn.images.shape == (6, 8, 8, 3)
    with pytest.raises(diffeo.ConfigError, match="context_dropout"):
        model.guided(1.0)
    hidden = diffeo.fit(table, context=["label"], context_dropout=0.5, dequantize="learned", **settings)
    asked = {"label": ["0", "1"]}
    assert np.array_equal(hidden.guided(0.0).sample(2, asked, seed=1).images, hidden.sample(2, asked, seed=1).images)
    assert not np.array_equal(hidden.guided(2.0).sample(2, asked, seed=1).images, hidden.sample(2, asked, seed=1).images)
    classes, told = model.classify(table)
    assert sorted(classes) == sorted(set(wide.astype(str))) and told.shape == (len(images), len(classes))
    assert np.allclose(told.sum(axis=1), 1) and np.array_equal(told, model.classify(colour)[1])
    first = dict(table, picture=colour.transpose(0, 3, 1, 2))
    assert np.array_equal(model.log_prob(table), model.log_prob(first))
    noisy = diffeo.fit(colour, noise=0.05, **settings)
    assert set(np.unique(noisy.sample(4, seed=1).images)) <= set(range(256))
    learned = diffeo.fit(colour, dequantize="learned", **settings)
    assert len(learned.spec["transforms"]) == len(diffeo.fit(colour, **settings).spec["transforms"]) + 1


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda model, images: model.log_prob(np.zeros((2, 9, 9), np.uint8)), "expected images of 8 x 8"),
        (lambda model, images: diffeo.fit(images / 255.0), "images are whole numbers from 0 to 255"),
        (lambda model, images: diffeo.fit(images.astype(int) + 300), "images are whole numbers from 0 to 255"),
        (lambda model, images: diffeo.fit(images[:, :0]), "at least a pixel"),
        (lambda model, images: diffeo.fit(images, model="auto", seed=0), "name a model"),
        (lambda model, images: diffeo.fit(images, exclude=["y0x0"], seed=0), "images are modelled whole"),
        (lambda model, images: diffeo.fit(images, valid=images[:9, :7, :7], seed=0), "expected images of 8 x 8"),
        (lambda model, images: diffeo.fit([[1.0, 2.0]] * 20, levels=16), "levels is about images"),
        (lambda model, images: diffeo.fit([[1.0, 2.0]] * 20, noise=0.1), "noise is about images"),
        (lambda model, images: diffeo.fit(images, noise=0.9, steps=1), "at most 0.5"),
        (lambda model, images: diffeo.plot(model, images, kind="pairs"), "models of columns"),
        (lambda model, images: diffeo.plot(model, kind="interpolation"), "goes from one image"),
    ],
)
def test_what_is_no_image_is_said(model, blobs, call, text):
    with pytest.raises(diffeo.DiffeoError, match=text):
        call(model, blobs[0])


def test_pictures(model, blobs, tmp_path):
    for kind in (None, "images", "interpolation", "temperature", "loss"):
        diffeo.plot(model, blobs[0][:20], kind=kind, rows=9).save(tmp_path / f"{kind}.png")
        assert (tmp_path / f"{kind}.png").stat().st_size > 500


def test_clips_go_on(tmp_path):
    rng = np.random.default_rng(0)
    clips = np.zeros((12, 5, 8, 8), np.uint8)
    for clip, (x, y) in zip(clips, rng.integers(0, 6, (12, 2)), strict=True):
        for i, frame in enumerate(clip):
            frame[y : y + 2, (x + i) % 7 : (x + i) % 7 + 2] = 200
    settings = dict(model="nsf-image", transforms=1, hidden=(8, 8), steps=4, seed=1, progress=False)
    model = diffeo.fit(clips, frames=2, **settings)
    log_prob = model.log_prob(clips)
    assert log_prob.shape == (60,) and model.image == (8, 8, 1, 256)
    np.save(tmp_path / "clips.npy", clips)
    assert np.array_equal(model.log_prob(tmp_path / "clips.npy"), log_prob)
    out = tmp_path / "m.safetensors"
    options = ["--frames", "2", "--model", "nsf-image", "--transforms", "1", "--hidden", "8,8", "--steps", "4", "--seed", "1"]
    subprocess.run([sys.executable, "-m", "diffeo", "fit", tmp_path / "clips.npy", "--out", out, *options, "-q"], check=True)
    assert np.array_equal(diffeo.load(out).log_prob(clips), log_prob)
    more = model.continue_clips(3, clips[:2], seed=1)
    assert more.shape == (2, 3, 8, 8) and more.dtype == np.uint8
    assert np.array_equal(more, model.continue_clips(3, clips[:2], seed=1))
    assert model.continue_clips(2, seed=1).shape == (1, 2, 8, 8)
    diffeo.plot(model, clips).save(tmp_path / "clips.png")
    colour = np.repeat(clips[..., None], 3, axis=-1)
    coloured = diffeo.fit(colour, frames=1, valid=colour[:2], **settings)
    assert coloured.continue_clips(1, colour[:1], seed=0).shape == (1, 1, 8, 8, 3)
    for call, text in (
        (lambda: diffeo.fit(clips[0, 0], frames=1), "expected clips of shape"),
        (lambda: diffeo.fit(clips / 255, frames=1), "whole numbers from 0 to 255"),
        (lambda: model.log_prob(clips[:, :, :7]), "expected images of 8 x 8"),
        (lambda: diffeo.fit(rng.normal(size=(30, 2)), steps=1, seed=0).continue_clips(1), "of models of clips"),
    ):
        with pytest.raises(diffeo.DiffeoError, match=text):
            call()
