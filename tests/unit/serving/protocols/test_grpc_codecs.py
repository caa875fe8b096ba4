"""Inference requests over gRPC, as an independent client writes them and reads the answer."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tests.unit.serving import small_models
from tritonclient.grpc import InferInput, InferResult
from tritonclient.grpc import service_pb2 as triton

from pilotage.core import errors, features
from pilotage.core.artifacts import Model
from pilotage.core.models import Predictor
from pilotage.serving.limits import Limits
from pilotage.serving.problems import Problem
from pilotage.serving.protocols.batches import Answer, Batch
from pilotage.serving.protocols.grpc import codecs

LIMITS = Limits(rows=100)
ROWS = small_models.rows(12)
KINDS = {"distance": "FP64", "carrier": "BYTES", "holiday": "BOOL", "bought": "BYTES"}
FIELDS = {"FP64": "fp64_contents", "BYTES": "bytes_contents", "BOOL": "bool_contents"}


@pytest.fixture(scope="module")
def trained() -> Predictor:
    return small_models.predictor()


@pytest.fixture(scope="module")
def model(trained: Predictor) -> Model:
    return trained.model


def wire(kind: str, value: Any) -> Any:
    if kind == "BYTES":
        return ("" if value is None else value).encode()
    return float("nan") if value is None else value


def typed(name: str, rows: list[dict[str, Any]] = ROWS) -> Any:
    """A tensor in typed fields, by the client's messages."""
    kind = KINDS.get(name, "BYTES")
    made = triton.ModelInferRequest.InferInputTensor(name=name, datatype=kind, shape=[len(rows)])
    getattr(made.contents, FIELDS[kind]).extend([wire(kind, row[name]) for row in rows])
    return made


def raw(rows: list[dict[str, Any]] = ROWS) -> Any:
    """A request in the binary layout, by the client."""
    request = triton.ModelInferRequest(model_name="flights", id="q")
    for name, kind in KINDS.items():
        tensor = InferInput(name, [len(rows)], kind)
        dtype = {"FP64": np.float64, "BOOL": np.bool_}.get(kind, np.object_)
        values = [wire(kind, row[name]) for row in rows]
        tensor.set_data_from_numpy(np.array(values, dtype=dtype))
        request.inputs.append(tensor._get_tensor())
        request.raw_input_contents.append(tensor._get_content())
    return request


def request_of(*tensors: Any, **fields: Any) -> Any:
    given = {tensor.name for tensor in tensors}
    others = [typed(name, ROWS[:1]) for name in KINDS if name not in given]
    return triton.ModelInferRequest(inputs=[*others, *tensors], **fields)


def one(name: str = "distance", datatype: str = "FP64", shape: Any = (1,), **contents: Any) -> Any:
    return triton.ModelInferRequest.InferInputTensor(
        name=name, datatype=datatype, shape=shape, contents=triton.InferTensorContents(**contents)
    )


def taken(request: Any, model: Model) -> Batch:
    return codecs.decode(request.SerializeToString(), "", model, LIMITS).batch


def check_same(batch: Batch, rows: list[dict[str, Any]] = ROWS) -> None:
    for name, column in features.from_rows(small_models.FEATURES, rows).items():
        np.testing.assert_array_equal(batch.columns[name], column, err_msg=name)
        assert batch.columns[name].dtype == column.dtype


def test_typed_and_raw_tensors_are_the_columns_that_json_gives(model: Model) -> None:
    check_same(taken(triton.ModelInferRequest(inputs=[typed(name) for name in KINDS]), model))
    check_same(taken(raw(), model))


def test_empty_and_not_a_number_are_missing(model: Model) -> None:
    row = {"distance": None, "carrier": None, "holiday": True, "bought": None}
    check_same(taken(triton.ModelInferRequest(inputs=[typed(name, [row]) for name in KINDS]), model), [row])
    check_same(taken(raw([row]), model), [row])


def test_ids_come_as_a_tensor_or_as_a_parameter(model: Model) -> None:
    assert taken(request_of(typed("flight", ROWS[:1])), model).ids == [ROWS[0]["flight"]]
    request = request_of()
    request.parameters["ids"].string_param = json.dumps([7])
    assert taken(request, model).ids == ["7"]
    for wrong in ("7", "{", ""):
        request.parameters["ids"].string_param = wrong
        with pytest.raises(errors.RequestError, match="`ids`"):
            taken(request, model)
    request.parameters["ids"].int64_param = 7
    with pytest.raises(errors.RequestError, match="`ids`"):
        taken(request, model)


