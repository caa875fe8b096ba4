"""The Open Inference Protocol, version 2, over HTTP: one named input tensor for each feature.

Follows https://github.com/kserve/open-inference-protocol (REST) and the binary
tensor data extension: a JSON document, after which the data of tensors may stand
in the binary layout when the header `Inference-Header-Content-Length` says where
the document ends. A tensor has the shape [n] or [n, 1]. A missing value is `null`
in JSON; in the binary layout it is NaN, or an empty element of BYTES. The ids of
rows may come as `parameters.ids` or as a tensor named as the pilot's key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pilotage.core import errors
from pilotage.core.artifacts import Model
from pilotage.core.specs import FeatureKind
from pilotage.serving import problems
from pilotage.serving.limits import Limits
from pilotage.serving.protocols import batches, binaries, codecs, inputs, outputs
from pilotage.serving.protocols.batches import Answer, Codec, Decoded, Encoded
from pilotage.serving.protocols.binaries import BYTES
from pilotage.serving.protocols.inputs import Tensor
from pilotage.serving.protocols.outputs import Output, Wanted

PLATFORM = "pilotage"
EXTENSIONS = ("binary_tensor_data",)
HEADER_LENGTH = "Inference-Header-Content-Length"
"""The header, in requests and answers, that says how many bytes of the body are JSON."""
BINARY_TYPE = "application/octet-stream"

_OPTIONAL = ("id", "parameters", "outputs", "model_name")
_SIZE = "binary_data_size"
_DATATYPES = {
    FeatureKind.NUMBER: "FP64",
    FeatureKind.BOOLEAN: "BOOL",
    FeatureKind.CATEGORY: BYTES,
    FeatureKind.TIME: BYTES,
    FeatureKind.TEXT: BYTES,
    FeatureKind.IMAGE: BYTES,
}


def metadata(model: Model, version: int) -> dict[str, Any]:
    """What the protocol calls model metadata."""
    return {
        "name": model.pilot,
        "versions": [str(version)],
        "platform": PLATFORM,
        "inputs": [
            {
                "name": feature.name,
                "datatype": _DATATYPES[feature.kind],
                "shape": [-1],
                "parameters": {"kind": str(feature.kind)},
            }
            for feature in model.features
        ],
        "outputs": outputs.described(model),
    }


def codec(header_length: str | None) -> Codec:
    """The codec of a request with the header `HEADER_LENGTH`, or without when None."""
    return decode if header_length is None else partial(decode, header_length=header_length)


def decode(
    body: bytes, content_type: str, model: Model, limits: Limits, *, header_length: str | None = None
) -> Decoded:
    """The batch of an inference request.

    Raises:
        Problem: the body is not what its headers say, or has too many rows.
        RequestError: it is of another shape, or a tensor or a value cannot be taken.
    """
    head, tail = _parts(body, header_length)
    document = batches.check_keys(batches.parse_json(head, _json_type(content_type)), ("inputs",), _OPTIONAL)
    _check_name(document, model)
    identity = document.get("id")
    if identity is not None and not isinstance(identity, str):
        raise errors.RequestError(f"`id` is {batches.kind_of(identity)}, expected text.", key="id")
    parameters = _parameters(document, "The body")
    wanted = outputs.wanted(_asked(document.get("outputs"), limits), parameters, model)
    source = _Tail(tail)
    tensors = [
        _tensor(given, position, source, limits)
        for position, given in enumerate(batches.check_list(document["inputs"], "inputs", limits.rows))
    ]
    source.check_end()
    batch = inputs.batch_of(tensors, model, parameters.get("ids"))
    return Decoded(batch, partial(_encode, identity=identity, wanted=wanted))


def _parts(body: bytes, header_length: str | None) -> tuple[bytes, memoryview]:
    """The JSON document and what stands behind it."""
    if header_length is None:
        return body, memoryview(b"")
    digits = header_length.strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20 and int(digits) <= len(body)):
        raise problems.malformed(
            f"`{HEADER_LENGTH}` is `{digits[:40]}`, expected a number up to {len(body)}, the body's length."
        )
    length = int(digits)
    return (body if length == len(body) else body[:length]), memoryview(body)[length:]


def _check_name(document: Mapping[str, Any], model: Model) -> None:
    """Refuse a body for another model; KServe's client names the model there besides in the path."""
    name = document.get("model_name")
    if name not in (None, model.pilot):
        raise errors.RequestError(
            f"`model_name` is {repr(name)[:60]}, but the path names `{model.pilot}`.", key="model_name"
        )


def _json_type(content_type: str) -> str:
    """The type of the JSON document: the protocol's clients name the whole body's type, or none."""
    kind, _ = batches.media_type(content_type)
    return "application/json" if kind in ("", BINARY_TYPE) else content_type


