"""The estimators keep scikit-learn's manners."""

import concurrent.futures
import multiprocessing
import pickle

import joblib
import numpy as np
import pytest
from conftest import SMALL, bent
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import diffeo

# Why a check is not passed.
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": "steps go over batches of random rows, so a row of weight 2 and two rows of weight 1 are in other batches",
}

ESTIMATORS = [diffeo.Density(**SMALL), diffeo.OutlierDetector(trim=None, **SMALL), diffeo.ConditionalDensity(**SMALL)]
CHECKS = [
    pytest.param(estimator, check, id=f"{type(estimator).__name__}-{check.func.__name__}-{i}")
    for e in ESTIMATORS
    for i, (estimator, check) in enumerate(estimator_checks_generator(e, mark="xfail"))
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_check_estimator(estimator, check, request):
    # A density by itself has no predictions that this check would compare.
    if (reason := EXPECTED.get(check.func.__name__)) and type(estimator) is not diffeo.Density:
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    check(estimator)


def test_whole_numbers_are_seeds_as_on_the_command_line(rows):
    density = diffeo.Density(random_state=3, **SMALL).fit(rows)
    model = diffeo.fit(rows, seed=3, **SMALL)
    assert np.array_equal(density.score_samples(rows), model.log_prob(rows))
    assert np.isclose(density.score(rows), model.log_prob(rows).mean())
    assert np.array_equal(density.sample(10, random_state=1), model.sample(10, seed=1).numpy())
    other = diffeo.Density(random_state=np.random.RandomState(0), **SMALL).fit(rows)
    assert not np.array_equal(other.score_samples(rows), density.score_samples(rows))


def test_pipelines_searches_and_copies(rows):
    pipeline = make_pipeline(StandardScaler(), diffeo.Density(random_state=0, **SMALL))
    assert np.isfinite(cross_val_score(pipeline, rows, cv=3)).all()
    search = GridSearchCV(diffeo.Density(random_state=0, **SMALL), {"transforms": [1, 2]}, n_jobs=2, cv=2).fit(rows)
    assert search.best_params_["transforms"] in (1, 2)
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    assert np.array_equal(again.score_samples(rows), search.best_estimator_.score_samples(rows))
    assert not hasattr(clone(again), "model_")


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib(rows, backend):
    density = diffeo.Density(random_state=0, **SMALL).fit(rows)
    expected = density.score_samples(rows)
    found = joblib.Parallel(2, backend=backend)(joblib.delayed(density.score_samples)(rows) for _ in range(4))
    assert all(np.array_equal(each, expected) for each in found)


def _score(density, rows):
    return density.score_samples(rows)


def _fit_and_score(rows):
    return diffeo.Density("nsf", steps=3, hidden=(8, 8), random_state=0, n_jobs=2).fit(rows).score_samples(rows)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no forks on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("model", ["maf", "nsf", "t-maf"])
def test_forks_do_not_hang(model):
    rows = bent(500)
    density = diffeo.Density(model, steps=3, hidden=(8, 8), random_state=0, n_jobs=2).fit(rows)
    expected = density.score_samples(rows)
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        scores = [pool.submit(_score, density, rows) for _ in range(2)]
        fits = [pool.submit(_fit_and_score, rows) for _ in range(2)]
        assert all(np.array_equal(each.result(timeout=120), expected) for each in scores)
        assert np.array_equal(fits[0].result(timeout=120), fits[1].result(timeout=120))


def test_frames_by_name_and_draws_of_their_kind(rows):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    frame = pandas.DataFrame({"x": rows[:, 0], "group": np.where(rows[:, 1] > 0, "up", "down")})
    density = diffeo.Density(random_state=0, **SMALL).fit(frame)
    assert list(density.feature_names_in_) == ["x", "group"]
    drawn = density.sample(20, random_state=0)
    assert isinstance(drawn, pandas.DataFrame) and set(drawn["group"]) <= {"up", "down"}
    with pytest.raises(ValueError, match="feature names"):
        density.score_samples(frame[["group", "x"]])
    other = diffeo.Density(random_state=0, **SMALL).fit(polars.DataFrame(frame.to_dict("list")))
    assert np.array_equal(other.score_samples(polars.from_pandas(frame)), density.score_samples(frame))
    assert isinstance(other.sample(2), polars.DataFrame)


def test_outliers_lie_below_the_threshold(rows):
    detector = diffeo.OutlierDetector(contamination=0.05, random_state=0, **SMALL).fit(rows)
    assert np.isclose((detector.predict(rows) < 0).mean(), 0.05, atol=0.01)
    assert (detector.predict(rows + 30) == -1).all()
    with pytest.raises(ValueError, match="contamination"):
        diffeo.OutlierDetector(contamination=0.9).fit(rows)


def test_outliers_among_the_rows_of_the_fit_are_not_learned():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 2))
    far = np.arange(400) % 10 == 9
    rows[far] = 8 + 2 * rows[far]
    trimmed = diffeo.OutlierDetector(random_state=0, **SMALL).fit(rows)
    assert trimmed.model_.summary["rows_trimmed"] == 200
    assert trimmed.score_samples(rows)[far].max() < trimmed.score_samples(rows)[~far].min()
    assert "rows_trimmed" not in diffeo.OutlierDetector(trim=None, random_state=0, **SMALL).fit(rows).model_.summary
    few = diffeo.OutlierDetector(random_state=0, **SMALL).fit(rows[:19])
    assert "rows_trimmed" not in few.model_.summary
    with pytest.raises(ValueError, match="trim"):
        diffeo.OutlierDetector(trim=0.8).fit(rows)
    with pytest.raises(ValueError, match="trim"):
        diffeo.OutlierDetector(trim="half").fit(rows)
    model = diffeo.fit(rows, trim=0.2, seed=0, **SMALL)
    assert model.summary["rows_trimmed"] == 80 and model.summary["rows_train"] + model.summary["rows_valid"] == 320


