"""The body of Pilotage's own protocol, and how all protocols write JSON.

The others' are in `invocations` and `tensors`. Routes, statuses and headers are
not known here.
"""

from __future__ import annotations

from typing import Any

import orjson

from pilotage.core.artifacts import Model
from pilotage.core.models import Prediction
from pilotage.serving.limits import Limits
from pilotage.serving.protocols import batches
from pilotage.serving.protocols.batches import Answer, Decoded

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
    document: dict[str, Any] = {
        "model": answer.model.pilot,
        "version": answer.version,
        "ids": answer.batch.ids,
        "predictions": values_of(answer.prediction),
    }
    if answer.prediction.probabilities is not None:
        document["probabilities"] = answer.prediction.probabilities.tolist()
        document["classes"] = list(answer.model.classes)
    return dump(document)
