"""Every built-in estimator's form says what its model says, also at thresholds; what cannot is refused."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler

from pilotage.components.compilation import estimators as tables
from pilotage.components.compilation import forms as compilation
from pilotage.components.compilation import parities
from pilotage.components.compilation.estimators import Ensemble
from pilotage.components.datasets import Dataset
from pilotage.components.training import encodings, estimators
from pilotage.core import errors
from pilotage.core.artifacts import Feature, Link, Model, ModelFormat
from pilotage.core.features import Columns
from pilotage.core.forms import FormPredictor
from pilotage.core.metrics import Task
from pilotage.core.models import Prediction, Predictor
from pilotage.core.specs import Estimator, FeatureKind

FEATURES = (
    Feature(name="size", kind=FeatureKind.NUMBER),
    Feature(name="id", kind=FeatureKind.NUMBER),
    Feature(name="member", kind=FeatureKind.BOOLEAN),
    Feature(name="at", kind=FeatureKind.TIME),
    Feature(name="plane", kind=FeatureKind.CATEGORY),
    Feature(name="carrier", kind=FeatureKind.CATEGORY),
    Feature(name="never", kind=FeatureKind.CATEGORY),
)
PLANES = [f"N{number}" for number in range(400)]
"""More than an encoding tells apart."""
TASKS = {"binary": Task.CLASSIFICATION, "classes": Task.CLASSIFICATION, "regression": Task.REGRESSION}
SMALL: dict[str, dict[str, Any]] = {
    Estimator.HIST_GRADIENT_BOOSTING: {"max_iter": 12},
    Estimator.RANDOM_FOREST: {"n_estimators": 8},
    Estimator.LIGHTGBM: {"n_estimators": 12},
    Estimator.XGBOOST: {"n_estimators": 12},
    Estimator.LOGISTIC_REGRESSION: {},
}
if importlib.util.find_spec("torch"):
    SMALL[Estimator.MLP] = {"epochs": 4, "hidden": 16}
BEGIN = np.datetime64("2024-01-01T00:00", "us")


def columns(rows: int, seed: int) -> Columns:
    """Columns of every kind; ids and times do not fit 32 bits, and all but times may be missing."""
    random = np.random.default_rng(seed)

    def thinned(values: Any, missing: object) -> Any:
        values[random.random(rows) < 0.1] = missing
        return values

    planes = np.minimum(random.geometric(0.02, rows), len(PLANES)) - 1
    return {
        "size": thinned(np.round(random.normal(size=rows), 2), np.nan),
        "id": 1e12 + random.integers(0, 50_000, rows).astype(np.float64),
        "member": thinned((random.random(rows) < 0.4).astype(np.float64), np.nan),
        "at": BEGIN + random.integers(0, 5_000_000, rows).astype("timedelta64[m]"),
        "plane": thinned(np.array(PLANES, dtype=object)[planes], None),
        "carrier": thinned(random.choice(np.array(["AA", "UA", "WN"], dtype=object), rows), None),
        "never": np.full(rows, None, dtype=object),
    }


def target(found: Columns, kind: str) -> Any:
    strength = (
        np.nan_to_num(found["size"])
        + (found["carrier"] == "UA")
        + (found["id"] - 1e12) / 25_000
        + np.array([0 if plane is None else len(plane) for plane in found["plane"]])
    )
    if kind == "binary":
        return strength > np.median(strength)
    if kind == "classes":
        names = np.array(["early", "on time", "late"], dtype=object)
        return names[np.digitize(strength, np.quantile(strength, [0.3, 0.7]))]
    return 40 * strength


def described(predictor: Predictor, kind: str, estimator: str = "random_forest", **changes: Any) -> Predictor:
    facts: dict[str, Any] = {
        "pilot": "trial",
        "digest": "0" * 64,
        "format": ModelFormat.SKOPS,
        "estimator": estimator,
        "params": {},
        "seed": 0,
        "features": FEATURES,
        "target": "y",
        "task": TASKS[kind],
        "classes": predictor.model.classes,
        "positive": predictor.model.positive,
        "snapshot": "0" * 64,
        "train_rows": 1,
        "test_rows": 1,
        "validation": {},
        "requirements": (),
        "python": "3.11",
        "code": "0" * 64,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Predictor(predictor.estimator, Model(**{**facts, **changes}))


@lru_cache
def trained(name: str, kind: str) -> Predictor:
    """A small fitted model of every kind of feature."""
    found = columns(1500, seed=1)
    dataset = Dataset(FEATURES, found, target(found, kind))
    estimator = estimators.build(
        name,
        SMALL[name],
        task=TASKS[kind],
        dataset=dataset,
        seed=0,
        folder=None,  # type: ignore[arg-type]
    )
    estimators.fit(estimator, dataset, name)
    estimators.predict_alone(estimator)
    positive = True if kind == "binary" else None
    made = estimators.predictor(estimator, dataset, TASKS[kind], positive)
    return described(made, kind)


@lru_cache
def compiled(name: str, kind: str) -> FormPredictor:
    predictor = trained(name, kind)
    form, graph = compilation.compile_form(predictor, columns(500, seed=2))
    assert form.rows == 500
    assert form.difference <= form.tolerance
    return FormPredictor(form, graph, predictor.model)


@lru_cache
def thresholds(name: str, kind: str) -> dict[str, tuple[float, ...]]:
    """Where the model's trees split, by feature."""
    steps = dict(trained(name, kind).estimator.steps)
    part = tables.body(steps["model"]).part
    if not isinstance(part, Ensemble):
        return {}
    names = list(steps["encode"].get_feature_names_out())
    found: dict[str, set[float]] = {}
    for tree in part.trees:
        for feature, threshold in zip(tree.feature[~tree.leaf], tree.threshold[~tree.leaf], strict=True):
            found.setdefault(names[feature].partition("__")[2], set()).add(float(threshold))
    return {feature: tuple(sorted(values)) for feature, values in found.items()}


