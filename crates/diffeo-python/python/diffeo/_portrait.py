"""Looking at a model as a whole: a self-test, which can fail, and pictures."""

from typing import NamedTuple

from . import _native


class Check(NamedTuple):
    """One thing that was measured; NaN where it was not."""

    name: str
    passed: bool
    value: float
    limit: float
    detail: str


class CheckReport(list):
    """All of them. True if none failed."""

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self)

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        def line(check):
            verdict = "FAIL" if not check.passed else "skip" if check.value != check.value else "pass"
            measured = "-" if verdict == "skip" else f"{check.value:.2e} (limit {check.limit:.2e})"
            return f"{verdict}  {check.name:<28} {measured}  {check.detail}".rstrip()

        return "\n".join(map(line, self))

    __repr__ = __str__


def check(model, data=None, context=None, *, samples=10_000, seed=0, threads=None) -> CheckReport:
    """Test a model, or a fitted estimator: round trips, log-determinants, the integral of the density and, with data that had no part in the fit, its calibration.

    At most `samples` rows are taken of the data, at random.
    """
    found = _native.check(getattr(model, "model_", model), data, context, samples=samples, seed=seed, threads=threads)
    return CheckReport(Check(*row) for row in found)


def plot(model, data=None, context=None, *, kind=None, rows=None, seed=0, threads=None) -> _native.Figure:
    """Draw a model, its samples beside data: a figure that notebooks show, and that has `save`, `svg` and `png`.

    `kind` is "pairs", "marginals", "density" (of two columns, with the grid that the flow warps) or "calibration"; of images "images", "interpolation" (between
    those of the data) or "temperature"; of both "loss"; None for what says most. `rows` are drawn, by default 4,000 or 64 images.
    """
    return _native.plot(getattr(model, "model_", model), data, context, kind=kind, rows=rows, seed=seed, threads=threads)
