#!/usr/bin/env python3
"""Sets up the throw-away virtual environment that the comparisons with other libraries run in.

    python3 benches/peers/environment.py            # benches/peers/.venv, from PyPI only, about 3 minutes
    python3 benches/peers/environment.py --full     # with PyTorch's CUDA packages (4 GB more)

The scripts of this folder call `enter()` first: it makes the environment when there is none and runs the script
again inside it, so that `python3 benches/peers/quality.py` is all one has to type.

PyTorch's wheel on PyPI is linked against CUDA libraries that come as 4 GB of further packages, of which a program
that stays on the processor calls nothing. Without `--full` those libraries are replaced by one empty library that
exports the symbols the linker asks for; each returns an error code. Only the small CUDA run time is the real one, so that
`torch.cuda.is_available()` is answered properly (with no). This needs `cc` and `nm`.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
REQUIREMENTS = HERE / "requirements.txt"
STAMP = ENVIRONMENT / "complete"
LINKED = r"(?:cublas|cudnn|cufft|cufile|cuFile|cupti|curand|cusolver|cusparse|nccl|nvrtc|nvshmem|nvJitLink|nvtx)\w*"


def enter():
    """Runs the calling script inside the environment, making it first when it is missing or out of date."""
    if Path(sys.prefix).resolve() == ENVIRONMENT.resolve():
        return
    if not is_complete():
        build(full=False)
    os.execv(PYTHON, [str(PYTHON), *sys.argv])


def is_complete():
    return STAMP.exists() and STAMP.read_text() == fingerprint()


def fingerprint():
    return hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()


def build(full):
    print(f"making {ENVIRONMENT}", file=sys.stderr)
    venv.create(ENVIRONMENT, with_pip=True, clear=not ENVIRONMENT.exists())
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "-r", str(REQUIREMENTS)], check=True)
    if full:
        torch = re.search(r"^torch==\S+", REQUIREMENTS.read_text(), re.MULTILINE).group(0)
        subprocess.run([*pip, torch], check=True)
    else:
        replace_cuda_libraries()
    trial = "import torch, zuko, nflows, normflows, flowjax; torch.ones(2, 2) @ torch.ones(2, 2)"
    subprocess.run([str(PYTHON), "-c", trial], check=True)
    STAMP.write_text(fingerprint())


def replace_cuda_libraries():
    """One library that exports every CUDA symbol PyTorch's own libraries want, under each missing library's name."""
    packages = next((ENVIRONMENT / "lib").glob("python3*")) / "site-packages"
    folder = packages / "torch" / "lib"
    own = [path for path in folder.glob("libtorch*.so") if not path.is_symlink()]
    present = {path.name for path in packages.glob("nvidia/*/lib/*")}
    symbols, names = {}, set()
    for library in own:
        listing = subprocess.run(["nm", "-D", "--undefined-only", library], capture_output=True, text=True, check=True).stdout
        symbols |= dict(re.findall(rf"^ *U ({LINKED})(?:@(\S*))?$", listing, re.MULTILINE))
        dynamic = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
        names |= set(re.findall(r"\(NEEDED\).*\[(lib(?:cu|nccl|nv)[^\]]*)\]", dynamic))
    source = folder / "cuda_replacement.c"
    source.write_text("\n".join(f"int {name}(void) {{ return 1; }}" for name in sorted(symbols)) + "\n")
    nodes = {}
    for name, version in symbols.items():
        nodes.setdefault(version or "unversioned", []).append(name)
    script = folder / "cuda_replacement.map"
    script.write_text("".join(f"{node} {{ global: {'; '.join(sorted(members))}; }};\n" for node, members in nodes.items()))
    library = folder / "libcuda_replacement.so"
    options = ["-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,--version-script={script}"]
    subprocess.run(["cc", *options, "-o", library, source], check=True)
    for name in sorted(names - present):
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(library.name)


def versions(packages=("torch", "zuko", "nflows", "normflows", "jax", "flowjax", "umnn", "numpy")):
    """The versions that a table of results must name."""
    from importlib.metadata import version

    return {name: version(name) for name in packages}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="make the virtual environment of the comparisons")
    parser.add_argument("--full", action="store_true", help="install PyTorch's CUDA packages too")
    build(parser.parse_args().full)
    print(PYTHON)
