"""Waveforms: densities of recordings, and fast samplers distilled from them.

clips = diffeo.audio.read("clips/", name_labels=("digit", "speaker"))
teacher = diffeo.audio.fit(clips, max_time=1800, seed=1)
student = diffeo.audio.distill(teacher, clips, max_time=3600, seed=1)
student.sample(4, like=clips[0])                       # a list of Clip
teacher.log_prob(clips)                                # an array of nats for each clip

A clip is a `Clip`, the path of a WAV file, or an array of one dimension, whose rate is then given: floats between -1 and 1, or whole numbers of 8, 16 or 32 bits.
"""

import math
import numbers
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import _fit, _native, _progress
from ._errors import ConfigError, DataError, NotFoundError

__all__ = ["AudioModel", "Clip", "distill", "fit", "load", "read"]


# Beyond this, samples are of other units.
_LOUD = 8.0


@dataclass(frozen=True, eq=False)
class Clip:
    """A recording: one channel of samples between -1 and 1, samples a second, the distance of the levels that samples were rounded to (0 if they were not), labels and a name."""

    samples: np.ndarray
    rate: int
    step: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    name: str = "clip"

    def __len__(self):
        return len(self.samples)

    def save(self, path):
        """Write a WAV file of 16 bits; what is louder than it can hold is cut."""
        import wave

        path = Path(path)
        if path.suffix.lower() != ".wav":
            raise ConfigError(f"expected a name that ends in .wav, found {path}")
        if not path.parent.is_dir():
            raise NotFoundError(f"{path}: the folder is not there")
        samples = _samples(self.name, self.samples)
        levels = np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2")
        with wave.open(os.fspath(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.rate)
            file.writeframes(levels.tobytes())

    def _repr_html_(self):
        """Notebooks play it."""
        import base64
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip.wav"
            self.save(path)
            data = base64.b64encode(path.read_bytes()).decode()
        return f'<audio controls src="data:audio/wav;base64,{data}"></audio>'


def read(paths, *, name_labels=()):
    """Read WAV files and folders of them.

    ``name_labels`` are the names of what stands between underscores in the names of files: ("digit", "speaker") for ``7_theo_0.wav``; "-" skips a part.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    names = [name_labels] if isinstance(name_labels, str) else list(name_labels)
    found = _native.read_clips([os.fspath(path) for path in paths], names)
    return [Clip(samples, rate, step, labels, name) for name, samples, rate, step, labels in found]


def fit(
    clips,
    *,
    model="wavenet",
    rate=None,
    labels=None,
    output="gaussian",
    mel=40,
    prediction=32,
    pitch=True,
    width=None,
    layers=None,
    cycle=None,
    window=32,
    flows=4,
    lines=None,
    steps=4000,
    batch=64,
    stretch=0.16,
    lr=2e-3,
    average=0.99,
    valid=0.1,
    validate_every=None,
    max_time=None,
    seed=None,
    progress=None,
) -> "AudioModel":
    """Fit a density to recordings. The parameters are the options of ``diffeo audio fit``, by the same names.

    Parameters
    ----------
    clips
        A list of clips; see the module.
    model
        "wavenet", or "waveflow", a flow that is drawn from in few steps.
    rate
        Samples a second: of arrays that say nothing, and of the model; other clips are resampled.
    labels
        A mapping of names to a value for each clip, beside the labels that clips have themselves.
    output
        Of a WaveNet: "gaussian", which distillation needs, or "logistics:10".
    mel, prediction, pitch
        Bands of the spectrum that the model is told each hundredth of a second, 0 for none; coefficients of the linear prediction that follows from them; and whether it is told of the period of the voice, too.
    width, layers, cycle, window, flows, lines
        Sizes: 32, 16, 8 and 32 of a WaveNet; 16, 6 and 4, with 4 flows over 16 lines, of a WaveFlow.
    steps, batch, stretch, lr, average, valid, validate_every, max_time, seed, progress
        How to train: stretches of so many seconds in a batch; as in `diffeo.fit`.
    """
    is_flow = model == "waveflow"
    width, layers, cycle = (
        usual if given is None else given
        for given, usual in zip((width, layers, cycle), (16, 6, 4) if is_flow else (32, 16, 8), strict=True)
    )
    settings = dict(locals())
    return _run(_native.fit_audio, (), clips, settings)


def distill(
    teacher,
    clips,
    *,
    labels=None,
    start=None,
    width=16,
    layers=8,
    cycle=8,
    window=32,
    flows=4,
    spread=4.0,
    spectral=1.0,
    steps=4000,
    batch=64,
    stretch=0.16,
    lr=1e-3,
    average=0.99,
    valid=0.1,
    validate_every=None,
    max_time=None,
    seed=None,
    progress=None,
) -> "AudioModel":
    """Distil a student, which draws all samples of a waveform at once, from a WaveNet with a Gaussian output.

    ``spread`` and ``spectral`` weigh the squared difference of log-scales and the distance of spectra from those of the clips. ``start`` is a student to begin with, of whose sizes the new one is;
    the other parameters are those of `fit` and the options of ``diffeo audio distill``.
    """
    settings = dict(locals())
    del settings["teacher"], settings["start"]
    for name, model in (("teacher", teacher), ("start", start)):
        if not isinstance(model, AudioModel) and (model is not None or name == "teacher"):
            raise ConfigError(
                f"{name}: expected a model of diffeo.audio, found {type(model).__name__}; diffeo.audio.load reads one"
            )
    settings["rate"] = teacher.rate
    first = (teacher._native, None if start is None else start._native)
    return _run(_native.distill_audio, first, clips, settings)


# What the native part reads of either.
_USUAL = dict(model="wavenet", output="gaussian", mel=0, prediction=0, pitch=False, lines=None, spread=4.0, spectral=1.0)


def _run(function, first, clips, settings):
    progress, labels = settings.pop("progress"), settings.pop("labels")
    for name in ("clips", "is_flow"):
        settings.pop(name, None)
    _check(settings)
    report = progress if callable(progress) else _progress.Line() if _progress.wanted(progress) else None
    rows = _rows(clips, settings["rate"], labels)
    settings = {**_USUAL, **settings}
    try:
        found, reason = function(*first, rows, settings, report=report)
    except TypeError as error:
        raise _fit.named(error, settings) from error
    if reason == "interrupted":
        _fit.warn("interrupted: the best weights so far were kept")
    return AudioModel(found)


_COUNTS = ("width", "layers", "cycle", "window", "flows", "steps", "batch", "validate_every", "lines", "rate")


def _check(settings):
    """Refuses what is out of range, by its name."""
    for name in _COUNTS:
        value = settings.get(name)
        if value is not None and not (isinstance(value, numbers.Integral) and 0 < value < 2**31):
            raise ConfigError(f"{name}: expected a whole number of at least 1, found {value!r}")
    for name in ("lr", "average", "spread", "spectral", "mel", "prediction"):
        value = settings.get(name)
        if value is not None and not (isinstance(value, numbers.Real) and 0 <= value < math.inf):
            raise ConfigError(f"{name}: expected a number of at least 0, found {value!r}")


def load(path) -> "AudioModel":
    """Read a model from its file."""
    return AudioModel(_native.AudioModel.load(os.fspath(path)))


def _of_bytes(data):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(bytes(data))
        return _native.AudioModel.load(path)


class AudioModel:
    """A model of waveforms: densities of clips, and draws."""

    def __init__(self, native):
        self._native = native

    def save(self, path):
        """Write the model to one file, which the command line reads, too."""
        self._native.save(os.fspath(path))

    kind = property(lambda self: self._native.kind, doc='"WaveNet", "WaveFlow" or "Student".')
    rate = property(lambda self: self._native.rate, doc="Samples a second.")
    mel = property(lambda self: self._native.mel, doc="Mel bands that it is told.")
    labels = property(lambda self: self._native.labels, doc="The labels that it is told, with their values.")
    parameters = property(lambda self: self._native.parameters, doc="How many weights there are.")
    summary = property(lambda self: self._native.summary, doc="How it came about: a dictionary.")

    def __repr__(self):
        return repr(self._native)

    def log_prob(self, clips, *, rate=None, labels=None, seed=0):
        """The log-density of each sample of each clip given those before it, in nats, of samples between -1 and 1: a list of arrays.

        Whole numbers get noise within their rounding error, by a seed.
        """
        return self._native.log_prob(_rows(clips, rate, labels), seed)

    def sample(self, n=1, *, like=None, rate=None, labels=None, seconds=None, temperature=1.0, seed=None):
        """Draw clips: a list of `Clip`.

        ``like`` is the clip that mel bands are taken from, its labels too where ``labels``, a mapping of names to values, does not say others; ``seconds`` is
        as long as that clip, or one, if not given.
        """
        if like is None:
            if self.mel:
                raise ConfigError("the model is told mel bands; give a clip that they are taken from, by like")
            like = Clip(np.zeros(self.rate), self.rate)
        rows = _rows([like], rate, None)
        if len(rows) != 1:
            raise ConfigError(f"like: expected one clip, found {len(rows)}")
        [(name, samples, found, step, known)] = rows
        known = {**known, **{key: str(value) for key, value in (labels or {}).items()}}
        if not isinstance(n, numbers.Integral) or n < 0:
            raise ConfigError(f"n: expected a whole number of at least 0, found {n!r}")
        if seconds is not None and not (isinstance(seconds, numbers.Real) and 0 < seconds < 3600):
            raise ConfigError(f"seconds: expected a number above 0 and below 3600, found {seconds!r}")
        count = None if seconds is None else max(round(seconds * self.rate), 1)
        drawn = self._native.sample((name, samples, found, step, known), n, count, temperature, seed)
        return [Clip(samples, self.rate, 0.0, known, f"draw {i}") for i, samples in enumerate(drawn)]


def _rows(clips, rate, labels):
    """Clips as the native part takes them."""
    if isinstance(clips, (str, os.PathLike, Clip)) or (isinstance(clips, np.ndarray) and clips.ndim == 1):
        clips = [clips]
    clips = [clip for one in clips for clip in _clips(one, rate)]
    named = {} if labels is None else {str(name): _values(name, values) for name, values in labels.items()}
    for name, values in named.items():
        if len(values) != len(clips):
            raise DataError(f"labels: expected a value of {name} for each of {len(clips)} clips, found {len(values)}")
    rows = []
    for i, clip in enumerate(clips):
        own = {**{str(k): str(v) for k, v in clip.labels.items()}, **{name: values[i] for name, values in named.items()}}
        samples = _samples(clip.name, clip.samples)
        rows.append((str(clip.name), samples, int(clip.rate), float(clip.step), own))
    return rows


def _values(name, values):
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise DataError(f"labels: expected a value of {name} for each clip, found {values!r}")
    return [str(value) for value in values]


def _samples(name, samples):
    """One channel of finite samples, about between -1 and 1."""
    samples = np.ascontiguousarray(samples, dtype=np.float64)
    if samples.ndim != 1 or not len(samples):
        raise DataError(f"{name}: expected one channel of at least a sample, found shape {samples.shape}")
    if not np.isfinite(samples).all():
        at = int(np.flatnonzero(~np.isfinite(samples))[0])
        raise DataError(f"{name}: sample {at} is {samples[at]}; expected finite ones")
    loudest = np.abs(samples).max()
    if loudest > _LOUD:
        raise DataError(
            f"{name}: expected samples between -1 and 1, found {loudest:.4g}; whole numbers come as arrays of 8, 16 or 32 bits"
        )
    return samples


def _clips(clip, rate):
    if isinstance(clip, Clip):
        return [clip]
    if isinstance(clip, (str, os.PathLike)):
        return read(clip)
    samples = np.asarray(clip)
    if rate is None:
        raise ConfigError("rate: an array does not say how many samples a second it has; give rate, or diffeo.audio.Clip")
    if samples.ndim != 1 or samples.dtype.kind not in "iuf":
        raise DataError(f"expected one channel of samples, found shape {samples.shape} of {samples.dtype}")
    if samples.dtype.kind == "f":
        return [Clip(samples, rate)]
    bits = 8 * samples.dtype.itemsize
    if bits > 32:
        raise DataError(
            f"whole numbers of {bits} bits do not say how loud they are; make them what they were recorded as, such as samples.astype('int16')"
        )
    step = 2.0 ** (1 - bits)
    middle = 2 ** (bits - 1) if samples.dtype.kind == "u" else 0
    return [Clip((samples.astype(np.float64) - middle) * step, rate, step)]
