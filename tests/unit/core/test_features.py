"""The same value becomes the same cell of a column, from a row and from a table."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.core import errors, features
from pilotage.core.artifacts import Feature
from pilotage.core.specs import FeatureKind

NUMBER = Feature(name="n", kind=FeatureKind.NUMBER)
BOOLEAN = Feature(name="b", kind=FeatureKind.BOOLEAN)
CATEGORY = Feature(name="c", kind=FeatureKind.CATEGORY)
TIME = Feature(name="t", kind=FeatureKind.TIME)

VALUES = {
    FeatureKind.NUMBER: st.none()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**53), 2**53),
    FeatureKind.BOOLEAN: st.none() | st.booleans(),
    FeatureKind.CATEGORY: st.none() | st.text(),
    FeatureKind.TIME: st.none() | st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)),  # noqa: DTZ001
}


@pytest.mark.parametrize("feature", [NUMBER, BOOLEAN, CATEGORY, TIME], ids=lambda feature: feature.kind)
@given(data=st.data())
def test_rows_and_tables_give_the_same_column(feature: Feature, data: st.DataObject) -> None:
    values = data.draw(st.lists(VALUES[feature.kind], min_size=1, max_size=20))
    if feature.kind is FeatureKind.NUMBER:
        values = [None if value is None else float(value) for value in values]  # type: ignore[arg-type]
    types = {
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "category": pa.string(),
        "time": pa.timestamp("us"),
    }
    try:
        table = pa.table({feature.name: pa.array(values, type=types[feature.kind])})
    except UnicodeEncodeError:
        return  # a lone surrogate, which no file can hold
    sent = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    by_rows = features.from_rows([feature], [{feature.name: value} for value in sent])[feature.name]
    by_table = features.from_table([feature], table)[feature.name]
    assert by_rows.dtype == by_table.dtype
    assert [repr(value) for value in by_rows.tolist()] == [repr(value) for value in by_table.tolist()]


@pytest.mark.parametrize(
    "value", [1, 1.0, "1", np.int64(1), np.float64(1)], ids=lambda value: type(value).__name__
)
def test_a_whole_number_is_one_category_however_it_is_written(value: object) -> None:
    assert features.category_text(value) == "1"


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (1.5, "1.5"), (math.nan, None), (None, None), (date(2020, 1, 2), "2020-01-02")],
)
def test_categories_have_one_text(value: object, text: str | None) -> None:
    assert features.category_text(value) == text


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        (NUMBER, "1"),
        (NUMBER, True),
        (NUMBER, math.inf),
        (NUMBER, 10**400),
        (NUMBER, [1]),
        (BOOLEAN, "true"),
        (BOOLEAN, 2),
        (CATEGORY, ["x"]),
        (CATEGORY, {"x": 1}),
        (TIME, 20130101),
        (TIME, "yesterday"),
    ],
    ids=str,
)
def test_a_mistyped_value_is_named_with_its_position(feature: Feature, value: object) -> None:
    rows = [{feature.name: None}, {feature.name: value}]
    with pytest.raises(errors.RequestError) as caught:
        features.from_rows([feature], rows)  # type: ignore[arg-type]
    assert caught.value.details == {"row": 1, "feature": feature.name}
    assert f"`{feature.name}`" in caught.value.message


def test_a_missing_feature_is_named_with_its_position() -> None:
    with pytest.raises(errors.RequestError, match="Row 1 lacks feature `c`"):
        features.from_rows([NUMBER, CATEGORY], [{"n": 1, "c": "x"}, {"n": 1}])


def test_a_row_that_is_no_object_is_named() -> None:
    with pytest.raises(errors.RequestError, match="Row 0 is 3"):
        features.from_rows([NUMBER], [3])  # type: ignore[list-item]


def test_times_with_and_without_an_offset_are_utc() -> None:
    assert features.parse_time("2013-01-01T05:00:00+05:00") == datetime(2013, 1, 1, tzinfo=UTC)
    assert features.parse_time("2013-01-01") == datetime(2013, 1, 1, tzinfo=UTC)
    local = datetime(2013, 1, 1, 5, tzinfo=timezone(timedelta(hours=5)))
    assert features.parse_time(local) == datetime(2013, 1, 1, tzinfo=UTC)


def test_a_vanished_column_is_named() -> None:
    with pytest.raises(errors.DataError, match="no column `n`"):
        features.from_table([NUMBER], pa.table({"m": [1]}))


def test_words_are_no_numbers() -> None:
    with pytest.raises(errors.DataError, match="Column `n` of type string"):
        features.from_table([NUMBER], pa.table({"n": ["1", "x"]}))


def test_a_frame_keeps_missing_categories_as_none() -> None:
    columns = features.from_rows([CATEGORY, NUMBER], [{"c": "x", "n": 1}, {"c": None, "n": None}])
    frame = features.to_frame(columns)
    assert frame["c"].dtype == object
    assert frame["c"].tolist() == ["x", None]