def same(name: str, kind: str, found: Columns) -> None:
    predictor, form = trained(name, kind), compiled(name, kind)
    theirs, ours = predictor.predict(found), form.predict(found)
    parities.difference(theirs, ours, TASKS[kind], form.form.tolerance)
    assert ours.score == pytest.approx(theirs.score, rel=1e-5, abs=1e-5)
    assert ours.predictions.dtype == theirs.predictions.dtype
    assert (ours.probabilities is None) == (theirs.probabilities is None)


ALL = [(name, kind) for name in SMALL for kind in TASKS]


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_a_form_says_what_its_model_says(name: str, kind: str) -> None:
    found = columns(700, seed=3)
    found["plane"][:50] = "never seen in training"
    found["carrier"][25:75] = ""
    found["never"][10:20] = "suddenly"
    found["at"][100:150] = np.datetime64("NaT")
    found["at"][150:160] = np.datetime64("1931-02-03T23:59:59", "us")
    same(name, kind, found)
    for rows in (1, 2):
        same(name, kind, {feature: column[-rows:] for feature, column in found.items()})


@pytest.mark.parametrize(("name", "kind"), ALL)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_form_says_the_same_at_every_threshold(name: str, kind: str, data: Any) -> None:
    splits = thresholds(name, kind)

    def numbers(feature: str) -> Any:
        at = [value for value in splits.get(feature, ()) if abs(value) < 1e30] or [0.0]
        near = st.sampled_from(at).flatmap(
            lambda value: st.sampled_from(
                [value, float(np.nextafter(value, -np.inf)), float(np.nextafter(value, np.inf))]
            )
        )
        return st.one_of(near, st.just(np.nan), st.floats(-1e13, 1e13))

    def column(strategy: Any, dtype: Any) -> Any:
        made = np.empty(8, dtype=dtype)
        made[:] = [data.draw(strategy) for _ in range(8)]
        return made

    minutes = st.integers(-10_000_000, 10_000_000).map(lambda value: BEGIN + np.timedelta64(value, "m"))
    texts = st.one_of(st.sampled_from([None, "", *PLANES]), st.text(max_size=3))
    found: Columns = {
        "size": column(numbers("size"), np.float64),
        "id": column(numbers("id"), np.float64),
        "member": column(st.sampled_from([0.0, 1.0, np.nan]), np.float64),
        "at": column(st.one_of(minutes, st.just(np.datetime64("NaT", "us"))), "datetime64[us]"),
        "plane": column(texts, object),
        "carrier": column(st.sampled_from(["AA", "UA", "WN", None, "??"]), object),
        "never": column(st.sampled_from([None, "x"]), object),
    }
    same(name, kind, found)


