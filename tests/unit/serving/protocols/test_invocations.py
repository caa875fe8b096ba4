"""What MLflow's clients send is read as MLflow reads it, and nothing else is."""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.serving import small_models

from pilotage.core import errors
from pilotage.core.features import Columns
from pilotage.serving.limits import Limits
from pilotage.serving.problems import Problem
from pilotage.serving.protocols import invocations

JSON = "application/json"
MODEL = small_models.predictor().model
NAMES = [feature.name for feature in MODEL.features]
ROW = {"distance": 100.0, "carrier": "AA", "holiday": True, "bought": "2026-01-01T00:00:00"}
ONE = MODEL.model_copy(update={"features": MODEL.features[:1], "time": None, "key": None})


def read(document: Any, kind: str = JSON, model: Any = MODEL, limits: Limits | None = None) -> Columns:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return invocations.decode(body, kind, model, limits or Limits()).batch.columns


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"instances": {name: [value] for name, value in ROW.items()}}, id="instance-columns"),
        pytest.param({"inputs": ROW}, id="one-row-of-inputs"),
        pytest.param({"instances": ROW}, id="one-row-of-instances"),
        pytest.param({"dataframe_split": {"data": [list(ROW.values())]}}, id="no-columns"),
        pytest.param({"dataframe_split": {"columns": None, "data": [list(ROW.values())]}}, id="null-columns"),
        pytest.param(
            {"dataframe_split": {"index": ["x"], "columns": NAMES, "data": [list(ROW.values())]}}, id="index"
        ),
        pytest.param({"dataframe_records": [ROW], "client_request_id": "7"}, id="other-keys"),
        pytest.param({"dataframe_records": [{**ROW, "other": {}}], "params": {"k": 1}}, id="other-columns"),
    ],
)
def test_every_form_that_mlflow_takes_is_read(document: Any) -> None:
    columns = read(document)
    assert columns["distance"].tolist() == [100.0]
    assert columns["carrier"].tolist() == ["AA"]
    assert columns["holiday"].tolist() == [1.0]
    assert columns["bought"].tolist() == [np.datetime64("2026-01-01", "us").item()]


@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_the_values_of_a_models_only_feature_need_no_name(form: str) -> None:
    assert read({form: [1, 2.5]}, model=ONE)["distance"].tolist() == [1.0, 2.5]
    assert read({form: [[1], [2.5]]}, model=ONE)["distance"].tolist() == [1.0, 2.5]
    with pytest.raises(errors.RequestError, match="Row 0 is 1"):
        read({form: [1, 2.5]})


@pytest.mark.parametrize("form", ["dataframe_records", "instances", "inputs"])
def test_what_pandas_writes_for_missing_is_missing(form: str) -> None:
    rows = [{**ROW, "distance": float("nan"), "carrier": 'NaN "NaN', "bought": "NaT"}, {**ROW, "at": "NaT"}]
    columns = read({form: rows})
    assert np.isnan(columns["distance"]).tolist() == [True, False]
    assert np.isnat(columns["bought"]).tolist() == [True, False]
    assert columns["carrier"].tolist() == ['NaN "NaN', "AA"]
    by_name = {name: [row[name] for row in rows] for name in NAMES}
    for other in (
        {"inputs": by_name},
        {"dataframe_split": {"columns": NAMES, "data": list(zip(*by_name.values(), strict=True))}},
    ):
        found = read(other)
        assert np.isnat(found["bought"]).tolist() == [True, False]
        assert np.isnan(found["distance"]).tolist() == [True, False]


def test_a_category_may_be_called_nat() -> None:
    columns = read({"dataframe_records": [{**ROW, "carrier": "NaT"}]})
    assert columns["carrier"].tolist() == ["NaT"]


@given(st.text(alphabet='"\\N{}[],:a \n', max_size=40), st.text(alphabet='"\\Na', max_size=20))
def test_only_bare_nan_becomes_null(text: str, category: str) -> None:
    document = {"dataframe_records": [{**ROW, "distance": float("nan"), "carrier": category + "NaN" + text}]}
    columns = read(document)
    assert columns["carrier"].tolist() == [category + "NaN" + text]
    assert np.isnan(columns["distance"]).all()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"inputs": [Infinity, NaN]}', id="infinity"),
        pytest.param(b'{"inputs": [-NaN]}', id="minus"),
        pytest.param(b'{"inputs": [xNaN]}', id="prefix"),
        pytest.param(b'"NaN', id="open-text"),
        pytest.param(b'{"inputs": NaN', id="cut"),
    ],
)
def test_what_is_not_json_but_for_nan_is_refused(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        read(body)
    assert caught.value.status is HTTPStatus.BAD_REQUEST


def test_looking_for_nan_takes_no_longer_for_hostile_text() -> None:
    body = b'NaN"' + b'\\"' * 500_000
    began = time.perf_counter()
    with pytest.raises(Problem):
        read(body)
    assert time.perf_counter() - began < 20, "linear takes milliseconds, quadratic minutes"


@pytest.mark.parametrize(
    "kind",
    [
        "application/json; format=pandas-split",
        "text/csv; header=present",
        "text/csv; charset=latin-1",
        "application/json; charset=utf-16",
        "application/vnd.apache.parquet",
        "application/xml",
        "",
    ],
)
def test_content_types_that_mlflow_does_not_take_are_refused(kind: str) -> None:
    with pytest.raises(Problem) as caught:
        read({"inputs": [ROW]}, kind)
    assert caught.value.status is HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert caught.value.document()["error_code"] == "BAD_REQUEST"


@pytest.mark.parametrize(
    "kind", ["application/json;charset=UTF-8", 'application/json; charset="utf-8"', "APPLICATION/JSON;"]
)
def test_a_charset_that_is_utf8_may_be_named(kind: str) -> None:
    assert read({"inputs": [ROW]}, kind)["distance"].tolist() == [100.0]


def test_missing_fields_of_csv_are_pandas_own() -> None:
    body = b"distance,carrier,holiday,bought\nNA,NA,,NaT\n<NA>,,null,\n"
    columns = read(body, "text/csv")
    assert np.isnan(columns["distance"]).all()
    assert np.isnan(columns["holiday"]).all()
    assert np.isnat(columns["bought"]).all()
    assert columns["carrier"].tolist() == ["NA", None]


def test_csv_is_read_no_further_than_its_rows_are_taken() -> None:
    head = b"distance,carrier,holiday,bought\n"
    with pytest.raises(Problem) as caught:
        read(head + b"1,a,true,\n" * 11 + b'"' * 5, "text/csv", limits=Limits(rows=10))
    assert caught.value.status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert (
        len(read(head + b"\n" * 1000 + b"1,a,true,\n" * 10, "text/csv", limits=Limits(rows=10))["distance"])
        == 10
    )
