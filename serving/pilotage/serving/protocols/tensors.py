"""The Open Inference Protocol, version 2, in JSON: one named input tensor for each feature.

Follows https://github.com/open-inference/open-inference-protocol (REST). A
tensor has the shape [n] or [n, 1]; `null` among its data stands for a missing
value. The ids of rows may come as `parameters.ids` or as a tensor named as the
pilot's key. The binary extension is not spoken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pilotage.core import errors
from pilotage.core.artifacts import Feature, Model
from pilotage.core.metrics import Task
from pilotage.core.specs import FeatureKind
from pilotage.serving.limits import Limits
from pilotage.serving.protocols import batches, codecs
from pilotage.serving.protocols.batches import Answer, Decoded

PREDICTION = "prediction"
PROBABILITIES = "probabilities"
PLATFORM = "pilotage"

_INTEGERS = {f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
_FLOATS = {"FP16", "FP32", "FP64"}
_DATATYPES = {
    FeatureKind.NUMBER: "FP64",
    FeatureKind.BOOLEAN: "BOOL",
    FeatureKind.CATEGORY: "BYTES",
    FeatureKind.TIME: "BYTES",
}


def metadata(model: Model, version: int) -> dict[str, Any]:
    """What the protocol calls model metadata."""
    return {
        "name": model.pilot,
        "versions": [str(version)],
        "platform": PLATFORM,
        "inputs": [
            {"name": feature.name, "datatype": _DATATYPES[feature.kind], "shape": [-1]}
            for feature in model.features
        ],
        "outputs": _outputs(model),
    }


def _outputs(model: Model) -> list[dict[str, Any]]:
    outputs: list[dict[str, Any]] = [{"name": PREDICTION, "datatype": _output_type(model), "shape": [-1]}]
    if model.task is Task.CLASSIFICATION:
        outputs.append({"name": PROBABILITIES, "datatype": "FP64", "shape": [-1, len(model.classes)]})
    return outputs


def _output_type(model: Model) -> str:
    if model.task is Task.REGRESSION:
        return "FP64"
    kinds = {type(value) for value in model.classes}
    return (
        {bool: "BOOL", int: "INT64", float: "FP64"}.get(kinds.pop(), "BYTES") if len(kinds) == 1 else "BYTES"
    )


def decode(body: bytes, content_type: str, model: Model, limits: Limits) -> Decoded:
    """The batch of an inference request.

    Raises:
        Problem: the body is not JSON, or has too many rows.
        RequestError: it is of another shape, or a tensor or a value cannot be taken.
    """
    document = batches.check_keys(
        batches.parse_json(body, content_type), ("inputs",), ("id", "parameters", "outputs")
    )
    identity = document.get("id")
    if identity is not None and not isinstance(identity, str):
        raise errors.RequestError(f"`id` is {batches.kind_of(identity)}, expected text.", key="id")
    wanted = _wanted(document.get("outputs"), model, limits)
    kinds = {feature.name: feature for feature in model.features}
    columns: dict[str, list[Any]] = {}
    for position, tensor in enumerate(batches.check_list(document["inputs"], "inputs", limits.rows)):
        name, values = _tensor(tensor, position, kinds, limits)
        if name in columns:
            raise errors.RequestError(f"Input `{name}` comes twice.", tensor=name)
        columns[name] = values
    rows = _rows(columns)
    batch = batches.of_columns(model, columns, rows, _ids(document.get("parameters")))
    return Decoded(batch, _encoder(identity, wanted))


def _ids(parameters: Any) -> Any:
    if parameters is None:
        return None
    if not isinstance(parameters, dict):
        raise errors.RequestError(f"`parameters` is {batches.kind_of(parameters)}, expected an object.")
    return parameters.get("ids")


def _wanted(outputs: Any, model: Model, limits: Limits) -> tuple[str, ...]:
    """Names of the outputs that the request asks for; all when it names none."""
    known = tuple(output["name"] for output in _outputs(model))
    if outputs is None:
        return known
    names: list[str] = []
    for item in batches.check_list(outputs, "outputs", limits.rows):
        name = item.get("name") if isinstance(item, dict) else None
        if name not in known:
            raise errors.RequestError(
                f"`outputs` names {str(name)[:60]}, expected {' or '.join(known)}.", key="outputs"
            )
        names.append(str(name))
    return tuple(names) or known


def _rows(columns: dict[str, list[Any]]) -> int:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        (one, short), (two, long) = (pick(lengths.items(), key=lambda item: item[1]) for pick in (min, max))
        raise errors.RequestError(
            f"Input `{one}` has {short} rows and `{two}` has {long}, expected as many in each."
        )
    return next(iter(lengths.values()), 0)


def _tensor(tensor: Any, position: int, kinds: dict[str, Feature], limits: Limits) -> tuple[str, list[Any]]:
    """Name and values of one input tensor."""
    if not isinstance(tensor, dict):
        raise errors.RequestError(f"Input {position} is {batches.kind_of(tensor)}, expected an object.")
    for key in ("name", "shape", "datatype", "data"):
        if key not in tensor:
            raise errors.RequestError(f"Input {position} lacks `{key}`.", tensor=position)
    name, datatype = tensor["name"], tensor["datatype"]
    if not isinstance(name, str) or not isinstance(datatype, str):
        raise errors.RequestError(f"Input {position}: `name` and `datatype` must be text.", tensor=position)
    rows = _shape(tensor["shape"], name)
    values = _flat(tensor["data"], name, limits)
    if len(values) != rows:
        raise errors.RequestError(
            f"Input `{name}` has {len(values)} values, expected {rows} by its shape.", tensor=name
        )
    matches = _check_of(datatype, name)
    for row, value in enumerate(values):
        if value is not None and not matches(value):
            raise errors.RequestError(
                f"Row {row}: feature `{name}` is {repr(value)[:60]}, which is not {datatype}.",
                row=row,
                feature=name,
            )
    feature = kinds.get(name)
    if feature is not None and feature.kind is FeatureKind.TIME and datatype != "BYTES":
        raise errors.RequestError(
            f"Input `{name}` is {datatype}, expected BYTES with ISO 8601 times.", tensor=name
        )
    return name, values


def _shape(shape: Any, name: str) -> int:
    sizes = shape if isinstance(shape, list) else []
    whole = all(type(size) is int and size >= 0 for size in sizes)
    if not whole or len(sizes) not in (1, 2) or (len(sizes) == 2 and sizes[1] != 1):
        raise errors.RequestError(
            f"Input `{name}` has the shape {repr(shape)[:60]}, expected [n] or [n, 1].", tensor=name
        )
    return int(sizes[0])


def _flat(data: Any, name: str, limits: Limits) -> list[Any]:
    values = batches.check_list(data, name, limits.rows)
    return [value[0] if isinstance(value, list) and len(value) == 1 else value for value in values]


def _check_of(datatype: str, name: str) -> Callable[[Any], bool]:
    if datatype == "BYTES":
        return lambda value: isinstance(value, str)
    if datatype == "BOOL":
        return lambda value: isinstance(value, bool)
    if datatype in _INTEGERS:
        return lambda value: type(value) is int
    if datatype in _FLOATS:
        return lambda value: type(value) in (int, float) and math.isfinite(value)
    raise errors.RequestError(
        f"Input `{name}` has the datatype `{datatype[:20]}`, expected BYTES, BOOL, INT*, UINT* or FP*.",
        tensor=name,
    )


def _encoder(identity: str | None, wanted: tuple[str, ...]) -> Callable[[Answer], bytes]:
    def encode(answer: Answer) -> bytes:
        document: dict[str, Any] = {
            "model_name": answer.model.pilot,
            "model_version": str(answer.version),
            "outputs": [tensor for tensor in _answer(answer) if tensor["name"] in wanted],
        }
        if identity is not None:
            document["id"] = identity
        return codecs.dump(document)

    return encode


def _answer(answer: Answer) -> list[dict[str, Any]]:
    datatype = _output_type(answer.model)
    values = codecs.values_of(answer.prediction)
    tensors: list[dict[str, Any]] = [
        {
            "name": PREDICTION,
            "shape": [len(values)],
            "datatype": datatype,
            "data": [str(value) for value in values] if datatype == "BYTES" else values,
        }
    ]
    probabilities = answer.prediction.probabilities
    if probabilities is not None:
        tensors.append(
            {
                "name": PROBABILITIES,
                "shape": list(probabilities.shape),
                "datatype": "FP64",
                "data": probabilities.ravel().tolist(),
                "parameters": {"classes": [str(value) for value in answer.model.classes]},
            }
        )
    return tensors