def test_double_precision_tells_ids_apart_that_single_precision_does_not() -> None:
    found = columns(2000, seed=4)
    wanted = (found["id"] - 1e12) % 7
    dataset = Dataset(FEATURES[:2], {name: found[name] for name in ("size", "id")}, wanted)
    model = HistGradientBoostingRegressor(max_iter=200, early_stopping=False, categorical_features=None)
    estimator = Pipeline([("encode", encodings.for_trees(dataset.features)), ("model", model)])
    estimators.fit(estimator, dataset, "it")
    predictor = described(
        estimators.predictor(estimator, dataset, Task.REGRESSION, None), "regression", features=FEATURES[:2]
    )
    form, _ = compilation.compile_form(predictor, dataset.columns)
    assert form.difference < 1e-12


def numeric(rows: int = 400, seed: int = 0) -> tuple[Dataset, tuple[Feature, ...]]:
    random = np.random.default_rng(seed)
    features = tuple(Feature(name=name, kind=FeatureKind.NUMBER) for name in ("a", "b"))
    found = {"a": random.normal(size=rows), "b": random.normal(size=rows)}
    return Dataset(features, found, found["a"] + found["b"] > 0), features


def own(estimator: Any) -> tuple[Predictor, Dataset]:
    dataset, features = numeric()
    estimator.fit(dataset.frame(), dataset.target)
    made = estimators.predictor(estimator, dataset, Task.CLASSIFICATION, True)
    return described(made, "binary", "mine:build", features=features), dataset


def test_a_pipeline_of_ones_own_on_numbers_is_converted() -> None:
    predictor, dataset = own(make_pipeline(StandardScaler(), LogisticRegression()))
    form, graph = compilation.compile_form(predictor, dataset.columns)
    assert form.link is Link.PROBABILITIES
    found = FormPredictor(form, graph, predictor.model).predict(dataset.columns)
    assert found.score == pytest.approx(predictor.predict(dataset.columns).score, abs=1e-5)


def test_a_booster_in_a_pipeline_of_ones_own_is_converted() -> None:
    predictor, dataset = own(make_pipeline(StandardScaler(), LGBMClassifier(n_estimators=5, verbose=-1)))
    form, _ = compilation.compile_form(predictor, dataset.columns)
    assert form.difference < 1e-6


class Odd(ClassifierMixin, BaseEstimator):
    """Knows its training rows by heart; no converter has heard of it."""

    def fit(self, X: Any, y: Any) -> Odd:
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: Any) -> Any:
        return np.full((len(X), 2), 0.5)


def test_an_estimator_that_no_converter_knows_is_refused_by_name() -> None:
    predictor, dataset = own(Odd())
    with pytest.raises(errors.EstimatorError, match=r"skl2onnx cannot convert it.*Odd"):
        compilation.compile_form(predictor, dataset.columns)


def test_a_conversion_that_loses_precision_is_refused_with_the_row() -> None:
    dataset, features = numeric()
    shifted = Dataset(features, {"a": dataset.columns["a"] + 1e9, "b": dataset.columns["b"]}, dataset.target)
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(shifted.frame(), shifted.target)
    made = estimators.predictor(estimator, shifted, Task.CLASSIFICATION, True)
    predictor = described(made, "binary", "mine:build", features=features)
    with pytest.raises(errors.EstimatorError, match=r"held-out rows differ by more than 1e-05, row \d+ by"):
        compilation.compile_form(predictor, shifted.columns)


def test_an_own_estimator_with_categories_is_refused_by_the_features_name() -> None:
    predictor = trained(Estimator.RANDOM_FOREST, "binary")
    other = described(predictor, "binary", "mine:build")
    with pytest.raises(errors.EstimatorError, match="`at`"):
        compilation.compile_form(other, columns(10, seed=0))


def test_an_encoding_that_is_no_table_is_refused_by_name() -> None:
    dataset, features = numeric()
    estimator = Pipeline([("encode", PowerTransformer()), ("model", LogisticRegression())])
    estimator.fit(dataset.frame(), dataset.target)
    made = described(
        estimators.predictor(estimator, dataset, Task.CLASSIFICATION, True), "binary", features=features
    )
    with pytest.raises(errors.EstimatorError, match="PowerTransformer"):
        compilation.compile_form(made, dataset.columns)


