"""How far a fit is, on one line that is written over: in terminals and notebooks alike."""

import sys
import time


class Line:
    """Writes at most a few times a second."""

    EVERY = 0.2

    def __init__(self, stream=None):
        self._stream = stream or sys.stderr
        self._next = 0.0
        self._width = 0

    def __call__(self, at):
        if at["finished"] == "tried":
            self._write(
                f"tried {at['trying']}: validation loss {at['valid_loss']:.4f} after {at['steps']:,} steps, {at['seconds']:.1f} s"
            )
            self._stream.write("\n")
            self._next = 0.0
            return
        if at["finished"]:
            self._write("")
            self._stream.write("\r")
            self._stream.flush()
            return
        if at["seconds"] < self._next:
            return
        self._next = at["seconds"] + self.EVERY
        valid = "" if at["valid_loss"] != at["valid_loss"] else f"  valid {at['valid_loss']:.4f}"
        left = at["seconds"] / max(at["step"], 1) * (at["steps"] - at["step"])
        rate = "" if at["lr"] != at["lr"] else f"  rate {at['lr']:.1e}"
        trying = f"trying {at['trying']}: " if at.get("trying") else ""
        self._write(f"{trying}step {at['step']:,}/{at['steps']:,}  loss {at['loss']:.4f}{valid}{rate}  left {left:.0f} s")

    def _write(self, text):
        self._stream.write("\r" + text.ljust(self._width))
        self._stream.flush()
        self._width = len(text)


def wanted(progress) -> bool:
    """Whether somebody watches, if nobody said."""
    if progress is not None:
        return bool(progress)
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def reporter(progress, steps, seen=lambda step, loss: (step, loss)):
    """What is called as work goes on: the caller's function, a line for whoever watches, or nothing. `seen` makes step and loss of what a caller's function is given."""
    if callable(progress):
        return progress
    if not wanted(progress):
        return None
    line, started, nan = Line(), time.monotonic(), float("nan")

    def report(*at):
        step, loss = seen(*at)
        seconds = time.monotonic() - started
        line(dict(step=step, steps=steps, loss=loss, valid_loss=nan, lr=nan, seconds=seconds, finished=None))

    return report
