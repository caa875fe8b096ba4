"""What a scorecard says of a model's reasons: what decides leads, and what is shown of rows is no key."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from tests.unit.components.tabular import columns, ingested, make_spec, write_csv
from tests.unit.core.explanations import explained_models
from tests.unit.serving import small_models

from pilotage.components.datasets import Dataset
from pilotage.components.measures import importances, reasons, scores
from pilotage.components.measures.scores import Outcomes
from pilotage.components.training import examples
from pilotage.core.artifacts import Explanations, RowKind
from pilotage.core.metrics import Task
from pilotage.core.models import Prediction, Predictor
from pilotage.core.specs.cards import Card

MODELS: dict[str, tuple[Any, int, bool, str]] = {
    "linear": (LogisticRegression(max_iter=500), 2, False, "roc_auc"),
    "trees": (HistGradientBoostingClassifier(max_iter=30), 2, True, "roc_auc"),
    "three classes": (HistGradientBoostingClassifier(max_iter=20), 3, True, "accuracy"),
    "numbers": (HistGradientBoostingRegressor(max_iter=30), 0, True, "neg_mean_absolute_error"),
    "neighbours": (KNeighborsClassifier(9), 2, False, "roc_auc"),
}


def dataset(classes: int) -> Dataset:
    columns, delay = explained_models.table()
    target: Any = delay
    if classes == 2:
        target = delay > np.median(delay)
    elif classes:
        edges = np.quantile(delay, np.linspace(0, 1, classes + 1)[1:-1])
        target = np.array(list("abc"), dtype=object)[np.digitize(delay, edges)]
    keys = np.array([f"key-{place}" for place in range(delay.size)], dtype=object)
    return Dataset(small_models.FEATURES, columns, target, keys=keys)


@cache
def told(name: str) -> tuple[Predictor, Dataset, Explanations]:
    """A fitted model, its rows, and what is told of it."""
    model, classes, trees, metric = MODELS[name]
    positive = True if classes == 2 else None
    predictor, profile = explained_models.fitted(model, classes, trees=trees, positive=positive)
    rest = dataset(classes)
    found = scores.outcomes(predictor, rest.frame(), rest.target)
    return predictor, rest, reasons.explain(predictor, profile, rest, found, metric, 3)


@pytest.mark.parametrize("name", MODELS)
def test_what_decides_leads_and_nothing_is_left_unsaid(name: str) -> None:
    _, rest, found = told(name)
    assert {item.feature for item in found.importances} == set(rest.columns)
    assert found.importances[0].feature in ("distance", "carrier")
    drops = [item.drop for item in found.importances]
    assert all(drop is not None and drop.low <= drop.value <= drop.high for drop in drops)  # type: ignore[operator]
    assert drops[0].low > 0  # type: ignore[operator, union-attr]
    assert found.exact == (name != "neighbours")
    sizes = [item.contribution for item in found.importances]
    assert all(sizes) == found.exact
    assert found.gaps == (
        () if found.exact else ("mean contributions: they are estimated for this model, not exact",)
    )


@pytest.mark.parametrize("name", MODELS)
def test_rows_are_taken_apart_as_a_server_would_and_add_up(name: str) -> None:
    predictor, rest, found = told(name)
    kinds = {row.kind for row in found.examples}
    assert RowKind.TYPICAL in kinds
    assert kinds <= set(RowKind)
    for row in found.examples:
        assert row.base + sum(row.contributions.values()) == pytest.approx(row.value, abs=1e-6)
        assert (row.kind is RowKind.WRONG) <= (row.truth != row.predicted)
        assert set(row.values) == set(rest.columns)
    if rest.target.dtype == bool:
        border = [row for row in found.examples if row.kind is RowKind.BORDERLINE]
        every = predictor.predict(rest.columns).score
        assert max(abs(row.score - 0.5) for row in border) <= np.sort(np.abs(every - 0.5))[2] + 1e-12


def test_no_key_is_in_what_is_told() -> None:
    assert "key-" not in told("trees")[2].model_dump_json()


def test_rows_are_left_out_where_the_pilot_says_so() -> None:
    predictor, profile = explained_models.fitted(
        LogisticRegression(max_iter=500), 2, trees=False, positive=True
    )
    rest = dataset(2)
    found = scores.outcomes(predictor, rest.frame(), rest.target)
    none = reasons.explain(predictor, profile, rest, found, "roc_auc", 3, hidden="they are nobody's business")
    assert none.examples == ()
    assert "example rows: they are nobody's business" in none.gaps
    assert none.importances[0].contribution is not None


@pytest.mark.parametrize("name", ["trees", "three classes", "numbers"])
def test_a_dependence_is_the_mean_answer_with_the_feature_set(name: str) -> None:
    predictor, rest, found = told(name)
    one = next(item for item in found.dependences if item.feature == "carrier")
    order = np.random.default_rng(3).permutation(rest.rows)[:200]
    part = rest.take(order)
    for value, mean, low, high in zip(one.values, one.means, one.low, one.high, strict=True):
        columns = {**part.columns, "carrier": np.full(part.rows, value, dtype=object)}
        said: Prediction = predictor.predict(columns)
        answers = said.score
        if found.dependence_of is not None and said.probabilities is not None:
            answers = said.probabilities[:, predictor.model.classes.index(found.dependence_of)]
        assert mean == pytest.approx(answers.mean())
        assert low <= mean <= high
    numbers = next(item for item in found.dependences if item.feature == "distance")
    assert numbers.ordered
    assert list(numbers.places) == sorted(numbers.places)
    assert (found.dependence_of is None) == (name == "numbers")


def test_an_estimator_that_fails_on_what_it_never_saw_leaves_gaps_and_no_error() -> None:
    predictor, profile = explained_models.fitted(
        LogisticRegression(max_iter=500), 2, trees=False, positive=True
    )
    rest = dataset(2)
    found = scores.outcomes(predictor, rest.frame(), rest.target)

    class Fragile:
        classes_ = np.array([False, True])

        def predict_proba(self, frame: Any) -> Any:
            raise RuntimeError("only the rows I know")

    broken = Predictor(Fragile(), predictor.model)
    none = reasons.explain(broken, profile, rest, found, "roc_auc", 3)
    assert none.examples == ()
    assert none.dependences == ()
    assert [gap.partition(":")[0] for gap in none.gaps] == [
        "permutation importances",
        "contributions",
        "partial dependence",
    ]
    assert "only the rows I know" in none.gaps[0]


def test_a_slow_model_is_asked_no_longer_than_the_budget() -> None:
    predictor, rest, _ = told("trees")
    drops = importances.measure(predictor, rest, "roc_auc", 0, budget_seconds=0.0)
    assert (drops.repeats, drops.by_feature) == (1, {})


def test_the_interval_of_an_importance_holds_what_many_repeats_agree_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predictor, rest, found = told("linear")
    monkeypatch.setattr(importances, "REPEATS", 60)
    many = importances.measure(predictor, rest, "roc_auc", 11, budget_seconds=60).by_feature
    few = {item.feature: item.drop for item in found.importances}
    for name, span in many.items():
        drop = few[name]
        assert drop is not None
        assert drop.low is not None
        assert drop.high is not None
        reach = drop.high - drop.low
        assert drop.low - reach < span.value < drop.high + reach


def test_rows_to_show_are_the_surest_of_the_wrong_and_the_least_sure_of_all() -> None:
    positive = np.array([0.95, 0.9, 0.52, 0.49, 0.1, 0.05, 0.8, 0.2, 0.99, 0.3])
    truth = np.array([1, 0, 1, 0, 0, 1, 1, 0, 1, 0])
    found = Outcomes(
        Task.CLASSIFICATION,
        truth,
        (positive > 0.5).astype(int),
        ("no", "yes"),
        np.column_stack([1 - positive, positive]),
        positive,
    )
    chosen = {kind: sorted(rows.tolist()) for kind, rows in reasons.choose(found)}
    assert chosen[RowKind.BORDERLINE] == [2, 3, 9]
    assert chosen[RowKind.WRONG] == [1, 5]
    assert set(chosen[RowKind.TYPICAL]).isdisjoint({1, 5})


@pytest.mark.parametrize(
    ("card", "personal", "expected"),
    [
        pytest.param({}, False, "", id="nobody's-rows"),
        pytest.param({}, True, "the source has personal data", id="somebody's-rows"),
        pytest.param({"example_rows": True}, True, "", id="wanted-all-the-same"),
        pytest.param({"example_rows": False}, False, "`card.example_rows` is false", id="not-wanted"),
    ],
)
def test_rows_of_people_are_shown_where_the_pilot_says_so_alone(
    tmp_path: Path, card: dict[str, bool], personal: bool, expected: str
) -> None:
    table = columns()
    if personal:
        table["email"] = [f"somebody{place}@mail.example" for place in range(60)]
    snapshot = ingested(tmp_path, write_csv(tmp_path / "rows.csv", table).name)
    spec = make_spec("rows.csv").model_copy(update={"card": Card.model_validate(card)})
    found = reasons.hidden(spec, snapshot)
    assert found.startswith(expected)
    assert bool(found) == bool(expected)


def test_the_example_of_a_models_input_is_typical_and_no_row() -> None:
    rows = dataset(2)
    example = examples.typical(rows)
    assert list(example.columns) == list(rows.frame().columns)
    assert example.dtypes.tolist() == rows.frame().dtypes.tolist()
    assert not (rows.frame().astype(str) == example.astype(str).iloc[0]).all(axis=1).any()
    rare = replace(
        rows,
        columns={
            name: np.array([f"one {place}" for place in range(rows.rows)], dtype=object)
            if column.dtype == object
            else np.full(rows.rows, np.nan)
            for name, column in rows.columns.items()
        },
    )
    assert examples.typical(rare).isna().all(axis=None), "a value of one row alone is not told"
