"""Fits and models: the same files and bits as the command line, and errors that say what to do."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from conftest import DATA, SMALL, command, bent

import diffeo


def test_import_brings_along_nothing_heavy():
    code = "import diffeo, sys; print([m for m in ('numpy', 'sklearn', 'pandas', 'pyarrow') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_bits_are_those_of_the_command_line(tmp_path):
    data, out = DATA / "magic_gamma.parquet", tmp_path / "m.safetensors"
    settings = ["--steps", "60", "--hidden", "16,16", "--transforms", "2", "--seed", "7"]
    command("fit", data, "--out", out, *settings)
    fitted = diffeo.fit(str(data), steps=60, hidden=(16, 16), transforms=2, seed=7)
    loaded = diffeo.load(out)
    assert fitted.columns == loaded.columns and fitted.kinds == loaded.kinds
    assert np.array_equal(fitted.log_prob(data), loaded.log_prob(data))
    import pyarrow.parquet as pq

    command("score", out, data, "--out", tmp_path / "s.parquet")
    expected = pq.read_table(tmp_path / "s.parquet")["log_prob"].to_numpy()
    frame = pq.read_table(data)
    assert np.array_equal(fitted.log_prob(frame), expected)
    assert np.array_equal(fitted.log_prob(frame.to_pandas(), threads=1), expected)
    command("sample", out, "-n", "50", "--seed", "3", "--out", tmp_path / "d.parquet")
    drawn = pq.read_table(tmp_path / "d.parquet").to_pandas()
    assert drawn.equals(fitted.sample(50, seed=3).to_pandas())


def test_a_file_is_the_model(model, rows, tmp_path):
    path = tmp_path / "m.safetensors"
    model.save(path)
    for again in (diffeo.load(path), pickle.loads(pickle.dumps(model)), diffeo.Model.from_bytes(model.to_bytes())):
        assert np.array_equal(again.log_prob(rows), model.log_prob(rows))
        assert again.summary["seed"] == 0 and again.spec == model.spec
    with pytest.raises(FileNotFoundError):
        diffeo.load(tmp_path / "none")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(diffeo.ModelFileError):
        diffeo.load(path)


def test_to_the_base_and_back(model, rows):
    z, log_det = model.to_base(rows)
    x, back = model.to_data(z)
    assert np.allclose(x, rows, atol=1e-4) and np.allclose(log_det + back, 0, atol=1e-4)
    normal = -0.5 * (z**2).sum(1) - np.log(2 * np.pi)
    assert np.allclose(normal + log_det, model.log_prob(rows), atol=1e-4)
    assert model.round_trip_error(rows).max() < 1e-4


def test_draws_follow_from_seed_and_row(model):
    whole, log_prob = model.sample_with_log_prob(100, seed=5)
    parts = [model.sample(50, seed=5, first_row=start, threads=2).numpy() for start in (0, 50)]
    assert np.array_equal(np.vstack(parts), whole.numpy())
    assert np.allclose(model.log_prob(whole), log_prob, atol=1e-4)
    assert not np.array_equal(model.sample(5).numpy(), model.sample(5).numpy())
    assert model.sample(0).numpy().shape == (0, 2)


def test_rows_that_are_no_numbers_answer_for_themselves(model, rows):
    bad = rows.copy()
    bad[3, 0], bad[5, 1] = np.nan, np.inf
    log_prob = model.log_prob(bad)
    assert np.isnan(log_prob[3]) and log_prob[5] == -np.inf
    others = np.delete(np.arange(len(rows)), [3, 5])
    assert np.array_equal(log_prob[others], model.log_prob(rows)[others])


def test_a_context_stands_apart_or_beside(rows):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rows, columns=["a", "b"])
    model = diffeo.fit(frame, columns="a", context="b", seed=1, **SMALL)
    assert (model.columns, model.context) == (["a"], ["b"])
    beside = model.log_prob(frame)
    assert np.array_equal(model.log_prob(rows[:, :1], rows[:, 1:]), beside)
    assert np.array_equal(model.log_prob(frame, frame[["b"]]), beside)
    drawn = model.sample(3, frame[:2], seed=0)
    again = model.sample(1, np.repeat(rows[:2, 1:], 3, axis=0), seed=0)
    assert np.array_equal(drawn.numpy(), again.numpy())
    common = model.sample(3, rows[:2, 1:], seed=0, common=True).numpy()
    assert np.array_equal(common[3:], model.sample(3, rows[1:2, 1:], seed=0).numpy())
    with pytest.raises(diffeo.DataError, match="row of context for each"):
        model.log_prob(rows[:, :1], rows[:7, 1:])
    with pytest.raises(diffeo.ConfigError, match="conditional on b"):
        model.sample(3)


def test_columns_of_all_kinds_come_back_as_they_were():
    pandas = pytest.importorskip("pandas")
    rng, n = np.random.default_rng(0), 300
    frame = pandas.DataFrame(
        {
            "size": rng.lognormal(size=n),
            "colour": rng.choice(["red", "green", "blue"], n),
            "count": rng.poisson(3, n),
            "sold": rng.random(n) < 0.3,
            "day": pandas.Timestamp("2024-01-01") + pandas.to_timedelta(rng.permutation(n), "D"),
        }
    )
    frame.loc[::10, "size"] = np.nan
    model = diffeo.fit(frame, missing="model", seed=0, **SMALL)
    assert np.isfinite(model.log_prob(frame)).all()
    drawn = model.sample(200, seed=0)
    as_frame = drawn.to_pandas()
    assert set(as_frame["colour"]) <= {"red", "green", "blue"} and as_frame["sold"].dtype == bool
    assert as_frame["count"].dtype.kind == "i" and as_frame["day"].dt.year.between(2023, 2025).all()
    assert as_frame["size"].isna().any()
    polars = pytest.importorskip("polars")
    assert np.array_equal(model.log_prob(polars.DataFrame(drawn)), model.log_prob(as_frame))
    assert np.array_equal(model.log_prob({name: as_frame[name] for name in as_frame}), model.log_prob(as_frame))
    with pytest.raises(diffeo.DataError, match="colour"):
        drawn.numpy()


def test_missing_values_are_drawn_given_the_others(rows):
    model = diffeo.fit(rows, any_subset=True, model="nsf", steps=30, hidden=(8,), transforms=1, seed=0)
    holes = rows[:20].copy()
    holes[:, 1] = np.nan
    whole = model.impute(holes, seed=0).numpy()
    assert np.array_equal(whole[:, 0], rows[:20, 0]) and np.isfinite(whole).all()


def test_errors_say_what_to_do(model, rows):
    for settings, error, text in [
        (dict(model="nfs"), diffeo.ConfigError, "nsf"),
        (dict(missing="ignore"), diffeo.ConfigError, "refuse, drop or model"),
        (dict(columns={"x1": "positiv"}), diffeo.ConfigError, "x1"),
        (dict(columns=["y"]), diffeo.DataError, "y"),
        (dict(steps=3, epochs=1), diffeo.ConfigError, "exclude"),
        (dict(resume=True), diffeo.ConfigError, "checkpoint"),
        (dict(max_time=-1), diffeo.ConfigError, "max_time"),
        (dict(weight=np.ones(3)), diffeo.DiffeoError, "weight"),
    ]:
        with pytest.raises(error, match=text):
            diffeo.fit(rows, **settings)
    with pytest.raises(diffeo.DataError, match="drop_constant") as constant:
        diffeo.fit(np.column_stack([rows, np.ones(len(rows))]))
    assert "--" not in str(constant.value)
    for data in (rows[:, :1], rows[None], np.array([["a", "b"]], dtype="S1"), object()):
        with pytest.raises(diffeo.DataError):
            model.log_prob(data)


def test_weights_and_validation_rows(rows):
    weight = np.where(rows[:, 0] > 0, 1.0, 0.0)
    heavy = diffeo.fit(rows, weight=weight, valid=rows[:50], seed=0, **SMALL)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x1": rows[:, 0], "x2": rows[:, 1], "w": weight})
    named = diffeo.fit(frame, weight="w", valid=frame[:50].assign(w=1.0), seed=0, **SMALL)
    assert np.array_equal(heavy.log_prob(rows), named.log_prob(rows))
    assert heavy.sample(500, seed=0).numpy()[:, 0].mean() > rows[:, 0].mean() + 0.3
    assert heavy.summary["rows_valid"] == 50


def test_progress_and_what_it_raises(rows):
    seen = []
    diffeo.fit(rows, seed=0, progress=seen.append, **SMALL)
    assert seen[-1]["finished"] in ("completed", "patience") and seen[-1]["steps"] == 60

    def fail(at):
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        diffeo.fit(rows, seed=0, progress=fail, **SMALL)


def test_a_fit_goes_on_to_the_same_bits(rows, tmp_path):
    settings = dict(SMALL, steps=50_000, patience=10**6, seed=0)
    whole = diffeo.fit(rows, **settings)
    path = tmp_path / "checkpoint"
    with pytest.warns(diffeo.DiffeoWarning, match="interrupted"):
        stopped = diffeo.fit(rows, progress=_interrupt_once(), checkpoint=path, **settings)
    assert stopped.summary["steps"] < 50_000 and path.exists()
    resumed = diffeo.fit(rows, checkpoint=path, resume=True, **settings)
    assert np.array_equal(resumed.log_prob(rows), whole.log_prob(rows)) and not path.exists()
    with pytest.raises(diffeo.DiffeoError):
        diffeo.fit(rows, checkpoint=path, resume=True, **settings)


def test_a_fit_begins_from_a_model(model, rows, tmp_path):
    model.save(tmp_path / "m.safetensors")
    weights = np.where(rows[:, 0] > 0, 2.0, 0.5)
    for start in (model, tmp_path / "m.safetensors"):
        finer = diffeo.fit(rows, start=start, weight=weights, steps=20, lr=1e-3, seed=1)
        assert finer.columns == model.columns and finer.parameters == model.parameters
        same = diffeo.fit(rows, start=start, steps=1, lr=1e-30, seed=1)
        np.testing.assert_array_equal(same.log_prob(rows), model.log_prob(rows))
    for wrong, said in (
        ({"hidden": (8,)}, "leave out hidden"),
        ({"columns": ["x1"], "model": "maf"}, "leave out model, columns"),
        ({"start": 3}, "expected a model or the path"),
    ):
        with pytest.raises(diffeo.ConfigError, match=said):
            diffeo.fit(rows, **{"start": model, **wrong}, steps=1)


def _interrupt_once():
    asked = []

    def report(at):
        if at["step"] > 0 and not asked:
            asked.append(True)
            os.kill(os.getpid(), signal.SIGINT)

    return report


def test_control_c_stops_scoring():
    model = diffeo.fit(bent(), model="nsf", steps=2, seed=0)
    many = np.tile(bent(1000), (2000, 1))
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        for _ in range(5):
            model.log_prob(many, threads=1)


def test_max_time_ends_a_fit(rows):
    model = diffeo.fit(rows, max_time=0.2, steps=10**6, patience=10**6, model="maf", seed=0)
    assert model.summary["stop_reason"] == "max_time"


def test_the_self_test_can_fail():
    rows = np.random.default_rng(0).normal(size=(1000, 2)) @ [[1.0, 0.5], [0.0, 2.0]]
    model = diffeo.fit(rows, model="gaussian", seed=0)
    good = diffeo.check(model, rows, samples=1000)
    assert good and "pass  round_trip" in str(good)
    bad = diffeo.check(model, rows * 3 + 5, samples=1000)
    assert not bad and "FAIL" in str(bad)


def test_tables_share_the_memory_of_arrow():
    pyarrow = pytest.importorskip("pyarrow")
    column = pyarrow.array(np.arange(1000.0))
    table = diffeo.Table(pyarrow.table({"a": column}))
    back = pyarrow.table(table)["a"].chunk(0)
    assert back.buffers()[1].address == column.buffers()[1].address
    assert len(table) == 1000 and table.columns == ["a"]
    with pytest.raises(KeyError):
        table["b"]


def test_an_index_of_pandas_is_no_column(rows):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rows, columns=["a", "b"]).sample(frac=1.0, random_state=0)
    assert diffeo.Table(frame).columns == ["a", "b"]


def test_pictures(model, rows, tmp_path):
    figure = diffeo.plot(model, rows)
    assert figure._repr_png_().startswith(b"\x89PNG") and figure.svg().startswith("<svg") and figure.notes
    figure.save(tmp_path / "f.png")
    assert (tmp_path / "f.png").read_bytes() == figure.png()
    for kind in ("pairs", "marginals", "loss", "calibration"):
        assert diffeo.plot(model, rows, kind=kind).png()
    with pytest.raises(diffeo.ConfigError, match="pairs"):
        diffeo.plot(model, kind="pie")
    with pytest.raises(diffeo.ConfigError, match="give a table"):
        diffeo.plot(model, kind="calibration")


def test_the_best_of_a_few_models_is_taken():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 600)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.05 * rng.normal(size=(600, 2))
    tried = []

    def watch(at):
        if at["finished"] == "tried":
            tried.append((at["valid_loss"], at["trying"]))

    model = diffeo.fit(ring, model="auto", steps=600, hidden=(16, 16), seed=1, progress=watch)
    assert len(tried) > 3 and min(tried)[1] != "gaussian" and model.parameters > 100
    with pytest.raises(diffeo.ConfigError, match="validation"):
        diffeo.fit(ring, model="auto", valid=0, seed=1)
    with pytest.raises(diffeo.ConfigError, match="or auto"):
        diffeo.fit(ring, model="automatic")
    with pytest.warns(diffeo.DiffeoWarning), pytest.raises(ZeroDivisionError):
        diffeo.fit(np.hstack([ring, ring[:, :1]]), model="auto", steps=100_000, seed=1, progress=lambda at: 1 / 0)


def test_a_graph_says_who_influences_whom(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 3))
    rows[:, 2] += rows[:, 0]
    (tmp_path / "edges.txt").write_text("x1 -> x3\nx2 -> x3\n")
    settings = dict(steps=5, seed=1, progress=False)
    for graph, parents in (({"x3": ["x1", "x2"]}, [0, 1]), (tmp_path / "edges.txt", [0, 1]), ({"x3": "x1"}, [0])):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = diffeo.fit(rows, graph=graph, **settings)
        assert f"'parents': [[], [], {parents}]" in str(model.spec)
    learned = diffeo.fit(rows, graph="learn", **settings)
    assert "parents" in str(learned.spec)
    for graph, text in (
        ({"x3": ["x1"], "x1": ["x3"]}, "without cycles"),
        ({"x3": ["zz"]}, "no column"),
        (7, "a mapping of children"),
        (tmp_path / "none.txt", "none.txt"),
    ):
        with pytest.raises(diffeo.DiffeoError, match=text):
            diffeo.fit(rows, graph=graph, **settings)


def test_what_is_given_comes_back_as_it_was():
    rng = np.random.default_rng(0)
    tree = rng.choice(["elm", "oak"], size=400)
    frame = {"tree": tree, "height": np.where(tree == "oak", 20.0, 10.0) + rng.normal(size=400)}
    model = diffeo.fit(frame, any_subset=True, model="nsf", steps=20, hidden=(8,), transforms=1, seed=0)
    holes = {"tree": ["ash", None, "oak"], "height": [np.nan, 19.0, 20.5]}
    with pytest.warns(diffeo.DiffeoWarning, match="1 rows have a level that no row of the fit had"):
        whole = model.impute(holes, seed=0)
    assert list(whole["tree"])[::2] == ["ash", "oak"] and whole["tree"][1] in ("elm", "oak")
    assert np.isfinite(whole["height"]).all() and list(whole["height"])[1:] == [19.0, 20.5]


def test_columns_of_arrays_that_are_left_out_are_named(rows, model):
    with pytest.warns(diffeo.DiffeoWarning, match="left out of the array.*x3"):
        wide = model.log_prob(np.column_stack([rows, rows[:, 0]]))
    assert np.array_equal(wide, model.log_prob(rows))


def test_a_posterior_is_drawn_given_an_observation_alone(rows, tmp_path):
    table = {"a": rows[:, 0], "b": rows[:, 1], "c": rows[:, 0] + rows[:, 1]}
    model = diffeo.fit(table, context=["c"], model="maf", steps=10, hidden=(8,), transforms=1, seed=0)
    for kind in ("pairs", "density"):
        figure = diffeo.plot(model, context=[[0.5]], kind=kind, rows=200)
        assert "<svg" in figure.svg()
    assert any("given" in note and "0.5" in note for note in figure.notes)
    with pytest.raises(diffeo.ConfigError, match="measured on DATA"):
        diffeo.plot(model, context=[[0.5]], kind="calibration")


def test_a_report_that_fails_at_the_end_loses_nothing(rows, tmp_path):
    def report(at):
        if at["finished"]:
            raise ValueError("the stream is closed")

    path, settings = tmp_path / "kept", dict(model="maf", steps=12, hidden=(8,), transforms=1, seed=0)
    with pytest.raises(ValueError, match="the stream is closed"):
        diffeo.fit(rows, progress=report, checkpoint=path, **settings)
    assert path.exists()
    again = diffeo.fit(rows, checkpoint=path, resume=True, **settings)
    assert not path.exists() and again.to_bytes()


def test_classes_by_bayes_rule():
    random = np.random.default_rng(1)
    letter = random.choice(["a", "b"], size=600, p=[0.75, 0.25])
    data = {"x": random.normal(size=600) + np.where(letter == "a", 3, -3), "letter": letter}
    settings = dict(SMALL, context=["letter"], model="maf", steps=200, lr=1e-2, seed=1)
    fitted = diffeo.fit(data, contrast=2.0, **settings)
    classes, told = fitted.classify(data["x"].reshape(-1, 1))
    assert classes == ["a", "b"] and np.mean(np.take(classes, told.argmax(axis=1)) == letter) > 0.98
    assert np.array_equal(told, fitted.classify(data, by="letter")[1])
    _, equal = fitted.classify({"x": [0.0]}, shares=[1, 1])
    _, usual = fitted.classify({"x": [0.0]})
    assert usual[0, 0] > equal[0, 0] and np.allclose(
        fitted.summary["context_shares"]["letter"], np.mean(letter == "a") * np.array([1, -1]) + [0, 1]
    )
    with pytest.raises(diffeo.ConfigError, match="share of at least 0 for each of 2 classes"):
        fitted.classify(data, shares=[1.0])
    with pytest.raises(diffeo.ConfigError, match="which is not in it"):
        fitted.classify(data, by="word")


@pytest.mark.parametrize(
    "call",
    [
        lambda model, rows: model.sample(-1),
        lambda model, rows: model.sample(1, seed=-1),
        lambda model, rows: model.sample(1, first_row=2**70),
        lambda model, rows: model.log_prob(rows, threads=-1),
        lambda model, rows: diffeo.fit(rows, seed=-1, steps=1),
        lambda model, rows: diffeo.fit(rows, threads=-2, steps=1),
        lambda model, rows: diffeo.plot(model, rows, seed=-1),
    ],
)
def test_whole_numbers_out_of_range_are_named(model, rows, call):
    with pytest.raises(diffeo.ConfigError, match="(n|seed|first_row|threads): expected a whole number from 0 to"):
        call(model, rows)


def test_signatures_can_be_read():
    import inspect

    assert str(inspect.signature(diffeo.Model.sample)).startswith("(self, /, n=1, context=None, *, seed=None")
