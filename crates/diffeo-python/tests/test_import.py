"""Flows of zuko and nflows: states with the densities that the peers gave them (`benches/peers/imports.py --write`)."""

import json
from pathlib import Path

import numpy as np
import pytest

import diffeo
from diffeo._command import convert

FLOWS = json.loads((Path(__file__).parent / "peers.json").read_text())["flows"]
# Whole numbers are written as such by the peers.
WHOLE = ("order", "_permutation", "degrees", "features")


def state_of(flow):
    state = {}
    for name, tensor in flow["state"].items():
        values = np.array(tensor["values"]).reshape(tensor["shape"])
        state[name] = values.astype(np.int64) if name.endswith(WHOLE) else values
    return state


@pytest.mark.parametrize("name", FLOWS)
def test_densities_are_the_peers(name):
    flow = FLOWS[name]
    model = diffeo.import_model(state_of(flow), **flow["settings"])
    log_prob = model.log_prob(flow["x"], flow["context"])
    assert np.allclose(log_prob, flow["log_prob"], rtol=1e-9, atol=1e-9)
    assert diffeo.check(model, samples=300) if not flow["context"] else True
    z, _ = model.to_base(flow["x"], flow["context"])
    assert np.allclose(model.to_data(z, flow["context"])[0], flow["x"], atol=1e-6)
    again = diffeo.Model.from_bytes(model.to_bytes())
    assert np.array_equal(again.log_prob(flow["x"], flow["context"]), log_prob)


def test_what_a_state_does_not_say_matters():
    name = next(name for name in FLOWS if name.startswith("nflows: spline couplings"))
    flow = FLOWS[name]
    state = state_of(flow)
    with pytest.raises(diffeo.ConfigError, match="tail_bound"):
        diffeo.import_model(state)
    other = diffeo.import_model(state, tail_bound=5.0)
    assert not np.allclose(other.log_prob(flow["x"]), flow["log_prob"], atol=1e-3)
    named = diffeo.import_model(state, columns=list("abcd"), precision="f32", **flow["settings"])
    assert named.columns == list("abcd")
    assert np.allclose(named.log_prob(flow["x"]), flow["log_prob"], rtol=1e-4, atol=1e-3)


def test_a_state_of_a_file(tmp_path):
    name = next(iter(FLOWS))
    flow = FLOWS[name]
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for key, value in state_of(flow).items():
        value = value.astype("<i8") if value.dtype.kind == "i" else value.astype("<f8")
        dtype = "I64" if value.dtype.kind == "i" else "F64"
        header[key] = {"dtype": dtype, "shape": list(value.shape), "data_offsets": [len(body), len(body) + value.nbytes]}
        body += value.tobytes()
    text = json.dumps(header).encode()
    path = tmp_path / "state.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    model = diffeo.import_model(path, **flow["settings"])
    assert np.allclose(model.log_prob(flow["x"], flow["context"]), flow["log_prob"], rtol=1e-9, atol=1e-9)
    out = tmp_path / "model.safetensors"
    options = [f"--{key.replace('_', '-')}={value}" for key, value in flow["settings"].items()]
    assert convert([str(path), "--out", str(out), *options]) == 0
    assert np.array_equal(diffeo.load(out).log_prob(flow["x"], flow["context"]), model.log_prob(flow["x"], flow["context"]))
    assert convert([str(path), "--out", str(out)]) == 5
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(diffeo.ModelFileError):
        diffeo.import_model(path)
    assert convert([str(path), "--out", str(out), "--force"]) == 4
    assert convert([str(tmp_path / "none"), "--out", str(out), "--force"]) == 5


def test_what_cannot_be_imported_is_named():
    name = next(name for name in FLOWS if name.startswith("zuko"))
    state = state_of(FLOWS[name])
    more = {**state, "transform.transforms.0.hyper.1.gamma": np.zeros(3)}
    with pytest.raises(diffeo.ConfigError, match="gamma"):
        diffeo.import_model(more, **FLOWS[name]["settings"])
    with pytest.raises(diffeo.DataError, match="zuko or nflows"):
        diffeo.import_model({"weight": np.zeros(3)})
    with pytest.raises(diffeo.ModelFileError, match="base.loc"):
        diffeo.import_model({key: value for key, value in state.items() if not key.startswith("base")})
    with pytest.raises(diffeo.ConfigError, match="relu, tanh or elu"):
        diffeo.import_model(state, activation="gelu")
    with pytest.raises(diffeo.DataError, match="expected a module"):
        diffeo.import_model(3)
