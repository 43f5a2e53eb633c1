"""The command `diffeo`, which the package brings along, with what only the package can do."""

import argparse
import signal
import sys

from ._native import command


def main():
    # The program has handlers of its own; until it sets them the first Ctrl-C ends it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.argv[1:2] == ["convert"]:
        sys.exit(convert(sys.argv[2:]))
    sys.exit(command(["diffeo", *sys.argv[1:]]))


def convert(arguments):
    """`diffeo convert`: the state of a flow of another library in, a model out. Exit codes are those of the program."""
    parser = argparse.ArgumentParser(
        prog="diffeo convert",
        description="Make a model of the state of a flow of zuko or nflows (safetensors; modules are taken by diffeo.import_model).",
    )
    parser.add_argument("state", metavar="STATE", help="a .safetensors file of a state_dict")
    parser.add_argument("--out", required=True, metavar="FILE", help="the model")
    parser.add_argument("--library", choices=("zuko", "nflows"), help="whose it is, if its names do not tell")
    parser.add_argument("--columns", metavar="NAME,..", help="what the columns are called")
    parser.add_argument("--context", metavar="NAME,..", help="what the columns of the context are called")
    parser.add_argument("--precision", choices=("f32", "f64"), default="f64")
    parser.add_argument("--activation", choices=("relu", "tanh", "elu"), help="of the networks (default: relu)")
    parser.add_argument("--bound", type=float, help="of zuko: half-width of the box of splines (default: 5)")
    parser.add_argument("--slope", type=float, help="of zuko: the least slope (default: 0.001)")
    parser.add_argument("--tail-bound", type=float, help="of nflows: half-width of the box of splines")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    given = parser.parse_args(arguments)
    from pathlib import Path

    from ._errors import DataError, DiffeoError, IoError, ModelFileError
    from ._import import import_model

    names = {key: value.split(",") for key in ("columns", "context") if (value := getattr(given, key))}
    said = {key: value for key in ("activation", "bound", "slope", "tail_bound") if (value := getattr(given, key)) is not None}
    try:
        if Path(given.out).exists() and not given.force:
            raise IoError(f"{given.out} is there already; replace it with --force")
        model = import_model(given.state, library=given.library, precision=given.precision, **names, **said)
        model.save(given.out)
    except (DiffeoError, OSError) as error:
        print(f"diffeo: error: {error}", file=sys.stderr)
        codes = {DataError: 3, ModelFileError: 4}
        return next((code for kind, code in codes.items() if isinstance(error, kind)), 5 if isinstance(error, OSError) else 2)
    print(f"model of {len(model.columns)} columns written to {given.out}")
    return 0