@pytest.mark.parametrize(
    ("datatype", "field", "value"),
    [
        ("INT8", "int_contents", -7),
        ("INT16", "int_contents", -7),
        ("INT32", "int_contents", -7),
        ("INT64", "int64_contents", -7),
        ("UINT8", "uint_contents", 7),
        ("UINT16", "uint_contents", 7),
        ("UINT32", "uint_contents", 7),
        ("UINT64", "uint64_contents", 7),
        ("FP32", "fp32_contents", 7.5),
    ],
)
def test_numbers_may_come_in_every_datatype(model: Model, datatype: str, field: str, value: float) -> None:
    batch = taken(request_of(one("distance", datatype, **{field: [value]})), model)
    assert batch.columns["distance"].tolist() == [value]


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (one(fp32_contents=[1.0]), "`distance` has 0 values in `fp64_contents` and some in `fp32_contents`"),
        (one(fp64_contents=[1.0, 2.0]), "`distance` has 2 values in `fp64_contents`, expected 1"),
        (one(fp64_contents=[1.0], int_contents=[1]), "and some in `int_contents`"),
        (one(shape=[-1]), "`distance` has the shape [-1]"),
        (one(shape=[2**62]), "rows in input `distance`"),
        (one(shape=[]), "`distance` has the shape []"),
        (one(shape=[1, 1, 1]), "expected [n] or [n, 1]"),
        (one(datatype="FP16"), "`distance` is FP16, which has no typed field"),
        (one(datatype="BF16"), "datatype `BF16`"),
        (one(datatype=""), "datatype ``"),
        (one("distance", "INT8", int_contents=[300]), "`distance` does not fit INT8"),
        (one(fp64_contents=[float("-inf")]), "Row 0: feature `distance` is -inf"),
        (one("carrier", "BYTES", bytes_contents=[b"\xff"]), "Row 0: input `carrier` is not UTF-8"),
        (one("bought", "INT64", int64_contents=[1]), "`bought` is INT64"),
        (one("bought", "BYTES", bytes_contents=[b"soon"]), "feature `bought` is 'soon'"),
        (one("flight", "BYTES", (2,), bytes_contents=[b"a", b"b"]), "`flight` has 2"),
    ],
)
def test_a_tensor_that_lies_is_refused_by_name(model: Model, tensor: Any, said: str) -> None:
    with pytest.raises((errors.RequestError, Problem)) as caught:
        taken(request_of(tensor), model)
    assert said in str(caught.value)


def test_raw_contents_must_be_one_for_each_input_and_alone(model: Model) -> None:
    request = raw()
    del request.raw_input_contents[-1]
    with pytest.raises(errors.RequestError, match="3 `raw_input_contents` and 4 inputs"):
        taken(request, model)
    request = raw()
    request.inputs[0].contents.fp64_contents.append(1.0)
    with pytest.raises(errors.RequestError, match="`distance` has both"):
        taken(request, model)


def test_fp16_comes_raw(model: Model) -> None:
    request = raw()
    request.inputs[0].datatype = "FP16"
    request.raw_input_contents[0] = np.full(12, 1.5, np.float16).tobytes()
    assert taken(request, model).columns["distance"].tolist() == [1.5] * 12


@pytest.mark.parametrize("as_raw", [True, False])
def test_the_client_reads_the_answer_as_the_request_was_written(trained: Predictor, as_raw: bool) -> None:
    request = raw() if as_raw else triton.ModelInferRequest(id="q", inputs=[typed(name) for name in KINDS])
    found = answered(trained, request)
    assert bool(found.raw_output_contents) is as_raw
    assert (found.model_name, found.model_version, found.id) == ("flights", "7", "q")
    said = trained.predict(features.from_rows(small_models.FEATURES, ROWS))
    assert said.probabilities is not None
    if as_raw:
        result = InferResult(found)
        np.testing.assert_array_equal(result.as_numpy("prediction"), said.predictions)
        np.testing.assert_array_equal(result.as_numpy("probabilities"), said.probabilities)
    else:
        assert list(found.outputs[0].contents.bool_contents) == said.predictions.tolist()
        assert list(found.outputs[1].contents.fp64_contents) == said.probabilities.ravel().tolist()
    assert json.loads(found.outputs[1].parameters["classes"].string_param) == ["False", "True"]


def test_the_request_may_ask_for_the_other_way_and_for_some_outputs(trained: Predictor) -> None:
    request = raw()
    request.parameters["binary_data_output"].bool_param = False
    request.outputs.add(name="probabilities")
    found = answered(trained, request)
    assert [output.name for output in found.outputs] == ["probabilities"]
    assert not found.raw_output_contents
    request.outputs.add(name="label")
    with pytest.raises(errors.RequestError, match="expected prediction or probabilities"):
        answered(trained, request)


def answered(trained: Predictor, request: Any) -> Any:
    decoded = codecs.decode(request.SerializeToString(), "", trained.model, LIMITS)
    said = trained.predict(decoded.batch.columns)
    body = decoded.encode(Answer(trained.model, 7, decoded.batch, said))
    return triton.ModelInferResponse.FromString(body)
