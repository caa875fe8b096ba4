"""Requests in every protocol give the model's own answer, or an error that names what is wrong."""

from __future__ import annotations

import dataclasses
import json
import time
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.serving import small_models

from pilotage.core import errors, features
from pilotage.core.models import Prediction, Predictor
from pilotage.serving.inference.planes import DataPlane
from pilotage.serving.inference.works import Request
from pilotage.serving.problems import Problem
from pilotage.serving.protocols import codecs, invocations, tensors
from pilotage.serving.protocols.batches import Codec
from pilotage.serving.versions.champions import Follower
from pilotage.serving.versions.lives import Live

JSON = "application/json"
ROWS = small_models.rows(5)
NAMES = [feature.name for feature in small_models.FEATURES]


def ask(plane: DataPlane, codec: Codec, document: Any, kind: str = JSON, version: str | None = None) -> Any:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return json.loads(plane.infer(Request(body, kind, codec, time.perf_counter(), version)).body)


def expected(live: Live, rows: list[dict[str, Any]] = ROWS) -> Prediction:
    return live.predictor.predict(features.from_rows(small_models.FEATURES, rows))


def tensor(name: str, datatype: str, rows: list[dict[str, Any]] = ROWS) -> dict[str, Any]:
    data = [row[name] for row in rows]
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data}


def infer_request(rows: list[dict[str, Any]] = ROWS) -> dict[str, Any]:
    kinds = {"distance": "FP64", "carrier": "BYTES", "holiday": "BOOL", "bought": "BYTES"}
    return {"id": "q", "inputs": [tensor(name, kind, rows) for name, kind in kinds.items()]}


def test_predict_gives_the_models_predictions_and_the_rows_keys(plane: DataPlane, live: Live) -> None:
    answer = ask(plane, codecs.rows, {"rows": ROWS})
    said = expected(live)
    assert answer["predictions"] == said.predictions.tolist()
    assert said.probabilities is not None
    np.testing.assert_allclose(answer["probabilities"], said.probabilities)
    assert (answer["model"], answer["version"], answer["classes"]) == ("flights", 1, [False, True])
    assert answer["ids"] == [row["flight"] for row in ROWS]


def test_ids_of_the_request_come_before_the_key(plane: DataPlane) -> None:
    assert ask(plane, codecs.rows, {"rows": ROWS[:2], "ids": [7, "x"]})["ids"] == ["7", "x"]


def test_rows_without_ids_have_none(plane: DataPlane) -> None:
    row = {name: ROWS[0][name] for name in NAMES}
    assert ask(plane, codecs.rows, {"rows": [row]})["ids"] is None


def test_regression_has_no_probabilities(plane: DataPlane, follower: Follower, live_regression: Live) -> None:
    follower.live = live_regression
    answer = ask(plane, codecs.rows, {"rows": ROWS})
    np.testing.assert_allclose(answer["predictions"], expected(live_regression).predictions)
    assert "probabilities" not in answer
    assert ask(plane, tensors.decode, infer_request())["outputs"][0]["datatype"] == "FP64"


def split_form(rows: list[dict[str, Any]]) -> dict[str, Any]:
    names = NAMES[::-1]
    return {"dataframe_split": {"columns": names, "data": [[row[name] for name in names] for row in rows]}}


def csv_form(rows: list[dict[str, Any]]) -> bytes:
    lines = [",".join(NAMES)]
    lines += [",".join("" if row[name] is None else str(row[name]) for name in NAMES) for row in rows]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"dataframe_records": ROWS}, id="records"),
        pytest.param(split_form(ROWS), id="split"),
        pytest.param({"instances": ROWS}, id="instances"),
        pytest.param({"instances": [[row[name] for name in NAMES] for row in ROWS]}, id="instance-lists"),
        pytest.param({"inputs": {name: [row[name] for row in ROWS] for name in NAMES}}, id="inputs"),
        pytest.param({"inputs": {name: [[row[name]] for row in ROWS] for name in NAMES}}, id="inputs-nested"),
        pytest.param({"inputs": ROWS}, id="input-rows"),
    ],
)
def test_every_form_of_an_invocation_gives_the_same(plane: DataPlane, live: Live, document: Any) -> None:
    said = expected(live).predictions.tolist()
    assert ask(plane, invocations.decode, document) == {"predictions": said}


