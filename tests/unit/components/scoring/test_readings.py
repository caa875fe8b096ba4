"""What a value in a file stands for, as it did in the snapshot, and which row is refused."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pilotage.components.scoring.readings import Reader
from pilotage.components.sources.batches import Batch, Texts
from pilotage.core import errors
from pilotage.core.artifacts import ColumnType, Feature
from pilotage.core.specs import FeatureKind


def read(
    values: Any,
    kind: FeatureKind,
    *,
    stored: ColumnType | None = None,
    texts: Texts = Texts.TEXT,
    first: int = 1,
    open_ended: bool = False,
    name: str = "x",
) -> list[Any]:
    """The values as the model gets them."""
    array = values if isinstance(values, pa.Array) else pa.array(values)
    reader = Reader(
        (Feature(name="x", kind=kind),), {} if stored is None else {"x": stored}, texts, open_ended
    )
    batch = Batch(pa.RecordBatch.from_arrays([array], names=[name]), "`rows.csv`", first)
    found: list[Any] = reader.columns(batch)["x"].tolist()
    return found


def from_csv(values: list[str], kind: FeatureKind, **options: Any) -> list[Any]:
    return read(values, kind, texts=Texts.ANYTHING, **options)


NAN = pytest.approx(float("nan"), nan_ok=True)


def test_numbers_of_any_spelling_are_numbers() -> None:
    assert from_csv(["1", " 2.5 ", "1e3", "", "NA", "-0"], FeatureKind.NUMBER) == [1, 2.5, 1000, NAN, NAN, 0]
    assert read([1, None, 3], FeatureKind.NUMBER) == [1.0, NAN, 3.0]
    assert read(pa.array([1.5, float("nan")]), FeatureKind.NUMBER) == [1.5, NAN]
    assert read([True, False, None], FeatureKind.NUMBER) == [1.0, 0.0, NAN]


def test_truth_is_spelled_or_counted() -> None:
    assert from_csv(["true", "FALSE", "1", "0", ""], FeatureKind.BOOLEAN) == [1, 0, 1, 0, NAN]
    assert read([True, None], FeatureKind.BOOLEAN) == [1.0, NAN]


@pytest.mark.parametrize(
    ("values", "stored", "expected"),
    [
        (["1", "01", "x", ""], ColumnType.TEXT, ["1", "01", "x", None]),
        (["1", "01", "x", ""], ColumnType.INTEGER, ["1", "1", "x", None]),
        (["1.0", "2.50", "x"], ColumnType.NUMBER, ["1", "2.5", "x"]),
        (["True", "FALSE", "perhaps"], ColumnType.BOOLEAN, ["true", "false", "perhaps"]),
        (["AA", " AA "], None, ["AA", "AA"]),
    ],
)
def test_a_categorys_text_stands_for_what_it_stood_for_in_training(
    values: list[str], stored: ColumnType | None, expected: list[str | None]
) -> None:
    assert from_csv(values, FeatureKind.CATEGORY, stored=stored) == expected


def test_typed_categories_are_spelled_as_in_requests() -> None:
    assert read([1, None, 2], FeatureKind.CATEGORY) == ["1", None, "2"]
    assert read([1.0, 2.5, None], FeatureKind.CATEGORY) == ["1", "2.5", None]
    assert read([True, False], FeatureKind.CATEGORY) == ["true", "false"]
    assert read([date(2024, 1, 2)], FeatureKind.CATEGORY) == ["2024-01-02"]
    assert read(pa.array(["a", None]).dictionary_encode(), FeatureKind.CATEGORY) == ["a", None]


def test_times_are_instants_in_utc() -> None:
    expected = [datetime(2024, 3, 4, 5, 6), datetime(2024, 3, 4), None]  # noqa: DTZ001 - as NumPy has them
    assert from_csv(["2024-03-04T06:06+01:00", "2024-03-04", ""], FeatureKind.TIME) == expected
    assert read([date(2024, 3, 4), None], FeatureKind.TIME) == [expected[1], None]
    zoned = pa.array([1_709_528_760_000_000], pa.timestamp("us", tz="Europe/Berlin"))
    assert read(zoned, FeatureKind.TIME) == [expected[0]]


@pytest.mark.parametrize("kind", list(FeatureKind))
def test_a_column_of_nothing_is_missing_values(kind: FeatureKind) -> None:
    counted = kind in (FeatureKind.NUMBER, FeatureKind.BOOLEAN)
    expected = [NAN] * 3 if counted else [None] * 3
    assert read(pa.nulls(3), kind) == expected
    assert from_csv(["", "", ""], kind) == expected


@pytest.mark.parametrize(
    ("values", "kind", "row"),
    [
        (["1", "x"], FeatureKind.NUMBER, 12),
        (["inf", "1"], FeatureKind.NUMBER, 11),
        (["1", "", "true"], FeatureKind.NUMBER, 13),
        (["true", "2"], FeatureKind.BOOLEAN, 12),
        (["2024-01-01", "2024-02-30"], FeatureKind.TIME, 12),
        (["2024-01-01", "soon"], FeatureKind.TIME, 12),
    ],
)
def test_the_first_row_that_is_wrong_is_named(values: list[str], kind: FeatureKind, row: int) -> None:
    with pytest.raises(errors.DataError) as caught:
        from_csv(values, kind, first=11)
    assert caught.value.details == {"file": "`rows.csv`", "row": row, "column": "x"}
    assert f"Row {row} of `rows.csv` has {values[row - 11]!r} in column `x`" in caught.value.message


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([date(2024, 1, 1)]), FeatureKind.NUMBER),
        (pa.array([1]), FeatureKind.TIME),
        (pa.array([[1]]), FeatureKind.CATEGORY),
        (pa.array([b"x"]), FeatureKind.CATEGORY),
    ],
)
def test_a_type_that_cannot_be_meant_is_refused(values: Any, kind: FeatureKind) -> None:
    with pytest.raises(errors.DataError, match=r"Column `x` of `rows.csv` is of type"):
        read(values, kind)


def test_infinite_numbers_of_a_typed_column_are_refused_too() -> None:
    with pytest.raises(errors.DataError, match=r"Row 2 .* has inf"):
        read(pa.array([1.0, np.inf]), FeatureKind.NUMBER)


def test_a_column_may_be_absent_where_every_row_names_its_own() -> None:
    assert read([1], FeatureKind.NUMBER, open_ended=True, name="other") == [NAN]
    with pytest.raises(errors.DataError, match="has no column `x`"):
        read([1], FeatureKind.NUMBER, name="other")


def test_a_long_value_is_shown_shortened() -> None:
    with pytest.raises(errors.DataError) as caught:
        from_csv(["x" * 5000], FeatureKind.NUMBER)
    assert len(caught.value.message) < 250


def test_keys_are_text_whatever_they_were() -> None:
    reader = Reader((), {}, Texts.TEXT, open_ended=False)
    for values, expected in (
        ([1, None], ["1", None]),
        (["a", "b"], ["a", "b"]),
        ([date(2024, 1, 2)], ["2024-01-02"]),
    ):
        batch = Batch(pa.RecordBatch.from_arrays([pa.array(values)], names=["key"]), "`rows`", 1)
        assert reader.keys("key", batch).to_pylist() == expected
