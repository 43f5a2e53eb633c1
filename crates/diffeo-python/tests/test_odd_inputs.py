"""What people really pass: series, masked and empty arrays, text that looks like numbers, numbers that NumPy made."""

import copy
import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL, bent

import diffeo

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
pyarrow = pytest.importorskip("pyarrow")


def test_rows_that_validate_have_the_columns_of_the_others():
    rows = bent(600)
    frame = pandas.DataFrame(rows, columns=["x1", "x2"])
    by_array = diffeo.fit(rows[:400], context="x1", valid=rows[400:], seed=0, **SMALL)
    by_name = diffeo.fit(frame[:400], context="x1", valid=frame[400:], seed=0, **SMALL)
    assert by_array.summary["valid_log_prob_mean"] == by_name.summary["valid_log_prob_mean"]


def test_arrays_are_scored_as_they_were_fitted(rows):
    constant = np.column_stack([rows[:, 0], np.ones(len(rows)), rows[:, 1]])
    model = diffeo.fit(constant, drop_constant=True, seed=0, **SMALL)
    assert model.columns == ["x1", "x3"]
    assert np.array_equal(model.log_prob(constant), model.log_prob({"x1": rows[:, 0], "x3": rows[:, 1]}))
    turned = diffeo.fit(rows, columns=["x2", "x1"], seed=0, **SMALL)
    assert np.array_equal(turned.log_prob(rows), turned.log_prob({"x1": rows[:, 0], "x2": rows[:, 1]}))
    given = diffeo.fit(rows, context="x1", seed=0, **SMALL)
    assert np.array_equal(given.log_prob(rows), given.log_prob(rows[:, 1:], rows[:, :1]))


def test_series_and_columns_of_any_kind(rows):
    column = rows[:, 0]
    expected = diffeo.fit(column, seed=0, **SMALL)
    for one in (
        pandas.Series(column, name="a"),
        polars.Series("a", column),
        pyarrow.array(column),
        pyarrow.chunked_array([column]),
    ):
        model = diffeo.fit(one, seed=0, **SMALL)
        assert np.array_equal(model.log_prob(one), expected.log_prob(column))
    for one, advice in ((polars.LazyFrame({"a": column}), "collect"), ((x for x in column), "list"), (None, "NoneType")):
        with pytest.raises(diffeo.DataError, match=advice):
            diffeo.fit(one)


def test_what_arrow_holds_comes_out_by_its_name():
    table = pyarrow.table(
        {
            "t": pyarrow.array([1, 2], pyarrow.timestamp("ns")),
            "s": pyarrow.array(["a", None], pyarrow.large_string()),
            "c": pyarrow.array(["u", "v"]).dictionary_encode(),
            "f": pyarrow.array([1.5, None], pyarrow.float32()),
            "i": pyarrow.array([1, 2], pyarrow.int8()),
        }
    )
    found = diffeo.Table(table)
    assert found["t"].dtype.kind == "M" and list(found["s"]) == ["a", None] and list(found["c"]) == ["u", "v"]
    assert found["f"][0] == 1.5 and np.isnan(found["f"][1]) and found["i"].dtype.kind == "i"
    assert list(found) == table.column_names and "t" in found and "x" not in found
    assert found.to_pandas().shape == (2, 5)
    again = pickle.loads(pickle.dumps(found))
    assert list(again["s"]) == ["a", None] and copy.deepcopy(found).columns == found.columns


def test_masks_are_missing_values(rows):
    masked = np.ma.masked_array(rows.copy(), mask=np.zeros(rows.shape, bool))
    masked[::10, 0] = np.ma.masked
    masked.data[::10, 0] = 1e6
    with pytest.raises(diffeo.DataError, match='missing="drop"'):
        diffeo.fit(masked, seed=0, **SMALL)
    model = diffeo.fit(masked, missing="drop", seed=0, **SMALL)
    assert model.kinds["x1"] == "real" and model.summary["rows_train"] < 400
    with pytest.raises(ValueError, match="NaN"):
        diffeo.Density(**SMALL).fit(masked)
    weighted = diffeo.fit(masked, missing="drop", weight=np.ones(len(rows)), seed=0, **SMALL)
    assert np.isfinite(weighted.log_prob(rows)).all()