@pytest.mark.parametrize(
    ("name", "params", "reason"),
    [
        (Estimator.LIGHTGBM, {"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1}, "objective"),
        (Estimator.XGBOOST, {"booster": "gblinear"}, "gblinear"),
        (Estimator.XGBOOST, {"missing": 0.0}, "missing"),
    ],
)
def test_a_setting_that_has_no_table_is_refused(name: str, params: dict[str, Any], reason: str) -> None:
    dataset, features = numeric()
    estimator = estimators.build(
        name, {"n_estimators": 5, **params}, task=Task.CLASSIFICATION, dataset=dataset, seed=0,
        folder=None,  # type: ignore[arg-type]
    )  # fmt: skip
    estimators.fit(estimator, dataset, name)
    made = estimators.predictor(estimator, dataset, Task.CLASSIFICATION, True)
    with pytest.raises(errors.EstimatorError, match=reason):
        compilation.compile_form(described(made, "binary", features=features), dataset.columns)


def test_logarithmic_losses_are_compiled() -> None:
    dataset, features = numeric()
    counts = Dataset(features, dataset.columns, np.exp(dataset.columns["a"]))
    for name, params in (
        (Estimator.HIST_GRADIENT_BOOSTING, {"loss": "poisson", "max_iter": 5}),
        (Estimator.LIGHTGBM, {"objective": "poisson", "n_estimators": 5}),
        (Estimator.XGBOOST, {"objective": "count:poisson", "n_estimators": 5}),
    ):
        estimator = estimators.build(
            name,
            params,
            task=Task.REGRESSION,
            dataset=counts,
            seed=0,
            folder=None,  # type: ignore[arg-type]
        )
        estimators.fit(estimator, counts, name)
        made = described(
            estimators.predictor(estimator, counts, Task.REGRESSION, None), "regression", features=features
        )
        form, _ = compilation.compile_form(made, counts.columns)
        assert form.link is Link.EXP


def test_a_target_that_no_feature_tells_gives_trees_of_one_leaf() -> None:
    dataset, features = numeric()
    flat = Dataset(features, dataset.columns, np.full(dataset.rows, 3.25))
    for name in (Estimator.HIST_GRADIENT_BOOSTING, Estimator.LIGHTGBM, Estimator.XGBOOST):
        estimator = estimators.build(
            name,
            SMALL[name],
            task=Task.REGRESSION,
            dataset=flat,
            seed=0,
            folder=None,  # type: ignore[arg-type]
        )
        estimators.fit(estimator, flat, name)
        made = described(
            estimators.predictor(estimator, flat, Task.REGRESSION, None), "regression", features=features
        )
        form, graph = compilation.compile_form(made, flat.columns)
        found = FormPredictor(form, graph, made.model).predict({"a": np.zeros(1), "b": np.full(1, np.nan)})
        assert found.predictions == pytest.approx([3.25])


def probable(second: list[float], classes: list[Any] | None = None) -> Prediction:
    high = np.array(second)
    names = np.array(classes or [value > 0.5 for value in second])
    return Prediction(names, high, np.column_stack([1 - high, high]))


def test_one_row_beyond_the_tolerance_is_enough() -> None:
    with pytest.raises(
        errors.EstimatorError, match="1 of 3 held-out rows differ by more than 1e-06, row 1 by"
    ):
        parities.difference(
            probable([0.1, 0.9, 0.3]), probable([0.1, 0.9001, 0.3]), Task.CLASSIFICATION, 1e-6
        )


def test_a_probability_that_is_no_number_is_beyond_the_tolerance() -> None:
    with pytest.raises(errors.EstimatorError, match="row 1 by nan"):
        parities.difference(probable([0.1, 0.9]), probable([0.1, np.nan]), Task.CLASSIFICATION, 1e-6)


def test_another_class_is_refused_however_close() -> None:
    with pytest.raises(errors.EstimatorError, match="another class, row 0 True instead of False"):
        parities.difference(
            probable([0.5], [False]), probable([0.5 + 1e-9], [True]), Task.CLASSIFICATION, 1e-6
        )


def test_numbers_are_held_to_their_size() -> None:
    def numbers(*values: float) -> Prediction:
        return Prediction(np.array(values), np.array(values))

    assert parities.difference(numbers(1e6, 0.0), numbers(1e6 + 0.5, 0.1), Task.REGRESSION, 1e-6) < 1e-6
    with pytest.raises(errors.EstimatorError, match="1 of 2"):
        parities.difference(numbers(1e6, 0.0), numbers(1e6, 1.0), Task.REGRESSION, 1e-6)