def test_an_invocation_in_csv_gives_the_same(plane: DataPlane, live: Live) -> None:
    said = expected(live, small_models.rows(20)).predictions.tolist()
    body = csv_form(small_models.rows(20))
    assert ask(plane, invocations.decode, body, "text/csv; charset=utf-8") == {"predictions": said}


@pytest.mark.parametrize("params", [None, {}, {"temperature": 1}])
def test_an_invocation_may_have_params_without_effect(plane: DataPlane, live: Live, params: Any) -> None:
    said = expected(live).predictions.tolist()
    assert ask(plane, invocations.decode, {"inputs": ROWS, "params": params}) == {"predictions": said}


def test_csv_that_names_a_column_twice_or_groups_digits_by_underscores_is_refused(plane: DataPlane) -> None:
    head, *lines = csv_form(small_models.rows(2)).decode().splitlines()
    twice = "\n".join([head + ",carrier", *(line + ",AA" for line in lines)]).encode()
    with pytest.raises(errors.RequestError, match="`carrier` comes twice"):
        ask(plane, invocations.decode, twice, "text/csv")
    grouped = b"distance,carrier,holiday,bought\n1_000,AA,true,\n"
    with pytest.raises(errors.RequestError, match="Row 0: feature `distance` is '1_000'"):
        ask(plane, invocations.decode, grouped, "text/csv")


def test_tensors_give_the_same(plane: DataPlane, live: Live) -> None:
    answer = ask(plane, tensors.decode, infer_request())
    said = expected(live)
    assert said.probabilities is not None
    prediction, probabilities = answer["outputs"]
    assert prediction == {
        "name": "prediction",
        "shape": [5],
        "datatype": "BOOL",
        "data": said.predictions.tolist(),
    }
    assert probabilities["shape"] == [5, 2]
    np.testing.assert_allclose(probabilities["data"], said.probabilities.ravel())
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("q", "flights", "1")


def test_only_the_outputs_asked_for_are_given(plane: DataPlane) -> None:
    answer = ask(plane, tensors.decode, {**infer_request(), "outputs": [{"name": "probabilities"}]})
    assert [output["name"] for output in answer["outputs"]] == ["probabilities"]


def changed(name: str, position: int, value: Any) -> list[dict[str, Any]]:
    return [{**row, name: value} if at == position else row for at, row in enumerate(ROWS)]


def without(name: str, position: int) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if (at, key) != (position, name)}
        for at, row in enumerate(ROWS)
    ]


@pytest.mark.parametrize(
    ("rows", "feature", "row"),
    [
        pytest.param(changed("distance", 3, "far"), "distance", 3, id="text-for-a-number"),
        pytest.param(changed("distance", 1, True), "distance", 1, id="boolean-for-a-number"),
        pytest.param(changed("holiday", 2, "yes"), "holiday", 2, id="text-for-a-boolean"),
        pytest.param(changed("carrier", 0, {"a": 1}), "carrier", 0, id="object-for-a-category"),
        pytest.param(changed("bought", 4, "soon"), "bought", 4, id="no-time"),
        pytest.param(changed("at", 4, "soon"), "at", 4, id="no-event-time"),
        pytest.param(changed("flight", 4, [1]), "id", 4, id="list-for-a-key"),
        pytest.param(without("carrier", 2), "carrier", 2, id="missing"),
    ],
)
def test_a_wrong_row_is_refused_by_name_and_position(
    plane: DataPlane, rows: list[dict[str, Any]], feature: str, row: int
) -> None:
    with pytest.raises(errors.RequestError, match=f"Row {row}") as caught:
        ask(plane, codecs.rows, {"rows": rows})
    assert (caught.value.details["row"], caught.value.details["feature"]) == (row, feature)


