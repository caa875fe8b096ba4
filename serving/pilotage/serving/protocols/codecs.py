"""The body of Pilotage's own protocol, and how all protocols write JSON.

The others' are in `invocations` and `tensors`. Routes, statuses and headers are
not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from pilotage.core.artifacts import Model
from pilotage.core.models import Prediction
from pilotage.serving.limits import Limits
from pilotage.serving.protocols import batches
from pilotage.serving.protocols.batches import Answer, Decoded

Writer = Callable[[Model, int, list[str | None] | None, list[Any], list[list[float]] | None], bytes]
"""Writes an answer from model, version, ids, predictions and probabilities, the last two as plain lists."""

_DUMP = orjson.OPT_SERIALIZE_NUMPY


def dump(document: Any) -> bytes:
    """A document in JSON, numpy arrays as lists; numbers that are not finite become null."""
    return orjson.dumps(document, option=_DUMP)


def values_of(prediction: Prediction) -> list[Any]:
    """Predictions as plain values."""
    found: list[Any] = prediction.predictions.tolist()
    return found


def rows(body: bytes, content_type: str, model: Model, limits: Limits) -> Decoded:
    """`POST /predict`: `{"rows": [{feature: value}], "ids"?: […]}`.

    Raises:
        Problem: the body is not JSON, or has too many rows.
        RequestError: it is of another shape, or a row cannot be taken.
    """
    document = batches.check_keys(batches.parse_json(body, content_type), ("rows",), ("ids",))
    given = batches.check_list(document["rows"], "rows", limits.rows)
    return Decoded(batches.of_rows(model, given, document.get("ids")), _predictions)


def _predictions(answer: Answer) -> bytes:
    shares = answer.prediction.probabilities
    return write_predictions(
        answer.model,
        answer.version,
        answer.batch.ids,
        values_of(answer.prediction),
        None if shares is None else shares.tolist(),
    )


def write_predictions(
    model: Model,
    version: int,
    ids: list[str | None] | None,
    predictions: list[Any],
    probabilities: list[list[float]] | None,
) -> bytes:
    """The answer of `/predict`."""
    document: dict[str, Any] = {
        "model": model.pilot,
        "version": version,
        "ids": ids,
        "predictions": predictions,
    }
    if probabilities is not None:
        document["probabilities"] = probabilities
        document["classes"] = model.classes
    return orjson.dumps(document)
