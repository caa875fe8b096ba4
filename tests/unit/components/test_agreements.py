"""Which rows go both ways, and what counts as a difference between training and serving."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from tests.unit.components.tabular import ingested, make_settings

from pilotage.components import agreements, datasets
from pilotage.core import features
from pilotage.core.artifacts import Feature, Model, ModelFormat, Snapshot
from pilotage.core.features import Columns
from pilotage.core.metrics import Task
from pilotage.core.models import Predictor
from pilotage.core.specs import FeatureKind

ROWS = 400


def table() -> pl.DataFrame:
    """Rows with what is likely to differ: gaps, rare categories, extremes, times, codes of every type."""
    rng = np.random.default_rng(0)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    lacks = rng.random(ROWS) < 0.1

    def gappy(values: Any) -> list[Any]:
        return [None if gone else value for gone, value in zip(lacks, values, strict=True)]

    return pl.DataFrame(
        {
            "size": gappy((rng.normal(size=ROWS) * 10.0 ** rng.integers(-30, 30, ROWS)).tolist()),
            "big": [2**53 + 1 + place for place in range(ROWS)],
            "code": rng.integers(0, 5, ROWS),
            "share": rng.integers(0, 4, ROWS) / 4,
            "colour": gappy([*rng.choice(["rot", "grün", "1.0", "true"], ROWS - 1).tolist(), "only once"]),
            "member": gappy((rng.random(ROWS) < 0.5).tolist()),
            "flag": rng.random(ROWS) < 0.5,
            "day": [(start + timedelta(days=int(day))).date() for day in rng.integers(-9_000, 9_000, ROWS)],
            "at": gappy([start + timedelta(microseconds=int(span)) for span in rng.integers(0, 2**40, ROWS)]),
            "y": rng.choice(["no", "yes"], ROWS),
        }
    )


KINDS = {
    "size": "number", "big": "number", "code": "category", "share": "category", "colour": "category",
    "member": "boolean", "flag": "number", "day": "time", "at": "time",
}  # fmt: skip


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A snapshot, its rows, and a function that holds an estimator against them."""
    table().write_parquet(tmp_path / "t.parquet")
    snapshot = ingested(tmp_path, "t.parquet", features=KINDS)
    rows = datasets.load(make_settings(tmp_path), snapshot)

    def check(estimator: Any, task: Task = Task.CLASSIFICATION) -> str:
        model = described(snapshot, task)
        model.write(tmp_path / "model" / "pilotage")
        monkeypatch.setattr(agreements, "_load", lambda folder, settings: Predictor(estimator, model))
        return agreements.check(make_settings(tmp_path), snapshot, tmp_path / "model", np.arange(ROWS), rows)

    return check


def described(snapshot: Snapshot, task: Task) -> Model:
    return Model(
        pilot="trial",
        digest="0" * 64,
        format=ModelFormat.PICKLE,
        estimator="own:build",
        params={},
        seed=1,
        features=snapshot.features,
        target="y",
        task=task,
        classes=("no", "yes") if task is Task.CLASSIFICATION else (),
        positive="yes" if task is Task.CLASSIFICATION else None,
        snapshot=snapshot.digest,
        train_rows=1,
        test_rows=1,
        validation={},
        requirements=(),
        python="3",
        code="0" * 64,
        created_at=datetime.now(UTC),
    )


class Shares(ClassifierMixin, BaseEstimator):
    """Gives the probabilities that a function makes of a frame."""

    classes_ = np.array(["no", "yes"])

    def __init__(self, function: Any) -> None:
        self.function = function

    def predict_proba(self, frame: Any) -> Any:
        found = np.asarray(self.function(frame), dtype=np.float64)
        return np.column_stack([1 - found, found])