@pytest.mark.parametrize(
    ("codec", "document", "message"),
    [
        pytest.param(codecs.rows, [], "is a list, expected an object", id="list"),
        pytest.param(codecs.rows, {}, "lacks `rows`", id="no-rows"),
        pytest.param(codecs.rows, {"rows": []}, "has no rows", id="empty"),
        pytest.param(codecs.rows, {"rows": {}}, "`rows` is an object", id="rows-object"),
        pytest.param(codecs.rows, {"rows": ["a"]}, "Row 0 is 'a'", id="row-text"),
        pytest.param(codecs.rows, {"rows": ROWS, "id": []}, "unknown key `id`", id="unknown-key"),
        pytest.param(codecs.rows, {"rows": ROWS, "ids": ["a"]}, "1 ids and 5 rows", id="few-ids"),
        pytest.param(codecs.rows, {"rows": ROWS, "ids": "abcde"}, "`ids` is text", id="ids-text"),
        pytest.param(invocations.decode, {}, "0 of the keys", id="no-form"),
        pytest.param(
            invocations.decode, {"inputs": ROWS, "instances": ROWS}, "2 of the keys", id="two-forms"
        ),
        pytest.param(invocations.decode, {"dataframe_split": []}, "is a list", id="split-list"),
        pytest.param(
            invocations.decode,
            {"dataframe_split": {"columns": ["a", "a"], "data": []}},
            "twice",
            id="split-twice",
        ),
        pytest.param(
            invocations.decode,
            {"dataframe_split": {"columns": NAMES, "data": [[1]]}},
            "Row 0 is 1 values",
            id="split-short",
        ),
        pytest.param(invocations.decode, {"inputs": {"distance": [1]}}, "`carrier` is missing", id="missing"),
        pytest.param(invocations.decode, {"inputs": {}}, "is missing", id="no-inputs"),
        pytest.param(
            invocations.decode, {"inputs": {"a": [1], "b": []}}, "have 0, 1 values", id="uneven-inputs"
        ),
        pytest.param(invocations.decode, {"instances": [[1]]}, "list of 4 values", id="short-instance"),
        pytest.param(invocations.decode, {"instances": []}, "no rows", id="no-instances"),
        pytest.param(tensors.decode, {"inputs": []}, "is missing", id="no-tensors"),
        pytest.param(tensors.decode, {"inputs": [1]}, "Input 0 is a number", id="no-tensor"),
        pytest.param(tensors.decode, {"inputs": [{"name": "a"}]}, "lacks `shape`", id="no-shape"),
        pytest.param(tensors.decode, {"inputs": [], "id": 1}, "`id` is a number", id="id-number"),
        pytest.param(
            tensors.decode, {**infer_request(), "outputs": [{"name": "x"}]}, "names x", id="unknown-output"
        ),
        pytest.param(
            tensors.decode,
            {"inputs": [tensor("distance", "FP64", ROWS[:1]), tensor("carrier", "BYTES")]},
            "`distance` has 1 rows and `carrier` has 5",
            id="uneven-tensors",
        ),
        pytest.param(
            tensors.decode,
            {"inputs": [{**tensor("distance", "FP64"), "shape": [4]}]},
            "5 values, expected 4",
            id="wrong-shape",
        ),
        pytest.param(
            tensors.decode, {"inputs": [{**tensor("distance", "FP64"), "shape": [5, 2]}]}, "shape", id="wide"
        ),
        pytest.param(
            tensors.decode, {"inputs": [tensor("carrier", "INT64")]}, "not INT64", id="wrong-datatype"
        ),
        pytest.param(
            tensors.decode, {"inputs": [tensor("carrier", "TEXT")]}, "datatype `TEXT`", id="no-datatype"
        ),
        pytest.param(
            tensors.decode,
            {"inputs": [tensor("carrier", "BYTES"), tensor("carrier", "BYTES")]},
            "twice",
            id="tensor-twice",
        ),
    ],
)
def test_a_body_of_another_shape_is_refused(
    plane: DataPlane, codec: Codec, document: Any, message: str
) -> None:
    with pytest.raises(errors.RequestError, match=message):
        ask(plane, codec, document)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        pytest.param(b"", JSON, HTTPStatus.BAD_REQUEST, id="empty"),
        pytest.param(b"{", JSON, HTTPStatus.BAD_REQUEST, id="cut"),
        pytest.param(b"\xff\xfe", JSON, HTTPStatus.BAD_REQUEST, id="no-utf8"),
        pytest.param(b'{"rows": [Infinity]}', JSON, HTTPStatus.BAD_REQUEST, id="infinity"),
        pytest.param(b'{"rows": [1e999]}', JSON, HTTPStatus.BAD_REQUEST, id="infinite"),
        pytest.param(b"[" * 100_000, JSON, HTTPStatus.BAD_REQUEST, id="deep"),
        pytest.param(b"{}", "text/plain", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, id="text"),
        pytest.param(b"{}", f"{JSON}; charset=latin-1", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, id="latin"),
    ],
)
@pytest.mark.parametrize(
    "codec", [codecs.rows, invocations.decode, tensors.decode], ids=["rows", "invocation", "tensors"]
)
def test_what_is_not_json_is_refused(
    plane: DataPlane, codec: Codec, body: bytes, kind: str, status: HTTPStatus
) -> None:
    with pytest.raises(Problem) as caught:
        ask(plane, codec, body, kind)
    assert caught.value.status is status


