"""`ModelInfer` of the Open Inference Protocol: from the request's message to a batch, and to the answer's.

Tensors may stand in typed fields (`contents`) or in the binary layout
(`raw_input_contents`); the answer is written as the request was, or as its
parameter `binary_data_output` asks. A missing value is NaN, or an empty element of
BYTES. Ids come as a tensor named as the pilot's key, or as the parameter `ids`
that holds a JSON list. Calls, statuses and deadlines are not known here.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import orjson

from pilotage.core import errors
from pilotage.core.artifacts import Model
from pilotage.serving.limits import Limits
from pilotage.serving.protocols import binaries, inputs, outputs
from pilotage.serving.protocols.batches import Answer, Decoded
from pilotage.serving.protocols.binaries import BYTES, Array
from pilotage.serving.protocols.grpc import messages
from pilotage.serving.protocols.inputs import Tensor

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
"""The field of each datatype; FP16 has none and comes raw."""


def decode(body: bytes, content_type: str, model: Model, limits: Limits) -> Decoded:
    """The batch of a `ModelInferRequest`; the content type says nothing here.

    Raises:
        Problem: the body is not such a message, or has too many rows.
        RequestError: a tensor or a value cannot be taken.
    """
    request = messages.parse("ModelInferRequest", body)
    parameters = _parameters(request.parameters)
    asked = [(output.name, _parameters(output.parameters)) for output in request.outputs]
    wanted = outputs.wanted(asked, parameters, model)
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise errors.RequestError(
            f"There are {len(raw)} `raw_input_contents` and {len(request.inputs)} inputs,"
            " expected one for each or none."
        )
    if len(request.inputs) > limits.rows:
        raise errors.RequestError(f"There are {len(request.inputs)} inputs, at most {limits.rows} are taken.")
    tensors = [
        _tensor(given, raw[position] if raw else None, limits)
        for position, given in enumerate(request.inputs)
    ]
    batch = inputs.batch_of(tensors, model, _ids(parameters))
    as_raw = outputs.flag(parameters, "binary_data_output", default=bool(raw))
    names = tuple(output.name for output in wanted)
    return Decoded(batch, partial(_encode, identity=request.id, names=names, as_raw=as_raw))


def _parameters(given: Any) -> dict[str, Any]:
    found = {}
    for name, parameter in given.items():
        chosen = parameter.WhichOneof("parameter_choice")
        if chosen is not None:
            found[name] = getattr(parameter, chosen)
    return found


def _ids(parameters: dict[str, Any]) -> Any:
    given = parameters.get("ids")
    if given is None:
        return None
    try:
        return orjson.loads(given)
    except (orjson.JSONDecodeError, TypeError):
        raise errors.RequestError("Parameter `ids` is not text that holds a JSON list.", key="ids") from None


def _tensor(given: Any, raw: bytes | None, limits: Limits) -> Tensor:
    name, datatype = given.name, given.datatype
    inputs.check_datatype(name, datatype)
    rows = inputs.rows_of(name, list(given.shape), limits)
    if raw is None:
        return Tensor(name, datatype, _typed(given, rows))
    if given.contents.ListFields():
        raise errors.RequestError(
            f"Input `{name}` has both `contents` and `raw_input_contents`, expected one.", tensor=name
        )
    return Tensor(name, datatype, binaries.read(name, datatype, rows, raw))


def _typed(given: Any, rows: int) -> Array | list[Any]:
    """The values of a tensor in typed fields."""
    name, datatype = given.name, given.datatype
    field = _CONTENTS.get(datatype)
    if field is None:
        raise errors.RequestError(
            f"Input `{name}` is {datatype}, which has no typed field.",
            remedy="Send it in `raw_input_contents`.",
            tensor=name,
        )
    values = getattr(given.contents, field)
    others = [descriptor.name for descriptor, _ in given.contents.ListFields() if descriptor.name != field]
    if others or len(values) != rows:
        beside = f" and some in `{others[0]}`" if others else ""
        raise errors.RequestError(
            f"Input `{name}` has {len(values)} values in `{field}`{beside}, expected {rows} {datatype} there"
            " by its shape.",
            tensor=name,
        )
    if datatype == BYTES:
        return [binaries.text(name, row, value) for row, value in enumerate(values)]
    dtype = np.dtype(bool) if datatype == "BOOL" else binaries.DTYPES[datatype]
    try:
        return np.array(list(values), dtype=dtype)
    except OverflowError as error:
        raise errors.RequestError(f"Input `{name}` does not fit {datatype}: {error}.", tensor=name) from None


def _encode(answer: Answer, identity: str, names: tuple[str, ...], as_raw: bool) -> bytes:
    response = messages.CLASSES["ModelInferResponse"](
        model_name=answer.model.pilot, model_version=str(answer.version), id=identity
    )
    for output in outputs.of_answer(answer, names):
        tensor = response.outputs.add(name=output.name, datatype=output.datatype, shape=output.values.shape)
        if output.classes:
            tensor.parameters["classes"].string_param = orjson.dumps(output.classes).decode()
        if as_raw:
            response.raw_output_contents.append(binaries.write(output.datatype, output.values))
            continue
        plain = output.values.ravel().tolist()
        if output.datatype == BYTES:
            plain = [value.encode() for value in plain]
        getattr(tensor.contents, _CONTENTS[output.datatype]).extend(plain)
    written: bytes = response.SerializeToString()
    return written


def metadata(found: dict[str, Any]) -> bytes:
    """Model metadata, as `tensors.metadata` gives it, in its message."""
    tensors = {
        side: [{key: tensor[key] for key in ("name", "datatype", "shape")} for tensor in found[side]]
        for side in ("inputs", "outputs")
    }
    return messages.made("ModelMetadataResponse", **{**found, **tensors})
