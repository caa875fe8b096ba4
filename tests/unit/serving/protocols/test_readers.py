"""What a reader takes, the codec reads to the same columns; what it does not take is left to the codec."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.serving import small_models

from pilotage.core.artifacts import Feature, Model
from pilotage.core.specs import FeatureKind
from pilotage.serving.limits import Limits
from pilotage.serving.problems import Problem
from pilotage.serving.protocols import codecs
from pilotage.serving.protocols.readers import Reader

MODEL = small_models.predictor(trained=50).model
LIMITS = Limits(rows=50)
ROWS = small_models.rows(5)


def reader(model: Model = MODEL, envelope: str = "rows", takes_ids: bool = True) -> Reader:
    return Reader(model, LIMITS, envelope, takes_ids=takes_ids)


def assert_same(body: bytes, model: Model = MODEL) -> None:
    """The reader's columns, ids and times are the codec's."""
    quick = reader(model)
    rows = quick.read(body)
    assert rows is not None
    batch = codecs.rows(body, "application/json", model, LIMITS).batch
    columns = quick.columns(rows.values)
    assert columns.keys() == batch.columns.keys()
    for name, column in batch.columns.items():
        assert columns[name].dtype == column.dtype
        np.testing.assert_array_equal(columns[name], column)
    assert rows.ids == batch.ids
    times = quick.times(rows.values)
    assert (times is None) == (batch.times is None)
    if times is not None:
        np.testing.assert_array_equal(times, batch.times)


_TIMES = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)).flatmap(  # noqa: DTZ001
    lambda naive: st.sampled_from(
        [
            naive.isoformat(),
            naive.replace(tzinfo=UTC).isoformat(),
            naive.replace(tzinfo=timezone(timedelta(hours=-5))).isoformat(),
        ]
    )
)
_ROWS = st.fixed_dictionaries(
    {
        "distance": st.none()
        | st.integers(-(2**70), 2**70)
        | st.floats(allow_nan=False, allow_infinity=False),
        "carrier": st.none() | st.text(st.characters(codec="utf-8")),
        "holiday": st.none() | st.booleans(),
        "bought": st.none() | _TIMES,
    },
    optional={
        "at": st.none() | _TIMES,
        "flight": st.none() | st.text(min_size=1) | st.integers(-(2**63), 2**64 - 1),
        "other": st.none() | st.integers() | st.lists(st.text()),
    },
)


@given(rows=st.lists(_ROWS, min_size=1, max_size=8))
def test_ordinary_rows_are_read_as_the_codec_reads_them(rows: list[dict[str, Any]]) -> None:
    body = json.dumps({"rows": rows}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if reader().read(body) is not None:
        assert_same(body)


def test_the_usual_rows_are_taken() -> None:
    assert_same(json.dumps({"rows": ROWS}).encode())
    assert_same(json.dumps({"rows": ROWS, "ids": [1, "b", None, "d", "e"]}).encode())
    assert_same(json.dumps({"ids": None, "rows": ROWS}).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"flight": 2**63},
        {"flight": -(2**63) - 1},
        pytest.param({"distance": "far"}, id="text-for-a-number"),
        pytest.param({"distance": True}, id="boolean-for-a-number"),
        pytest.param({"carrier": 7}, id="number-for-a-category"),
        pytest.param({"holiday": 1}, id="number-for-a-boolean"),
        pytest.param({"bought": "2026-01-01"}, id="date"),
        pytest.param({"bought": 5}, id="number-for-a-time"),
        pytest.param({"at": "soon"}, id="no-time"),
        pytest.param({"flight": ""}, id="empty-id"),
        pytest.param({"flight": True}, id="boolean-id"),
        pytest.param({"flight": 1.5}, id="broken-id"),
    ],
)
def test_what_is_unusual_or_wrong_is_left_to_the_codec(change: dict[str, Any]) -> None:
    assert reader().read(json.dumps({"rows": [{**ROWS[0], **change}]}).encode()) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"rows": []}',
        b'{"rows": {}}',
        b'{"rows": [{}]}',
        b"\xff",
        b'{"rows": [' + b'{"other": ' + b"[" * 100_000,
        json.dumps({"rows": ROWS, "more": 1}).encode(),
        json.dumps({"rows": ROWS, "ids": ["a"]}).encode(),
        json.dumps({"rows": ROWS}).encode()[:-1],
        json.dumps({"rows": ROWS}).encode("utf-16"),
    ],
)
def test_any_other_body_is_left_to_the_codec(body: bytes) -> None:
    assert reader().read(body) is None


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(Problem, match="51"):
        reader().read(json.dumps({"rows": [ROWS[0]] * 51}).encode())


def test_another_envelope_may_have_no_ids() -> None:
    body = json.dumps({"dataframe_records": ROWS}).encode()
    quick = reader(envelope="dataframe_records", takes_ids=False)
    rows = quick.read(body)
    assert rows is not None
    assert rows.ids == [row["flight"] for row in ROWS]
    assert quick.read(json.dumps({"dataframe_records": ROWS, "ids": None}).encode()) is None


def test_names_that_are_no_identifiers_and_a_time_that_is_a_feature_are_read() -> None:
    names = ["with space", "class", "f1", "é", "a.b", "at"]
    kinds = [FeatureKind.NUMBER] * 5 + [FeatureKind.TIME]
    features = tuple(Feature(name=name, kind=kind) for name, kind in zip(names, kinds, strict=True))
    model = MODEL.model_copy(update={"features": features})
    values = [1.0, 2, None, 4.5, -1]
    row = dict(zip(names, [*values, "2026-01-05T00:00:00Z"], strict=True))
    assert Reader.fits(model)
    assert_same(json.dumps({"rows": [row, row]}).encode(), model)


def test_a_key_or_time_that_is_a_feature_of_another_kind_does_not_fit() -> None:
    number = (Feature(name="at", kind=FeatureKind.NUMBER),)
    assert not Reader.fits(MODEL.model_copy(update={"features": number}))
    key = (Feature(name="flight", kind=FeatureKind.NUMBER),)
    assert not Reader.fits(MODEL.model_copy(update={"features": key}))
