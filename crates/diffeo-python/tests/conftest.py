"""Rows that many tests use, and the command line."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import diffeo

DATA = Path(__file__).parents[3] / "data"

# Small enough for a fit in a moment.
SMALL = dict(model="maf", steps=60, lr=0.02, hidden=(8,), transforms=1)


def bent(n=400, seed=0):
    """Rows along a parabola."""
    x, noise = np.random.default_rng(seed).normal(size=(2, n))
    return np.column_stack([x, x**2 + 0.3 * noise])


def command(*arguments):
    """The result of a command, as JSON."""
    run = subprocess.run(
        [sys.executable, "-m", "diffeo", *map(str, arguments), "--json"], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """Where tests run in the background the signal is ignored, and Python leaves it so."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def rows():
    return bent()


@pytest.fixture(scope="session")
def model(rows):
    return diffeo.fit(rows, seed=0, **SMALL)
