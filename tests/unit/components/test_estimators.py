"""Every built-in estimator on hostile columns, through the storage format; a pilot's own with its errors."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import skops.io

from pilotage.components.datasets import Dataset
from pilotage.components.training import estimators, own_estimators, searches
from pilotage.core import errors, models, settings
from pilotage.core.artifacts import Feature
from pilotage.core.metrics import Task
from pilotage.core.specs import Estimator, FeatureKind, PilotSpec

ROWS = 300
FEATURES = (
    Feature(name="length [m] <x>", kind=FeatureKind.NUMBER),
    Feature(name="empty", kind=FeatureKind.NUMBER),
    Feature(name="constant", kind=FeatureKind.NUMBER),
    Feature(name="größe", kind=FeatureKind.BOOLEAN),
    Feature(name="colour", kind=FeatureKind.CATEGORY),
    Feature(name="many", kind=FeatureKind.CATEGORY),
    Feature(name="never", kind=FeatureKind.CATEGORY),
    Feature(name="at", kind=FeatureKind.TIME),
)
FAST: dict[Estimator, dict[str, float]] = {
    Estimator.HIST_GRADIENT_BOOSTING: {"max_iter": 10},
    Estimator.RANDOM_FOREST: {"n_estimators": 10},
    Estimator.LIGHTGBM: {"n_estimators": 10},
    Estimator.XGBOOST: {"n_estimators": 10},
    Estimator.MLP: {"epochs": 80, "hidden": 16, "learning_rate": 0.01},
}
INSTALLED = [name for name in Estimator if name is not Estimator.MLP or importlib.util.find_spec("torch")]
"""`mlp` only where PyTorch is, which is optional."""


def hostile(target: str) -> Dataset:
    rng = np.random.default_rng(0)
    x = rng.normal(size=ROWS)
    missing = x.copy()
    missing[::7] = np.nan
    flags = (x > 0.3).astype(float)
    flags[::9] = np.nan
    times = np.datetime64("2026-01-01", "us") + rng.integers(0, 10**12, ROWS).astype("timedelta64[us]")
    times[::13] = np.datetime64("NaT", "us")
    columns = {
        "length [m] <x>": missing,
        "empty": np.full(ROWS, np.nan),
        "constant": np.ones(ROWS),
        "größe": flags,
        "colour": np.array([None if i % 11 == 0 else "rgb"[i % 3] for i in range(ROWS)], dtype=object),
        "many": np.array([f"v{i % 280}" for i in range(ROWS)], dtype=object),
        "never": np.array([None] * ROWS, dtype=object),
        "at": times,
    }
    targets = {
        "boolean": x > 0,
        "text": np.where(x > 0, "ja", "nein").astype(object),
        "three classes": np.digitize(x, [-0.5, 0.5]).astype(np.int64) + 1,
        "number": 2 * x,
    }
    return Dataset(FEATURES, columns, targets[target])


def unseen(data: Dataset) -> Dataset:
    columns = data.columns | {
        "colour": np.array(["ultraviolet"] * ROWS, dtype=object),
        "many": np.array([None] * ROWS, dtype=object),
        "never": np.array(["at last"] * ROWS, dtype=object),
        "empty": np.ones(ROWS),
        "at": np.full(ROWS, np.datetime64("2031-05-05", "us")),
    }
    return Dataset(data.features, columns, data.target)


@pytest.mark.parametrize("target", ["boolean", "text", "three classes", "number"])
@pytest.mark.parametrize("name", INSTALLED)
def test_a_builtin_predicts_the_same_after_storage_without_pickle(name, target, tmp_path):
    task = Task.REGRESSION if target == "number" else Task.CLASSIFICATION
    data = hostile(target)
    estimator = estimators.build(name, FAST.get(name, {}), task=task, dataset=data, seed=1, folder=tmp_path)
    fitted = estimators.fit(estimator, data, name)
    estimators.predict_alone(fitted)
    installation = settings.load()
    assert models.foreign_types(fitted, installation) == ()
    stored = skops.io.loads(skops.io.dumps(fitted), trusted=list(models.trusted_types(installation)))
    for rows in (data, unseen(data), unseen(data).take(np.array([0]))):
        found = estimators.predict(estimators.predictor(fitted, data, task, None), rows, name)
        again = estimators.predict(estimators.predictor(stored, data, task, None), rows, name)
        np.testing.assert_allclose(found.score, again.score)
        assert np.isfinite(found.score).all()
        assert found.predictions.tolist() == again.predictions.tolist()
    if task is Task.CLASSIFICATION:
        accuracy = (
            estimators.predictor(stored, data, task, None).predict(data.columns).predictions == data.target
        ).mean()
        assert accuracy > 0.7


@pytest.mark.parametrize("name", INSTALLED)
def test_an_unknown_parameter_names_the_nearest(name, tmp_path):
    with pytest.raises(errors.EstimatorError, match=r"`random_stat` is not a parameter.*`random_state`"):
        estimators.build(
            name,
            {"random_stat": 1},
            task=Task.CLASSIFICATION,
            dataset=hostile("text"),
            seed=1,
            folder=tmp_path,
        )


def test_a_parameter_out_of_range_is_the_users_error(tmp_path):
    data = hostile("text")
    estimator = estimators.build(
        "hist_gradient_boosting",
        {"learning_rate": -1.0},
        task=Task.CLASSIFICATION,
        dataset=data,
        seed=1,
        folder=tmp_path,
    )
    with pytest.raises(errors.EstimatorError, match="learning_rate"):
        estimators.fit(estimator, data, "hist_gradient_boosting")


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("name", INSTALLED)
def test_values_of_every_builtin_are_looked_at_without_rows(name: Estimator, task: Task):
    estimators.require_values(name, FAST.get(name, {}), task=task, seed=1)


def test_values_that_a_builtin_refuses_are_told_without_rows():
    with pytest.raises(errors.EstimatorError, match=r"random_forest refuses its parameters.*n_estimators"):
        estimators.require_values(
            Estimator.RANDOM_FOREST, {"n_estimators": "many"}, task=Task.CLASSIFICATION, seed=1
        )


def test_no_feature_with_a_value_is_an_error(tmp_path):
    data = hostile("text")
    empty = Dataset((FEATURES[1],), {"empty": data.columns["empty"]}, data.target)
    with pytest.raises(errors.DataError, match="No feature has a value"):
        estimators.build(
            "random_forest", {}, task=Task.CLASSIFICATION, dataset=empty, seed=1, folder=tmp_path
        )


def test_the_same_seed_gives_the_same_model(tmp_path):
    data = hostile("number")
    scores = []
    for _ in range(2):
        estimator = estimators.build(
            "random_forest",
            {"n_estimators": 5},
            task=Task.REGRESSION,
            dataset=data,
            seed=3,
            folder=tmp_path,
        )
        scores.append(estimators.fit(estimator, data, "random_forest").predict(data.frame()))
    np.testing.assert_array_equal(*scores)


OWN = """
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier

