"""Inference requests over HTTP, in JSON and with binary data, as an independent client writes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.serving import small_models
from tritonclient.http import InferenceServerClient as Client
from tritonclient.http import InferInput, InferRequestedOutput, InferResult

from pilotage.core import errors, features
from pilotage.core.artifacts import Model
from pilotage.core.features import Columns
from pilotage.core.models import Predictor
from pilotage.serving import problems
from pilotage.serving.limits import Limits
from pilotage.serving.problems import Problem
from pilotage.serving.protocols import tensors
from pilotage.serving.protocols.batches import Answer, Batch, Encoded

JSON = "application/json"
LIMITS = Limits(rows=100)
ROWS = small_models.rows(12)
KINDS = {"distance": "FP64", "carrier": "BYTES", "holiday": "BOOL", "bought": "BYTES"}
NUMPY = {"FP64": np.float64, "FP32": np.float32, "BOOL": np.bool_, "INT64": np.int64}


@pytest.fixture(scope="module")
def trained() -> Predictor:
    return small_models.predictor()


@pytest.fixture(scope="module")
def model(trained: Predictor) -> Model:
    return trained.model


def array(values: list[Any], datatype: str) -> Any:
    if datatype == "BYTES":
        return np.array(["" if value is None else value for value in values], dtype=object)
    return np.array([np.nan if value is None else value for value in values], dtype=NUMPY[datatype])


def tensor(name: str, values: list[Any], datatype: str, *, binary: bool = True) -> InferInput:
    made = InferInput(name, [len(values)], datatype)
    made.set_data_from_numpy(array(values, datatype), binary_data=binary)
    return made


def written(
    rows: list[dict[str, Any]] = ROWS, *, names: tuple[str, ...] = tuple(KINDS), **options: Any
) -> tuple[bytes, str | None]:
    """A request's body and its header, by tritonclient."""
    kinds = {**KINDS, "flight": "BYTES", "at": "BYTES"}
    made = [tensor(name, [row[name] for row in rows], kinds[name]) for name in names]
    body, length = Client.generate_request_body(made, **options)
    return body, None if length is None else str(length)


def taken(body: bytes, length: str | None, model: Model, kind: str = "") -> Batch:
    return tensors.codec(length)(body, kind, model, LIMITS).batch


def check_same(found: Columns, rows: list[dict[str, Any]] = ROWS) -> None:
    for name, column in features.from_rows(small_models.FEATURES, rows).items():
        np.testing.assert_array_equal(found[name], column, err_msg=name)
        assert found[name].dtype == column.dtype


def binary_body(document: dict[str, Any], *data: bytes) -> tuple[bytes, str]:
    head = json.dumps(document).encode()
    return head + b"".join(data), str(len(head))


def one(name: str = "distance", datatype: str = "FP64", size: Any = 8, shape: Any = (1,)) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


@pytest.mark.parametrize("kind", ["", JSON, tensors.BINARY_TYPE])
def test_binary_tensors_are_the_columns_that_json_gives(model: Model, kind: str) -> None:
    batch = taken(*written(), model, kind)
    check_same(batch.columns)
    assert (batch.rows, batch.ids, batch.times) == (12, None, None)


def test_ids_and_times_may_come_as_tensors(model: Model) -> None:
    batch = taken(*written(names=(*KINDS, "flight", "at")), model)
    assert batch.ids == [row["flight"] for row in ROWS]
    assert batch.times is not None
    first = datetime.fromisoformat(ROWS[0]["at"]).astimezone(UTC).replace(tzinfo=None)
    assert batch.times[0] == np.datetime64(first)


def test_tensors_in_json_and_in_binary_may_stand_in_one_request(model: Model) -> None:
    made = [
        tensor(name, [row[name] for row in ROWS], kind, binary=kind == "BYTES")
        for name, kind in KINDS.items()
        if name != "distance"
    ]
    numbers = [row["distance"] for row in ROWS if row["distance"] is not None]
    made.append(tensor("distance", (numbers * 2)[:12], "FP64", binary=False))
    body, length = Client.generate_request_body(made)
    batch = taken(body, str(length), model)
    assert batch.columns["carrier"].tolist() == [row["carrier"] for row in ROWS]
    assert batch.columns["distance"].tolist() == (numbers * 2)[:12]


def test_empty_and_not_a_number_are_missing(model: Model) -> None:
    row: dict[str, Any] = {"distance": None, "carrier": None, "holiday": True, "bought": None}
    check_same(taken(*written([row]), model).columns, [row])


@pytest.mark.parametrize(("datatype", "value"), [("FP32", None), ("FP64", 1.0), ("INT64", 0), ("BOOL", True)])
def test_a_boolean_may_come_as_numbers(model: Model, datatype: str, value: Any) -> None:
    row = {**ROWS[0], "holiday": value}
    made = [tensor(name, [row[name]], KINDS[name]) for name in KINDS if name != "holiday"]
    body, length = Client.generate_request_body([*made, tensor("holiday", [value], datatype)])
    check_same(taken(body, str(length), model).columns, [row])