def test_a_target_given_its_features():
    x = np.random.default_rng(0).uniform(-2, 2, size=(2000, 1))
    y = 3 * x[:, 0] + np.random.default_rng(1).normal(size=2000)
    density = diffeo.ConditionalDensity(model="maf", steps=600, lr=0.01, hidden=(16,), transforms=1, random_state=0).fit(x, y)
    at = np.array([[-1.0], [1.0]])
    assert np.allclose(density.predict(at), [-3, 3], atol=0.3)
    low, middle, high = density.quantiles(at).T
    assert np.allclose(high - low, 3.29, atol=0.5) and np.allclose(middle, [-3, 3], atol=0.3)
    assert density.sample(at, 5).shape == (2, 5)
    assert np.isclose(density.score(x, y), -0.5 * np.log(2 * np.pi * np.e), atol=0.1)
    two = diffeo.ConditionalDensity(random_state=0, **SMALL).fit(x, np.column_stack([y, -y + x[:, 0] ** 2]))
    assert two.sample(at, 5).shape == (2, 5, 2) and two.predict(at).shape == (2, 2)


def test_options_reach_the_fit(rows):
    density = diffeo.Density(random_state=0, options={"columns": {"x2": "real", "x1": None}}, **SMALL).fit(rows)
    assert density.model_.columns == ["x2", "x1"]
    with pytest.raises(ValueError, match="of its own"):
        diffeo.Density(steps=3, options={"steps": 4}).fit(rows)
    with pytest.raises(diffeo.ConfigError, match="options: expected a dictionary"):
        diffeo.Density(options="x", **SMALL).fit(rows)
    for options in ({"lrr": 1e-3}, {"seed": 1}, {"context": "x1"}):
        with pytest.raises(ValueError, match="cannot be given here"):
            diffeo.Density(options=options, **SMALL).fit(rows)
    with pytest.raises(ValueError, match="told by X and y"):
        diffeo.ConditionalDensity(options={"columns": "y"}, **SMALL).fit(rows[:, :1], rows[:, 1])
    seen = []
    diffeo.Density(options={"progress": seen.append}, **SMALL).fit(rows)
    assert seen
