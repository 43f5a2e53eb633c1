"""Parts of a table, whatever engine runs them, give what the whole gives."""

import pickle

import numpy as np
import pytest

import diffeo
from diffeo.distributed import Sample, Score

pyarrow = pytest.importorskip("pyarrow")


@pytest.fixture
def table(rows):
    return pyarrow.table({"x2": rows[:, 1], "x1": rows[:, 0], "name": [str(i) for i in range(len(rows))]})


def test_parts_score_as_the_whole(model, table, tmp_path):
    model.save(tmp_path / "m.safetensors")
    whole = model.log_prob(table)
    for source in (model, tmp_path / "m.safetensors"):
        score = pickle.loads(pickle.dumps(Score(source)))
        parts = list(score.batches(table.to_batches(max_chunksize=37)))
        assert all(isinstance(part, pyarrow.RecordBatch) for part in parts)
        found = pyarrow.Table.from_batches(parts)
        assert found.column_names == ["x2", "x1", "name", "log_prob"]
        assert np.array_equal(found["log_prob"].to_numpy(), whole)
    again = score(pyarrow.Table.from_batches(parts))
    assert again.column_names.count("log_prob") == 1


def test_parts_stay_what_they_are(model, table):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    whole = model.log_prob(table)
    for frame, kind in ((table.to_pandas(), pandas.DataFrame), (polars.from_arrow(table), polars.DataFrame)):
        scored = Score(model)(frame)
        assert isinstance(scored, kind) and np.array_equal(scored["log_prob"].to_numpy(), whole)


def test_draws_do_not_depend_on_the_parts(model):
    whole = model.sample(100, seed=4).numpy()
    numbers = pyarrow.table({"id": np.random.default_rng(0).permutation(100)})
    sample = pickle.loads(pickle.dumps(Sample(model, seed=4)))
    drawn = pyarrow.Table.from_batches(list(sample.batches(numbers.to_batches(max_chunksize=9)))).to_pandas().sort_values("id")
    assert np.array_equal(drawn[["x1", "x2"]].to_numpy(), whole)
    with pytest.raises(diffeo.ConfigError, match="at least 0"):
        sample(pyarrow.table({"id": [-1]}))
    with pytest.raises(diffeo.ConfigError, match="whole numbers"):
        sample(pyarrow.table({"id": [0.5]}))
    # Differences of small types wrap around.
    small = sample(pyarrow.table({"id": pyarrow.array([99, 0, 50], pyarrow.uint8())})).to_pandas()
    assert np.array_equal(small[["x1", "x2"]].to_numpy(), whole[[99, 0, 50]])


def test_dask(model, table):
    frames = pytest.importorskip("dask.dataframe")
    scored = frames.from_pandas(table.to_pandas(), npartitions=5).map_partitions(Score(model))
    assert np.array_equal(scored.compute()["log_prob"].to_numpy(), model.log_prob(table))