def test_rows_without_a_density_are_outliers(rows):
    holes = rows.copy()
    holes[0, 0] = np.nan
    detector = diffeo.OutlierDetector(missing="drop", random_state=0, **SMALL).fit(holes)
    assert list(detector.predict([[50.0, 50.0], [np.nan, 0.0], [0.0, 0.1]])) == [-1, -1, 1]
    assert np.isfinite(detector.score(holes))


def test_parts_without_rows(model):
    empty = np.empty((0, 2))
    assert model.log_prob(empty).shape == (0,) and model.to_base(empty)[0].shape == (0, 2)
    with pytest.raises(diffeo.DataError, match="at least one column"):
        diffeo.fit(np.empty((5, 0)))
    with pytest.raises(diffeo.DataError, match="no rows"):
        diffeo.fit(empty)


def test_far_rows_answer_for_themselves(model):
    log_prob = model.log_prob([[0.0, 0.0], [1e39, 0.0], [0.0, -1e300]])
    assert np.isfinite(log_prob[0]) and (log_prob[1:] == -np.inf).all()


def test_text_that_looks_like_numbers_is_told():
    codes = np.random.default_rng(0).choice(["01234", "00501"], 300)
    frame = pandas.DataFrame({"x": bent(300)[:, 0], "code": codes})
    with pytest.warns(diffeo.DiffeoWarning, match='"code": "category"|read as numbers'):
        diffeo.fit(frame, seed=0, **SMALL)
    model = diffeo.fit(frame, columns={"x": None, "code": "category"}, seed=0, **SMALL)
    assert set(model.sample(50, seed=0)["code"]) == {"01234", "00501"}


def test_a_context_that_no_row_had_is_told():
    rows = {"a": np.random.default_rng(0).normal(size=60), "k": ["u", "v"] * 30}
    model = diffeo.fit(rows, context="k", steps=3, seed=0, progress=False)
    new = {"a": [0.1, 0.2], "k": ["u", "w"]}
    for ask in (lambda: model.log_prob(new), lambda: model.sample(2, context={"k": ["w", "w"]}, seed=1)):
        with pytest.warns(diffeo.DiffeoWarning, match="a level that no row of the fit had"):
            ask()


def test_a_target_as_a_series(rows):
    frame = pandas.DataFrame(rows, columns=["a", "y"])
    density = diffeo.ConditionalDensity(random_state=0, **SMALL).fit(frame[["a"]], frame["y"])
    assert density.predict(frame[["a"]]).shape == (len(rows),)
    assert np.isfinite(density.score(frame[["a"]], rows[:, 1]))
    assert density.quantiles(frame[["a"]], 0.5).shape == (len(rows), 1)
    same = diffeo.ConditionalDensity(random_state=0, **SMALL).fit(frame[["a"]].rename(columns={"a": "y"}), rows[:, 1])
    assert same.model_.columns == ["y_"]
    with pytest.raises(diffeo.DataError, match="numbers"):
        diffeo.ConditionalDensity(**SMALL).fit(frame[["a"]], pandas.Series(["u", "v"] * 200, name="t"))


def test_parameters_of_wrong_types_are_named(rows, model):
    for settings, text in [
        (dict(seed=-1), "seed"),
        (dict(transforms=1.5), "transforms"),
        (dict(lr="x"), "lr"),
        (dict(hidden=8), "hidden"),
        (dict(valid=2.0), "share"),
        (dict(checkpoint="/none/at/all"), "folder"),
    ]:
        with pytest.raises(diffeo.DiffeoError, match=text):
            diffeo.fit(rows, **{**SMALL, **settings})
    assert diffeo.fit(rows, valid=np.float32(0.2), exclude=None, seed=np.int64(0), **SMALL).summary["rows_valid"] == 80
    with pytest.raises(diffeo.LimitError, match="first_row"):
        model.sample(10**13)
    with pytest.raises(diffeo.ConfigError, match="from 0 to 1"):
        model.log_prob_quantile(2.0)
    with pytest.raises(diffeo.DataError, match="S1"):
        diffeo.Table(pandas.DataFrame({"a": np.array([b"x"], dtype="S1")})["a"].to_numpy().astype("S1"))


