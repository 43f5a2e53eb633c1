"""The command `diffeo`, which the package brings along."""

import signal
import sys

from ._native import command


def main():
    # The program has handlers of its own; until it sets them the first Ctrl-C ends it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(command(["diffeo", *sys.argv[1:]]))