def forest(trees, seed):
    return RandomForestClassifier(n_estimators=trees, random_state=seed)

def broken():
    raise RuntimeError("no licence")

def nothing():
    return 42

class Stubborn(DummyClassifier):
    def fit(self, X, y):
        raise KeyError("colour")

constant = 3
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "own_models_for_test.py").write_text(OWN)
    (tmp_path / "own_broken_for_test.py").write_text("import a_module_that_is_not_there\n")
    return tmp_path


def test_an_own_estimator_gets_its_params_and_the_seed(folder):
    forest = own_estimators.build("own_models_for_test:forest", {"trees": 7}, seed=11, folder=folder)
    assert (forest.n_estimators, forest.random_state) == (7, 11)
    assert own_estimators.sources("own_models_for_test:forest", folder) == (
        (folder / "own_models_for_test.py").resolve(),
    )


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("own_models_for_test:forrest", {}, "no function `forrest`.*forest"),
        ("own_models_for_test:constant", {}, "is int, not a function"),
        ("own_models_for_test:forest", {}, "trees.*It takes trees, seed"),
        ("own_models_for_test:forest", {"tree": 1}, "cannot be called"),
        ("own_models_for_test:broken", {}, "RuntimeError: no licence"),
        ("own_models_for_test:nothing", {}, "returned int, which has no method `fit`"),
        ("not_a_module_at_all:f", {}, "no module `not_a_module_at_all`"),
        ("own_broken_for_test:f", {}, "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
    ],
)
def test_a_wrong_own_estimator_says_what_is_wrong(folder, name, params, message):
    with pytest.raises(errors.EstimatorError, match=message):
        own_estimators.build(name, params, seed=1, folder=folder)