def test_warnings_point_at_the_callers_line():
    rows = np.repeat(bent(50), 8, axis=0)
    for call in (lambda: diffeo.fit(rows, seed=0, **SMALL), lambda: diffeo.Density(random_state=0, **SMALL).fit(rows)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
        assert {warning.filename for warning in caught} == {__file__}
        assert "--" not in "".join(str(warning.message) for warning in caught)


def test_control_c_ends_a_search_and_keeps_the_best(rows):
    density = diffeo.Density("maf", steps=10**7, patience=10**7, hidden=(8,), random_state=0)
    import os
    import signal
    import threading

    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        density.fit(rows)
    assert np.isfinite(density.score(rows))


def test_observations_with_holes_and_bounds_that_are_none():
    theta = np.random.default_rng(0).uniform(-1, 1, size=(300, 2))
    x = theta.copy()
    x[7, 0] = np.nan
    npe = diffeo.sbi.NPE(low=-1, high=1, model="maf", steps=20).append_simulations(theta, x)
    with pytest.raises(diffeo.DataError, match="missing"):
        npe.train(seed=0)
    assert npe.train(missing="drop", seed=0).model.context == ["x1", "x2"]
    with pytest.raises(diffeo.ConfigError, match="low < high"):
        diffeo.sbi.NPE(low=1, high=1).append_simulations(theta, theta).train()
    for domains in ("real", {"a": 3}, {"a": ("real", 0)}, {}):
        with pytest.raises(diffeo.ConfigError):
            diffeo.inference.fit(lambda x: x, domains)


def test_a_table_of_arrow_takes_no_memory_of_its_own():
    pyarrow = pytest.importorskip("pyarrow")
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("the memory of a process is read from Linux")

    def resident():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    columns = {f"x{i}": np.random.default_rng(i).normal(size=1_000_000) for i in range(10)}
    table = pyarrow.table(columns)
    del columns
    before = resident()
    taken = diffeo.Table(table)
    again = pyarrow.table(taken)
    grown = resident() - before
    assert grown < 0.1 * table.nbytes, (grown, table.nbytes)
    assert again.equals(table)


def test_columns_are_what_their_types_say():
    rng = np.random.default_rng(0)
    n = 300
    frame = pandas.DataFrame(
        {
            "code": pandas.Categorical(rng.integers(0, 7, n)),
            "country": pandas.Categorical(rng.choice(["NA", "US", "DE"], n)),
            "day": pandas.Timestamp("2024-03-01") + pandas.to_timedelta(rng.integers(0, 90, n), unit="D"),
            "time": pandas.Timestamp("2024-03-01") + pandas.to_timedelta(rng.integers(0, 90 * 86400, n), unit="s"),
            "answer": rng.choice(["yes", "no"], n),
            "one": "same",
        }
    )
    with pytest.warns(diffeo.DiffeoWarning, match='"one": it has the value "same" in every row'):
        model = diffeo.fit(frame, seed=0, **SMALL)
    kinds = {name: kind.split()[0] for name, kind in model.kinds.items()}
    assert kinds == {
        "code": "category",
        "country": "category",
        "day": "date",
        "time": "time",
        "answer": "boolean",
        "one": "category",
    }
    drawn = model.sample(200, seed=1).to_pandas()
    assert set(drawn["country"]) == {"NA", "US", "DE"} and set(drawn["answer"]) == {"yes", "no"}
    assert set(drawn["code"]) <= {str(i) for i in range(7)} and set(drawn["one"]) == {"same"}
    assert np.isfinite(model.log_prob(frame)).all() and np.isfinite(model.log_prob(drawn)).all()


def test_thresholds_are_numbers_beside_rows_of_no_density():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 1))
    values[7] = 1e30
    detector = diffeo.OutlierDetector(contamination=0.01, random_state=0, **SMALL).fit(values)
    assert np.isfinite(detector.offset_) and (detector.predict(values) == -1).sum() == 1
    for few in (20, 24):
        diffeo.OutlierDetector(random_state=0, **SMALL).fit(rng.normal(size=(few, 2)))


def test_a_checkpoint_that_is_not_gone_on_from_is_kept(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "fit.checkpoint"
    path.write_bytes(b"hours of work")
    with pytest.raises(OSError, match="resume=True"):
        diffeo.fit(rng.normal(size=(100, 1)), checkpoint=path, seed=0, **SMALL)
    assert path.read_bytes() == b"hours of work"
