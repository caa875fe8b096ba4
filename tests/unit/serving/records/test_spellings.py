"""Labels are understood however a class is spelled, and the others are named once, with where they stand."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from pilotage.core.artifacts import Model, ModelFormat, Scalar
from pilotage.core.metrics import Task
from pilotage.serving.endpoints import Receipt
from pilotage.serving.records import spellings
from pilotage.serving.records.spellings import Unknown
from pilotage.serving.web import receipts, schemas


def model(classes: tuple[Scalar, ...], positive: Scalar | None = None) -> Model:
    digest = "0" * 64
    return Model(
        pilot="demo",
        digest=digest,
        format=ModelFormat.SKOPS,
        estimator="x",
        params={},
        seed=1,
        features=(),
        target="y",
        task=Task.CLASSIFICATION if classes else Task.REGRESSION,
        classes=classes,
        positive=positive,
        snapshot=digest,
        train_rows=1,
        test_rows=1,
        validation={},
        requirements=(),
        python="3.11",
        code=digest,
        created_at=datetime(2026, 3, 2, tzinfo=UTC),
    )


def test_unknown_labels_are_named_once_with_their_rows() -> None:
    given = ["no", "perhaps", " yes ", "never", "perhaps", "perhaps"]
    assert spellings.unknown(given, model(("no", "yes"), "yes")) == [
        Unknown("perhaps", rows=3, first=1),
        Unknown("never", rows=1, first=3),
    ]


@pytest.mark.parametrize(
    ("classes", "text"),
    [
        pytest.param((False, True), "TRUE", id="spreadsheet"),
        pytest.param((False, True), "1.0", id="float-of-a-boolean"),
        pytest.param((0, 1, 7), "7.0", id="float-of-a-whole-number"),
        pytest.param((0, 1), "true", id="word-of-a-number"),
        pytest.param((), "-1e-3", id="number"),
    ],
)
def test_other_spellings_are_understood(classes: tuple[Scalar, ...], text: str) -> None:
    assert spellings.unknown([text], model(classes)) == []


@pytest.mark.parametrize("text", ["3,14", "12 %", "inf", "nan", "much", ""])
def test_what_is_no_number_is_unknown_to_a_regression(text: str) -> None:
    assert spellings.unknown(["1", text], model(())) == [Unknown(text, rows=1, first=1)]


def test_positions_put_the_positive_class_last() -> None:
    read = spellings.reader(model(("bad", "good"), positive="bad"))
    assert (read("good"), read("bad")) == (0.0, 1.0)
    assert np.isnan(spellings.or_nan(read, "ugly"))


def test_a_receipt_shows_ten_and_counts_all() -> None:
    odd = tuple(Unknown(f"{place:02}" + "x" * 100, rows=2, first=place) for place in range(12))
    answer = receipts.document(Receipt(50, 3, odd, ("no", "yes")))
    assert schemas.Stored.model_validate(answer).unknown == 24
    assert [len(each["label"]) for each in answer["unknown_labels"]] == [60] * 10
    assert "24 of 50 labels are no class of version 3, which tells `no`, `yes`" in answer["detail"]


def test_a_receipt_without_doubts_says_nothing() -> None:
    answer = receipts.document(Receipt(2))
    assert answer == {"stored": 2, "version": None, "unknown": 0, "unknown_labels": [], "detail": None}