def test_an_error_in_an_own_fit_names_it(folder):
    stubborn = own_estimators.build("own_models_for_test:Stubborn", {}, seed=1, folder=folder)
    with pytest.raises(errors.EstimatorError, match="KeyError: 'colour'"):
        estimators.fit(stubborn, hostile("text"), "own_models_for_test:Stubborn")


@pytest.mark.parametrize(
    ("answer", "target", "message"),
    [
        ({"predict": lambda rows: np.zeros(3)}, "number", r"\(3,\) predictions for 300 rows"),
        ({"predict": lambda rows: np.full(rows, np.inf)}, "number", "300 of 300.*not finite"),
        ({"predict": lambda rows: np.full(rows, "vielleicht")}, "text", "vielleicht"),
        ({"predict_proba": lambda rows: np.full((rows, 2), np.nan)}, "text", "300 of 300.*not finite"),
    ],
)
def test_an_answer_that_is_no_prediction_is_refused(answer, target, message):
    data = hostile(target)
    methods = {name: lambda self, frame, of=of: of(len(frame)) for name, of in answer.items()}
    own = type("Own", (), {**methods, "classes_": np.array(["ja", "nein"])})()
    task = Task.REGRESSION if target == "number" else Task.CLASSIFICATION
    asked = estimators.predictor(own, data, task, None)
    with pytest.raises(errors.EstimatorError, match=message):
        estimators.predict(asked, data, "own:model")


def test_a_value_of_the_search_that_the_estimator_refuses_names_the_search(tmp_path):
    train = {"search": {"trials": 1, "space": {"learning_rate": {"low": -3, "high": -1}}}}
    spec = PilotSpec.model_validate(
        {
            "version": 1,
            "pilot": "trial",
            "goal": {"metric": "accuracy"},
            "data": {"source": "t.csv", "target": "y"},
            "train": train,
        }
    )
    assert spec.train.search is not None
    with pytest.raises(errors.EstimatorError, match=r"learning_rate.*Correct `train\.search"):
        searches.search(spec, spec.train.search, tmp_path, hostile("text"), "nein")


def test_two_pilots_may_call_their_modules_the_same(tmp_path):
    for name, depth in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same_name_for_test.py").write_text(
            "from sklearn.tree import DecisionTreeClassifier\n"
            f"def build():\n    return DecisionTreeClassifier(max_depth={depth})\n"
        )
    depths = [
        own_estimators.build("same_name_for_test:build", {}, seed=1, folder=tmp_path / name).max_depth
        for name in ("one", "two", "one")
    ]
    assert depths == [1, 2, 1]


@pytest.mark.parametrize(
    ("stated", "classes", "expected"),
    [
        (None, ("no", "yes"), "yes"),
        ("no", ("no", "yes"), "no"),
        (None, ("a", "b", "c"), None),
        (0, (0, 1), 0),
    ],
)
def test_the_positive_class_is_the_stated_or_the_last(stated, classes, expected):
    assert estimators.positive_class(stated, classes) == expected


def test_a_positive_class_that_does_not_occur_is_an_error():
    with pytest.raises(errors.DataError, match="'ja'"):
        estimators.positive_class("ja", ("no", "yes"))


def test_a_frame_of_one_row_keeps_its_types():
    data = hostile("text").take(np.array([0]))
    assert data.frame()["never"].tolist() == [None]
