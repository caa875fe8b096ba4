"""How long one row takes: from a request's values to a prediction, in this process.

On one thread, as a model server predicts: for one row, threads that wait for
each other cost more than the work, on a busy machine a hundred times more.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pilotage.components.datasets import Dataset
from pilotage.core import embeddings, features
from pilotage.core.artifacts import Latency
from pilotage.core.models import Predictor
from pilotage.core.specs import FeatureKind

CALLS = 200
WARM_UP = 5
MOST_SECONDS = 2.0


def measure(predictor: Predictor, dataset: Dataset) -> Latency:
    """Percentiles over `CALLS` single-row predictions after warming up, bounded by `MOST_SECONDS`."""
    count = min(dataset.rows, CALLS)
    rows = as_rows(dataset.take(np.linspace(0, dataset.rows - 1, count).astype(np.int64)))
    taken: list[float] = []
    with threadpool_limits(1), embeddings.uncached():
        for row in rows[:WARM_UP]:
            _call(predictor, row)
        end = time.perf_counter() + MOST_SECONDS
        while len(taken) < CALLS and (time.perf_counter() < end or not taken):
            taken.append(_call(predictor, rows[len(taken) % count]))
    p50, p90, p99 = (float(value) for value in np.percentile(taken, [50, 90, 99]))
    return Latency(p50_ms=p50, p90_ms=p90, p99_ms=p99, calls=len(taken))


def _call(predictor: Predictor, row: dict[str, Any]) -> float:
    start = time.perf_counter()
    predictor.predict(features.from_rows(predictor.model.features, [row]))
    return (time.perf_counter() - start) * 1000


def as_rows(dataset: Dataset) -> list[dict[str, Any]]:
    """The rows as a request would carry them."""
    columns = {
        feature.name: [_plain(feature.kind, value) for value in dataset.columns[feature.name].tolist()]
        for feature in dataset.features
    }
    return [{name: values[place] for name, values in columns.items()} for place in range(dataset.rows)]


def _plain(kind: FeatureKind, value: Any) -> Any:
    if value is None or (isinstance(value, float) and value != value):
        return None
    if kind is FeatureKind.BOOLEAN:
        return bool(value)
    return value.isoformat() if kind is FeatureKind.TIME else value