@pytest.mark.parametrize("codec", [codecs.rows, invocations.decode], ids=["rows", "invocation"])
def test_a_body_without_a_type_is_refused(plane: DataPlane, codec: Codec) -> None:
    with pytest.raises(Problem) as caught:
        ask(plane, codec, b"{}", "")
    assert caught.value.status is HTTPStatus.UNSUPPORTED_MEDIA_TYPE


@pytest.mark.parametrize("body", [b"", b"\xff", b'a"b\n"c', b"a\n" + b"x" * 200_000])
def test_what_is_not_csv_is_refused(plane: DataPlane, body: bytes) -> None:
    with pytest.raises((Problem, errors.RequestError)):
        ask(plane, invocations.decode, body, "text/csv")


def test_too_many_rows_are_refused(plane: DataPlane) -> None:
    with pytest.raises(Problem, match="101") as caught:
        ask(plane, codecs.rows, {"rows": [ROWS[0]] * 101})
    assert caught.value.status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_another_version_than_the_live_one_is_not_found(plane: DataPlane) -> None:
    assert ask(plane, codecs.rows, {"rows": ROWS}, version="1")["version"] == 1
    with pytest.raises(Problem, match="Version `2` of `flights`") as caught:
        ask(plane, codecs.rows, {"rows": ROWS}, version="2")
    assert caught.value.status is HTTPStatus.NOT_FOUND


def test_without_a_champion_nothing_is_ready(plane: DataPlane, follower: Follower) -> None:
    follower.live = None
    follower.poll()
    with pytest.raises(Problem, match="no champion yet") as caught:
        ask(plane, codecs.rows, {"rows": ROWS})
    assert caught.value.status is HTTPStatus.SERVICE_UNAVAILABLE


class Picky:
    """An estimator that, like some, takes no number beyond float32."""

    classes_ = np.array([False, True])

    def predict_proba(self, frame: Any) -> Any:
        if (frame["distance"].abs() > 3e38).any():
            raise ValueError("value too large for dtype('float32')")
        return np.full((len(frame), 2), 0.5)