def _parameters(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = holder.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise errors.RequestError(
            f"{name} has `parameters` that are {batches.kind_of(found)}, expected an object."
        )
    return found


def _asked(given: Any, limits: Limits) -> list[tuple[Any, Mapping[str, Any]]]:
    """Names and parameters of the outputs that a request names."""
    found: list[tuple[Any, Mapping[str, Any]]] = []
    for item in [] if given is None else batches.check_list(given, "outputs", limits.rows):
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str):
            raise errors.RequestError(
                "`outputs` holds something else than objects with a `name`.", key="outputs"
            )
        found.append((name, _parameters(item, f"Output `{name[:60]}`")))
    return found


class _Tail:
    """The bytes behind the JSON document, taken from the front."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def take(self, name: str, size: Any) -> memoryview:
        """The next `size` bytes, which are those of input `name`."""
        left = len(self._data) - self._at
        if type(size) is not int or not 0 <= size <= left:
            raise errors.RequestError(
                f"Input `{name}` has the {_SIZE} {repr(size)[:40]}, expected a number up to {left},"
                " the bytes that are left behind the JSON document.",
                tensor=name,
            )
        self._at += size
        return self._data[self._at - size : self._at]

    def check_end(self) -> None:
        left = len(self._data) - self._at
        if left:
            raise problems.malformed(f"{left} bytes are left behind the data of the last input.")


def _tensor(given: Any, position: int, source: _Tail, limits: Limits) -> Tensor:
    """One input tensor, its data from the document or from behind it."""
    if not isinstance(given, dict):
        raise errors.RequestError(f"Input {position} is {batches.kind_of(given)}, expected an object.")
    for key in ("name", "shape", "datatype"):
        if key not in given:
            raise errors.RequestError(f"Input {position} lacks `{key}`.", tensor=position)
    name, datatype = given["name"], given["datatype"]
    if not isinstance(name, str) or not isinstance(datatype, str):
        raise errors.RequestError(f"Input {position}: `name` and `datatype` must be text.", tensor=position)
    inputs.check_datatype(name, datatype)
    rows = inputs.rows_of(name, given["shape"], limits)
    parameters = _parameters(given, f"Input `{name}`")
    if (_SIZE in parameters) == ("data" in given):
        problem = "both" if "data" in given else "neither"
        raise errors.RequestError(
            f"Input {position} has {problem} of `data` and the parameter `{_SIZE}`, expected one.",
            tensor=position,
        )
    if _SIZE in parameters:
        raw = source.take(name, parameters[_SIZE])
        return Tensor(name, datatype, binaries.read(name, datatype, rows, raw))
    return Tensor(name, datatype, _listed(name, datatype, rows, given["data"], limits))


def _listed(name: str, datatype: str, rows: int, data: Any, limits: Limits) -> list[Any]:
    """The values of a tensor whose data is in the document."""
    given = batches.check_list(data, name, limits.rows)
    values = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in given]
    if len(values) != rows:
        raise errors.RequestError(
            f"Input `{name}` has {len(values)} values, expected {rows} by its shape.", tensor=name
        )
    matches = _check_of(datatype)
    for row, value in enumerate(values):
        if value is not None and not matches(value):
            raise errors.RequestError(
                f"Row {row}: feature `{name}` is {repr(value)[:60]}, which is not {datatype}.",
                row=row,
                feature=name,
            )
    return values


def _check_of(datatype: str) -> Callable[[Any], bool]:
    if datatype == BYTES:
        return lambda value: isinstance(value, str)
    if datatype == "BOOL":
        return lambda value: isinstance(value, bool)
    if datatype.startswith("FP"):
        return lambda value: type(value) in (int, float) and math.isfinite(value)
    return lambda value: type(value) is int


def _encode(answer: Answer, identity: str | None, wanted: tuple[Wanted, ...]) -> bytes | Encoded:
    binary = {name for name, is_binary in wanted if is_binary}
    made = outputs.of_answer(answer, [name for name, _ in wanted])
    raw = [binaries.write(output.datatype, output.values) for output in made if output.name in binary]
    sizes = iter(raw)
    document: dict[str, Any] = {
        "model_name": answer.model.pilot,
        "model_version": str(answer.version),
        "outputs": [_written(output, len(next(sizes)) if output.name in binary else None) for output in made],
    }
    if identity is not None:
        document["id"] = identity
    head = codecs.dump(document)
    if not raw:
        return head
    return Encoded(b"".join((head, *raw)), BINARY_TYPE, ((HEADER_LENGTH, str(len(head))),))


def _written(output: Output, size: int | None) -> dict[str, Any]:
    """An output in the document: with its data, or with the `size` of the data behind it."""
    document: dict[str, Any] = {
        "name": output.name,
        "shape": list(output.values.shape),
        "datatype": output.datatype,
    }
    parameters: dict[str, Any] = {"classes": output.classes} if output.classes else {}
    if size is None:
        document["data"] = output.values.ravel().tolist()
    else:
        parameters[_SIZE] = size
    if parameters:
        document["parameters"] = parameters
    return document