@given(
    st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=20)
)
def test_numbers_come_through_exactly(values: list[float | None]) -> None:
    model = _MODEL
    rows = [{**ROWS[0], "distance": value} for value in values]
    check_same(taken(*written(rows), model).columns, rows)


_MODEL = small_models.predictor(trained=30).model


@given(st.binary(max_size=200), st.integers(0, 400))
def test_any_body_is_read_or_refused(noise: bytes, cut: int) -> None:
    body, length = written(ROWS[:2])
    for hostile in (body[:cut] + noise, body[:cut] + noise + body[cut + len(noise) :]):
        refused = None
        try:
            taken(hostile, length, _MODEL)
        except (errors.RequestError, Problem) as error:
            refused = problems.of(error)
        assert refused is None or 400 <= refused.status < 500


@pytest.mark.parametrize(
    ("given_tensor", "data", "said"),
    [
        (one(size=-8), b"\0" * 8, "Input `distance` has the binary_data_size -8"),
        (one(size=2**62), b"\0" * 8, "Input `distance` has the binary_data_size 4611686018427387904"),
        (one(size=True), b"\0" * 8, "Input `distance` has the binary_data_size True"),
        (one(size="8"), b"\0" * 8, "Input `distance` has the binary_data_size '8'"),
        (one(size=16), b"\0" * 8, "expected a number up to 8"),
        (one(shape=[2]), b"\0" * 8, "Input `distance` has 8 bytes of data, expected 16"),
        (one(shape=[-1]), b"\0" * 8, "Input `distance` has the shape [-1]"),
        (one(shape=[2**62]), b"\0" * 8, "rows in input `distance`"),
        (one(shape=[101], size=808), b"\0" * 808, "101 rows in input `distance`"),
        (one(shape=[1, 2]), b"\0" * 8, "expected [n] or [n, 1]"),
        (one(shape="1"), b"\0" * 8, "Input `distance` has the shape '1'"),
        (one(datatype="BF16"), b"\0" * 8, "datatype `BF16`"),
        (one(datatype="FP8", size=1), b"\0", "datatype `FP8`"),
        (one(datatype="INT32"), b"\0" * 8, "expected 4"),
        ({**one(), "data": [1.0]}, b"\0" * 8, "has both of `data`"),
        ({**one(), "parameters": {}}, b"\0" * 8, "has neither of `data`"),
        ({**one(), "parameters": [8]}, b"\0" * 8, "`parameters` that are a list"),
        (one(), np.array([np.inf]).tobytes(), "Row 0: feature `distance` is inf"),
        (one("bought", "INT64"), b"\0" * 8, "Input `bought` is INT64"),
        (one("holiday", "INT8", 1), b"\2", "Row 0: feature `holiday` is 2.0"),
        (one("distance", "BOOL", 1), b"\1", "Row 0: feature `distance` is True"),
        (one("distance", "BYTES", 5), b"\1\0\0\0x", "Row 0: feature `distance` is 'x'"),
        (one("bought", "BYTES", 5), b"\1\0\0\0x", "Row 0: feature `bought` is 'x'"),
        (one(), b"\0" * 9, "1 bytes are left behind"),
    ],
)
def test_a_tensor_that_lies_is_refused_by_name(
    model: Model, given_tensor: dict[str, Any], data: bytes, said: str
) -> None:
    others = [
        {"name": name, "datatype": KINDS[name], "shape": [1], "data": [ROWS[0][name]]}
        for name in KINDS
        if name != given_tensor["name"]
    ]
    with pytest.raises((errors.RequestError, Problem)) as caught:
        taken(*binary_body({"inputs": [*others, given_tensor]}, data), model)
    assert said in str(caught.value)


@pytest.mark.parametrize("length", ["-1", "x", "", "1e3", "99999", "9" * 5000, "٣"])
def test_a_header_that_lies_is_refused(model: Model, length: str) -> None:
    body, _ = written()
    with pytest.raises(Problem, match="Inference-Header-Content-Length"):
        taken(body, length, model)


def test_a_request_of_no_rows_or_twice_the_same_tensor_is_not_taken(model: Model) -> None:
    assert taken(*written([]), model).rows == 0
    body, length = written(names=(*KINDS, "distance"))
    with pytest.raises(errors.RequestError, match="`distance` comes twice"):
        taken(body, length, model)


def test_rows_must_be_as_many_in_each_tensor(model: Model) -> None:
    made = [tensor(name, [row[name] for row in ROWS], kind) for name, kind in KINDS.items()]
    made[0] = tensor("distance", [1.0], "FP64")
    body, length = Client.generate_request_body(made)
    with pytest.raises(errors.RequestError, match="`distance` has 1 rows and `carrier` has 12"):
        taken(body, str(length), model)