@pytest.mark.parametrize("bad", range(5))
def test_a_row_that_only_the_model_refuses_is_named(
    plane: DataPlane, follower: Follower, live: Live, bad: int
) -> None:
    follower.live = Live(live.registered, Predictor(Picky(), live.model), live.profile)
    with pytest.raises(errors.RequestError, match=f"Row {bad}: the model cannot take.*float32") as caught:
        ask(plane, codecs.rows, {"rows": changed("distance", bad, 1e300)})
    assert caught.value.details["row"] == bad


def test_a_model_that_refuses_everything_is_not_the_clients_fault(
    plane: DataPlane, follower: Follower, live: Live
) -> None:
    class Broken(Picky):
        def predict_proba(self, frame: Any) -> Any:
            raise ValueError("broken")

    follower.live = Live(live.registered, Predictor(Broken(), live.model), live.profile)
    with pytest.raises(ValueError, match="broken"):
        ask(plane, codecs.rows, {"rows": ROWS})


def test_a_challenger_that_breaks_is_stood_in_for_by_the_champion(
    plane: DataPlane, follower: Follower, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Picky):
        def predict_proba(self, frame: Any) -> Any:
            raise RuntimeError("broken")

    registered = dataclasses.replace(live.registered, version=2)
    challenger = Live(registered, Predictor(Broken(), live.model), live.profile)
    noted: list[tuple[int, bool]] = []

    def observe(of: Live, rows: int, seconds: float, failed: bool, **_: Any) -> None:
        noted.append((of.version, failed))

    monkeypatch.setattr(follower, "choose", lambda ids=None: challenger)
    monkeypatch.setattr(follower, "observed", observe)
    answer = ask(plane, codecs.rows, {"rows": ROWS})
    assert (answer["version"], answer["predictions"]) == (1, expected(live).predictions.tolist())
    assert sorted(noted) == [(1, False), (2, True)]


def test_works_of_several_versions_are_answered_each_by_its_own(
    plane: DataPlane, follower: Follower, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = small_models.live(version=2)
    chosen = iter([live, other, live, other])
    monkeypatch.setattr(follower, "choose", lambda ids=None: next(chosen))
    body = json.dumps({"rows": ROWS}).encode()
    works = [plane.read(Request(body, JSON, codecs.rows, time.perf_counter())) for _ in range(4)]
    answers = [json.loads(outcome.body) for outcome in plane.answer(works)]  # type: ignore[union-attr]
    assert [answer["version"] for answer in answers] == [1, 2, 1, 2]
    for answer, said in zip(answers, [live, other, live, other], strict=True):
        assert answer["predictions"] == expected(said).predictions.tolist()


@pytest.mark.parametrize("rows_at_once", [1, 2, 4, 5, 6])
def test_a_large_request_is_answered_in_slices(plane: DataPlane, live: Live, rows_at_once: int) -> None:
    body = json.dumps({"rows": ROWS}).encode()
    work = plane.read(Request(body, JSON, codecs.rows, time.perf_counter()))
    (outcome,) = plane.answer([work], rows_at_once)
    said = expected(live)
    assert said.probabilities is not None
    answer = json.loads(outcome.body)  # type: ignore[union-attr]
    assert answer["predictions"] == said.predictions.tolist()
    np.testing.assert_allclose(answer["probabilities"], said.probabilities)


_DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*NAMES, "rows", "ids", "inputs", "name", "shape", "datatype", "data", "columns"])
            | st.text(max_size=3),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=_DOCUMENTS, codec=st.sampled_from([codecs.rows, invocations.decode, tensors.decode]))
def test_no_document_ends_in_anything_but_an_answer_or_a_refusal(
    plane: DataPlane, document: Any, codec: Codec
) -> None:
    forms = [document, {"rows": [document]}, {"inputs": document}, {"dataframe_split": document}]
    for form in forms:
        try:
            ask(plane, codec, form)
        except (errors.RequestError, Problem):
            pass
