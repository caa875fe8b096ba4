"""From the tensors of an inference request to a batch, whichever way the tensors were written.

JSON gives lists of values, the binary layout and gRPC give arrays, which become
columns without a look at single values in Python. How tensors are written is not
known here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pilotage.core import errors, features
from pilotage.core.artifacts import Feature, Model
from pilotage.core.specs import FeatureKind
from pilotage.serving import problems
from pilotage.serving.limits import Limits
from pilotage.serving.protocols import batches
from pilotage.serving.protocols.batches import Batch
from pilotage.serving.protocols.binaries import BYTES, DTYPES, Array


class Tensor(NamedTuple):
    """One input, flat."""

    name: str
    datatype: str
    values: Array | list[Any]
    """An array, or a list with None where a value is missing."""


def check_datatype(name: str, datatype: str) -> None:
    """Refuse a datatype that is none of the protocol's, or that nothing here can read.

    Raises:
        RequestError: names the tensor.
    """
    if datatype != BYTES and datatype not in DTYPES:
        raise errors.RequestError(
            f"Input `{name}` has the datatype `{datatype[:20]}`, expected BYTES, BOOL, INT*, UINT* or FP*.",
            tensor=name,
        )


def rows_of(name: str, shape: Any, limits: Limits) -> int:
    """How many rows a tensor of `shape` has, which must be [n] or [n, 1].

    Raises:
        RequestError: it has another shape.
        Problem: there are more rows than are taken.
    """
    sizes = shape if isinstance(shape, Sequence) and not isinstance(shape, str) else ()
    whole = all(type(size) is int and size >= 0 for size in sizes)
    if not whole or len(sizes) not in (1, 2) or (len(sizes) == 2 and sizes[1] != 1):
        raise errors.RequestError(
            f"Input `{name}` has the shape {repr(shape)[:60]}, expected [n] or [n, 1].", tensor=name
        )
    if sizes[0] > limits.rows:
        raise problems.too_many(f"rows in input `{name}`", sizes[0], limits.rows)
    return int(sizes[0])


def batch_of(tensors: Sequence[Tensor], model: Model, ids: Any = None) -> Batch:
    """The batch of a request's tensors; those that the model does not know are left out.

    Args:
        tensors: in any order, each name once.
        model: that answers.
        ids: by row; when None, the tensor named as the pilot's key, if there is one.

    Raises:
        RequestError: a feature is missing or of another kind, tensors differ in rows, or an id is wrong.
    """
    given: dict[str, Tensor] = {}
    for tensor in tensors:
        if tensor.name in given:
            raise errors.RequestError(f"Input `{tensor.name}` comes twice.", tensor=tensor.name)
        given[tensor.name] = tensor
    rows = _check_rows(tensors)
    columns = {feature.name: _column(feature, given.get(feature.name)) for feature in model.features}
    if ids is None and model.key in given:
        ids = _plain(given[model.key].values)
    times = _plain(given[model.time].values) if model.time in given else None
    return Batch(rows, columns, batches.texts(ids, rows), batches.instants(model.time, times))


def _check_rows(tensors: Sequence[Tensor]) -> int:
    lengths = {tensor.name: len(tensor.values) for tensor in tensors}
    if len(set(lengths.values())) > 1:
        (one, short), (two, long) = (pick(lengths.items(), key=lambda item: item[1]) for pick in (min, max))
        raise errors.RequestError(
            f"Input `{one}` has {short} rows and `{two}` has {long}, expected as many in each."
        )
    return next(iter(lengths.values()), 0)


def _column(feature: Feature, tensor: Tensor | None) -> Array:
    if tensor is None:
        raise errors.RequestError(
            f"Feature `{feature.name}` is missing.",
            remedy=f"Send {features.EXPECTED[feature.kind]}.",
            feature=feature.name,
        )
    if feature.kind is FeatureKind.TIME and tensor.datatype != BYTES:
        raise errors.RequestError(
            f"Input `{tensor.name}` is {tensor.datatype}, expected BYTES with ISO 8601 times.",
            tensor=tensor.name,
        )
    values = tensor.values
    if isinstance(values, list):
        return features.from_values(feature, values)
    if feature.kind is FeatureKind.NUMBER and tensor.datatype != "BOOL":
        numbers = values.astype(np.float64)
        return _checked(feature, numbers, np.isinf(numbers))
    if feature.kind is FeatureKind.BOOLEAN:
        truths = values.astype(np.float64)
        return _checked(feature, truths, ~((truths == 0) | (truths == 1) | np.isnan(truths)))
    return features.from_values(feature, _plain(values))


def _checked(feature: Feature, column: Array, wrong: Array) -> Array:
    if wrong.any():
        row = int(wrong.argmax())
        raise errors.RequestError(
            f"Row {row}: feature `{feature.name}` is {column[row]}, expected {_EXPECTED[feature.kind]}.",
            row=row,
            feature=feature.name,
        )
    return column


_EXPECTED = {
    FeatureKind.NUMBER: "a finite number, or NaN where it is missing",
    FeatureKind.BOOLEAN: "0, 1, or NaN where it is missing",
}


def _plain(values: Array | list[Any]) -> list[Any]:
    """Values as Python's own, None where they are missing."""
    if isinstance(values, list):
        return values
    found: list[Any] = values.tolist()
    if values.dtype.kind == "f":
        return [None if math.isnan(value) else value for value in found]
    return found