def answered(
    trained: Predictor, body: bytes, length: str | None = None
) -> tuple[bytes | Encoded, InferResult]:
    decoded = tensors.codec(length)(body, "", trained.model, LIMITS)
    said = trained.predict(decoded.batch.columns)
    encoded = decoded.encode(Answer(trained.model, 7, decoded.batch, said))
    if isinstance(encoded, bytes):
        return encoded, InferResult.from_response_body(encoded)
    assert encoded.content_type == tensors.BINARY_TYPE
    ((name, size),) = encoded.headers
    assert name == "Inference-Header-Content-Length"
    return encoded, InferResult.from_response_body(encoded.body, header_length=int(size))


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("names", [["probabilities", "prediction"], ["prediction"], ["probabilities"]])
def test_the_client_reads_the_answer_it_asked_for(trained: Predictor, names: list[str], binary: bool) -> None:
    asked = [InferRequestedOutput(name, binary_data=binary) for name in names]
    body, length = written(outputs=asked, request_id="q")
    encoded, result = answered(trained, body, length)
    assert isinstance(encoded, Encoded) is binary
    said = trained.predict(features.from_rows(small_models.FEATURES, ROWS))
    found = result.get_response()
    assert (found["id"], found["model_name"], found["model_version"]) == ("q", "flights", "7")
    assert [output["name"] for output in found["outputs"]] == names
    if "prediction" in names:
        np.testing.assert_array_equal(result.as_numpy("prediction"), said.predictions)
    if "probabilities" in names:
        np.testing.assert_array_equal(result.as_numpy("probabilities"), said.probabilities)
        assert result.get_output("probabilities")["parameters"]["classes"] == ["False", "True"]


def test_without_named_outputs_the_request_says_how_all_are_written(trained: Predictor) -> None:
    body, length = written()  # tritonclient sets binary_data_output
    encoded, result = answered(trained, body, length)
    assert isinstance(encoded, Encoded)
    assert result.as_numpy("prediction").dtype == bool


def test_a_json_request_gets_a_json_answer(trained: Predictor) -> None:
    made = [
        {"name": name, "datatype": kind, "shape": [1, 1], "data": [[ROWS[0][name]]]}
        for name, kind in KINDS.items()
    ]
    encoded, _ = answered(trained, json.dumps({"inputs": made}).encode())
    assert isinstance(encoded, bytes)


@pytest.mark.parametrize("classes", [("late", "early"), (1, 2), (0.5, 1.5), (False, True), ("x", 1)])
def test_classes_of_every_kind_are_read_back(trained: Predictor, classes: tuple[Any, ...]) -> None:
    class Renamed(Predictor):
        def predict(self, columns: Columns) -> Any:
            said = trained.predict(columns)
            names = np.array(classes, dtype=object)[said.predictions.astype(int)]
            return type(said)(names, said.score, said.probabilities)

    renamed = Renamed(None, trained.model.model_copy(update={"classes": classes, "positive": None}))
    _, result = answered(renamed, *written())
    found = result.as_numpy("prediction").tolist()
    expected = [
        classes[int(value)] for value in trained.predict(taken(*written(), _MODEL).columns).predictions
    ]
    texts = [value.decode() if isinstance(value, bytes) else value for value in found]
    assert texts == ([str(value) for value in expected] if isinstance(classes[0], str) else expected)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"outputs": [{"name": "prediction"}, {"name": "prediction"}]}, "twice"),
        ({"outputs": [{"name": "label"}]}, "expected prediction or probabilities"),
        ({"outputs": ["prediction"]}, "something else than objects"),
        ({"outputs": [{"name": ["x"]}]}, "something else than objects"),
        (
            {"outputs": [{"name": "prediction", "parameters": {"binary_data": 1}}]},
            "`binary_data` is a number",
        ),
        ({"outputs": [{"name": "prediction", "parameters": {"classification": 2}}]}, "not offered"),
        ({"parameters": {"binary_data_output": "yes"}}, "`binary_data_output` is text"),
        ({"parameters": 3}, "`parameters` that are a number"),
        ({"model_name": "trains"}, "`model_name` is 'trains', but the path names `flights`"),
    ],
)
def test_outputs_that_cannot_be_had_are_refused(model: Model, extra: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.RequestError, match=said):
        taken(json.dumps({"inputs": [], **extra}).encode(), None, model, JSON)


def test_metadata_says_what_features_and_columns_mean(model: Model) -> None:
    found = tensors.metadata(model, 3)
    assert found["inputs"][1] == {
        "name": "carrier",
        "datatype": "BYTES",
        "shape": [-1],
        "parameters": {"kind": "category"},
    }
    assert found["outputs"][1]["parameters"] == {"classes": ["False", "True"]}