class Choices(ClassifierMixin, BaseEstimator):
    """Gives classes, or numbers, and no probabilities."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def predict(self, frame: Any) -> Any:
        return np.asarray(self.function(frame))


class Amounts(RegressorMixin, Choices):
    """The same for regression."""


def test_an_estimator_that_looks_at_each_row_alone_agrees(stored):
    assert stored(Shares(lambda frame: (frame["code"] == "3") * 0.5)) == agreements.NONE
    assert stored(Choices(lambda frame: np.where(frame["member"] == 1, "yes", "no"))) == agreements.NONE
    assert stored(Amounts(lambda frame: frame["size"].fillna(0)), Task.REGRESSION) == agreements.NONE


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda frame: frame["colour"].astype("category").cat.codes / 10, id="codes of a batch"),
        pytest.param(lambda frame: frame["big"].rank(pct=True), id="ranks of a batch"),
        pytest.param(lambda frame: frame["member"].ffill().fillna(0.5), id="filled from the row before"),
        pytest.param(lambda frame: np.random.default_rng().random(len(frame)), id="at random"),
    ],
)
def test_an_answer_that_depends_on_the_other_rows_is_found_with_row_and_both_values(stored, function):
    found = stored(Shares(function))
    assert found.startswith("found: the stored model says ")
    assert " of row " in found
    assert found.count("score of ") == 2
    assert "from the same features" in found


def test_an_estimator_that_cannot_answer_one_row_is_found(stored):
    def fails(frame: Any) -> Any:
        if len(frame) == 1:
            raise ValueError("too few rows")
        return np.full(len(frame), "yes")

    assert "fails alone in serving: ValueError: too few rows" in stored(Choices(fails))
    assert "1 rows" in stored(Amounts(lambda frame: np.zeros(max(2, len(frame)))), Task.REGRESSION)


def test_classes_and_numbers_that_differ_are_told_without_probabilities(stored):
    found = stored(Choices(lambda frame: np.where(np.arange(len(frame)) % 2 == 0, "yes", "no")))
    assert "'yes'" in found
    assert "'no'" in found
    found = stored(Amounts(lambda frame: np.arange(len(frame)) * 1.0), Task.REGRESSION)
    assert "the stored model says" in found
    assert stored(Amounts(lambda frame: np.full(len(frame), np.nan)), Task.REGRESSION).startswith("found: ")


def test_a_feature_that_serving_reads_otherwise_is_found_with_both_values(stored, monkeypatch):
    honest = features.from_rows

    def numbers_as_text(wanted: Any, rows: Any) -> Columns:
        columns = honest(wanted, rows)
        columns["code"] = np.array(
            [None if v is None else f"{float(v)}" for v in columns["code"]], dtype=object
        )
        return columns

    monkeypatch.setattr(features, "from_rows", numbers_as_text)
    found = stored(Shares(lambda frame: np.full(len(frame), 0.5)))
    assert found.startswith("found: feature `code` of row 0 of the snapshot is ")
    assert ".0' (object) in serving" in found


def test_a_value_that_serving_refuses_is_found(stored, monkeypatch):
    monkeypatch.setattr(agreements, "_plain", lambda value, kind: str(value))
    found = stored(Shares(lambda frame: np.full(len(frame), 0.5)))
    assert "found: feature `size` of row 0 of the snapshot is " in found
    assert "serving refuses '" in found


def test_a_model_that_cannot_be_loaded_is_found(tmp_path):
    table().write_parquet(tmp_path / "t.parquet")
    snapshot = ingested(tmp_path, "t.parquet", features=KINDS)
    described(snapshot, Task.CLASSIFICATION).write(tmp_path / "model" / "pilotage")
    rows = datasets.load(make_settings(tmp_path), snapshot)
    found = agreements.check(make_settings(tmp_path), snapshot, tmp_path / "model", np.arange(ROWS), rows)
    assert found.startswith("found: the stored model cannot be loaded: NotFound")


def test_odd_rows_are_among_those_that_go_both_ways():
    rng = np.random.default_rng(0)
    size, colour = rng.normal(size=5_000), np.array(["red"] * 5_000, dtype=object)
    at = np.datetime64("2026-01-01", "us") + rng.permutation(5_000) * np.timedelta64(1, "h")
    size[17], colour[4_321], colour[99], at[1_234] = np.nan, "once", None, np.datetime64("NaT")
    columns = {"size": size, "colour": colour, "at": at}
    chosen = agreements.choose(columns, 256)
    assert 200 <= chosen.size <= 256
    assert (np.diff(chosen) > 0).all()
    odd = {
        17,
        4_321,
        99,
        1_234,
        int(np.nanargmax(size)),
        int(np.nanargmin(size)),
        int(np.argmax(at == at[~np.isnat(at)].max())),
    }
    assert odd <= set(chosen.tolist())
    assert agreements.choose({"size": size[:40]}, 256).tolist() == list(range(40))


@given(st.integers(1, 700), st.integers(1, 40))
def test_never_more_rows_than_asked_for_and_none_twice(rows, width):
    values = np.random.default_rng(rows).integers(0, 50, (width, rows)).astype(np.float64)
    chosen = agreements.choose({f"c{place}": column for place, column in enumerate(values)}, 100)
    assert min(rows, 50) <= chosen.size <= 100
    assert np.unique(chosen).size == chosen.size
    assert chosen.max() < rows


def test_every_kind_of_every_type_takes_both_ways(tmp_path):
    wanted = [Feature(name=name, kind=FeatureKind(kind)) for name, kind in KINDS.items()]
    arrow = table().to_arrow()
    sent = agreements._as_json(arrow, wanted)
    served, trained = features.from_rows(wanted, sent), features.from_table(wanted, arrow)
    for feature in wanted:
        left, right = trained[feature.name], served[feature.name]
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
