"""Waveforms: fits, densities, draws, distillation, files."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

import diffeo
from diffeo import audio

SMALL = dict(batch=8, stretch=0.1, width=8, layers=4, cycle=4, seed=1, progress=False)


@pytest.fixture(scope="module")
def clips():
    """Hums, high or low."""
    rng = np.random.default_rng(0)
    time = np.arange(2400) / 8000

    def hum(i):
        sound = 0.4 * np.sin(2 * np.pi * (200 if i % 2 else 500) * time + rng.uniform(0, 6))
        levels = np.rint(32768 * (sound + 0.02 * rng.normal(size=2400))).astype(np.int16)
        return audio.Clip(levels / 32768, 8000, 2.0**-15, {"pitch": "high" if i % 2 == 0 else "low"}, f"{i}")

    return [hum(i) for i in range(8)]


@pytest.fixture(scope="module")
def teacher(clips):
    return audio.fit(clips, mel=8, prediction=4, steps=10, validate_every=5, **SMALL)


def test_a_fit_is_that_of_the_command_line(clips, teacher, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    for clip in clips:
        clip.save(folder / f"{clip.labels['pitch']}_{clip.name}.wav")
    # In the order of their names, as folders are read.
    ordered = audio.read(folder, name_labels="pitch")
    assert [c.labels for c in ordered] == [{"pitch": "high"}] * 4 + [{"pitch": "low"}] * 4
    assert np.array_equal(ordered[0].samples, clips[0].samples)
    here = audio.fit(ordered, mel=8, prediction=4, steps=4, **SMALL)
    options = ["--mel", "8", "--prediction", "4", "--steps", "4", "--batch", "8", "--stretch", "0.1", "--width", "8"]
    options += ["--layers", "4", "--cycle", "4", "--seed", "1", "--name-labels", "pitch", "-q"]
    out = tmp_path / "there.safetensors"
    subprocess.run([sys.executable, "-m", "diffeo", "audio", "fit", folder, "--out", out, *options], check=True)
    there = audio.load(out)
    assert there.kind == "WaveNet" and there.labels == {"pitch": ["high", "low"]} and there.rate == 8000
    for a, b in zip(here.log_prob(clips), there.log_prob(clips), strict=True):
        assert np.array_equal(a, b)


def test_densities_and_draws(clips, teacher):
    found = teacher.log_prob(clips)
    assert [len(log_prob) for log_prob in found] == [2400] * 8
    levels = [np.rint(32768 * clip.samples).astype(np.int16) for clip in clips]
    pitch = [clip.labels["pitch"] for clip in clips]
    again = teacher.log_prob(levels, rate=8000, labels={"pitch": pitch})
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
    drawn = teacher.sample(3, like=clips[0], labels={"pitch": "low"}, seconds=0.1, seed=3)
    assert [len(clip) for clip in drawn] == [800] * 3 and drawn[0].labels == {"pitch": "low"}
    assert np.array_equal(
        drawn[1].samples, teacher.sample(2, like=clips[0], labels={"pitch": "low"}, seconds=0.1, seed=3)[1].samples
    )
    assert "<audio" in drawn[0]._repr_html_()


def test_a_student_and_a_flow(clips, teacher):
    student = audio.distill(teacher, clips, steps=3, **{**SMALL, "layers": 2, "flows": 2})
    assert student.kind == "Student" and student.summary["valid"]["kl"] > 0
    assert len(student.sample(2, like=clips[1], seed=1)[1]) == 2400
    assert audio.distill(teacher, clips, start=student, steps=3, **SMALL).parameters == student.parameters
    flow = audio.fit(clips, model="waveflow", mel=0, steps=2, lines=8, flows=2, **{**SMALL, "width": 4, "layers": 2})
    assert flow.kind == "WaveFlow" and len(flow.sample(labels={"pitch": "low"}, seconds=0.05, seed=1)[0]) == 400


def test_files_and_pickles(clips, teacher, tmp_path):
    teacher.save(tmp_path / "teacher.safetensors")
    for copy in (audio.load(tmp_path / "teacher.safetensors"), pickle.loads(pickle.dumps(teacher))):
        assert repr(copy) == repr(teacher)
        assert np.array_equal(copy.log_prob(clips[:1])[0], teacher.log_prob(clips[:1])[0])


def test_a_caller_can_watch_and_stop(clips):
    seen = []

    def watch(at):
        seen.append(at["step"])
        raise KeyboardInterrupt

    with pytest.warns(diffeo.DiffeoWarning, match="interrupted"):
        model = audio.fit(clips, mel=0, steps=100_000, **{**SMALL, "progress": watch})
    assert seen and seen[-1] < 100_000 and model.summary["steps"] == seen[-1]
    with pytest.raises(ZeroDivisionError):
        audio.fit(clips, mel=0, steps=100_000, **{**SMALL, "progress": lambda at: 1 / 0})


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda m, clips: m.log_prob(clips[0].samples), "rate: an array does not say"),
        (lambda m, clips: m.log_prob(clips[0].samples, rate=8000), 'label "pitch" is missing'),
        (lambda m, clips: m.log_prob(clips[:2], labels={"pitch": ["low"]}), "a value of pitch for each of 2 clips"),
        (lambda m, clips: m.log_prob(np.zeros((1, 2, 9)), rate=8000), "one channel"),
        (lambda m, clips: m.log_prob([[1, 2, 3]], rate=8000), "whole numbers of 64 bits"),
        (lambda m, clips: m.log_prob(32768 * clips[0].samples, rate=8000), "between -1 and 1"),
        (lambda m, clips: m.sample(like=clips[0], seconds=0), "seconds: expected a number above 0"),
        (lambda m, clips: m.sample(-1, like=clips[0]), "n: expected"),
        (lambda m, clips: audio.fit(clips, steps=0, **SMALL), "steps: expected a whole number of at least 1"),
        (lambda m, clips: audio.fit(clips, steps="3", **SMALL), "steps: expected a whole number"),
        (lambda m, clips: audio.distill("teacher.safetensors", clips), "teacher: expected a model"),
        (lambda m, clips: audio.distill(m, clips, start=m, steps=1), "expected a student of this teacher"),
        (lambda m, clips: audio.fit(clips, steps=1, labels={"who": "abababab"}, **SMALL), "a value of who for each clip"),
        (lambda m, clips: clips[0].save("clip.mp3"), "ends in .wav"),
        (lambda m, clips: m.sample(), "the model is told mel bands"),
        (lambda m, clips: m.sample(like=clips[0], labels={"pitch": "odd"}), 'is "odd", the model knows'),
        (lambda m, clips: m.sample(like=clips[0], labels={"who": "me"}), 'knows no label "who"'),
        (lambda m, clips: audio.fit(clips[:1], steps=1, **SMALL), "two clips at least"),
        (lambda m, clips: audio.fit([np.full(900, np.nan)] * 3, rate=8000, steps=1), "sample 0 is nan"),
        (lambda m, clips: audio.fit(clips, steps=1, model="wave"), "expected wavenet or waveflow"),
        (lambda m, clips: audio.fit(clips, steps=1, valid=1.5), "valid: expected a share"),
        (lambda m, clips: audio.read("nowhere.wav"), "nowhere.wav"),
    ],
)
def test_what_is_wrong_is_said(clips, teacher, call, text):
    with pytest.raises(diffeo.DiffeoError, match=text):
        call(teacher, clips)
