"""Commands and fragments of pilot.yaml that would earn a point, made for the pilot at hand.

A fragment holds keys that are added to pilot.yaml or take the place of what is there; gates and excluded
columns are added to those that are there. What pilot.yaml says already is not said again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from pilotage.core.artifacts import Scorecard, Snapshot
from pilotage.core.metrics import Measure, Task
from pilotage.core.specs import Estimator, FeatureKind, PilotSpec

_SPACES: Mapping[str, Mapping[str, Any]] = {
    Estimator.LOGISTIC_REGRESSION: {"C": {"low": 0.001, "high": 100.0, "log": True}},
    Estimator.HIST_GRADIENT_BOOSTING: {
        "learning_rate": {"low": 0.02, "high": 0.3, "log": True},
        "max_leaf_nodes": {"low": 4, "high": 64},
    },
    Estimator.RANDOM_FOREST: {
        "min_samples_leaf": {"low": 1, "high": 200, "log": True},
        "max_features": {"low": 0.1, "high": 1.0},
    },
    Estimator.LIGHTGBM: {
        "learning_rate": {"low": 0.02, "high": 0.3, "log": True},
        "num_leaves": {"low": 4, "high": 64},
    },
    Estimator.XGBOOST: {
        "learning_rate": {"low": 0.02, "high": 0.3, "log": True},
        "max_depth": {"low": 2, "high": 10},
    },
}
_ADDED = ("gates", "exclude")
"""Lists to which items are added."""
_RIDGE = {"alpha": {"low": 0.001, "high": 100.0, "log": True}}
_OWN = {"YOUR_PARAMETER": {"low": 0.1, "high": 1.0}}


def text(content: Mapping[str, Any]) -> str:
    """A fragment as YAML."""
    return str(yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)).rstrip()


def merged(base: Mapping[str, Any], fragment: Mapping[str, Any]) -> dict[str, Any]:
    """The content of pilot.yaml with a fragment in it."""
    whole = dict(base)
    for key, value in fragment.items():
        held = whole.get(key)
        if isinstance(value, Mapping) and isinstance(held, Mapping) and key != "features":
            whole[key] = merged(held, value)
        elif key in _ADDED and isinstance(held, Sequence):
            whole[key] = [*held, *(item for item in value if item not in held)]
        else:
            whole[key] = value
    return whole


def hook(pilot: str) -> str:
    """A file of webhooks that tells somebody of events about a pilot."""
    address = {"url": "https://hooks.example.org/pilotage", "secret": "env:PILOTAGE_HOOK_SECRET"}
    return str(yaml.safe_dump([{"name": "on-call", **address, "pilots": [pilot]}], sort_keys=False)).rstrip()


def gate(**condition: Any) -> str:
    """A gate more."""
    return text({"gates": [condition]})


def without(spec: PilotSpec, names: Sequence[str]) -> str:
    """Features that are to go."""
    declared = spec.data.features
    if declared is None:
        return text({"data": {"exclude": list(names)}})
    return text({"data": {"features": {n: kind.value for n, kind in declared.items() if n not in names}}})


def pinned(snapshot: Snapshot) -> str:
    """The features of a snapshot as the ones that are allowed."""
    return text({"data": {"features": {item.name: item.kind.value for item in snapshot.features}}})


def search(spec: PilotSpec) -> str:
    """A search of the estimator's parameters that matter most."""
    name = spec.train.estimator
    linear = name == Estimator.LOGISTIC_REGRESSION and spec.task is Task.REGRESSION
    space = _RIDGE if linear else _SPACES.get(name, _OWN)
    return text({"train": {"search": {"trials": 20, "timeout": "10m", "space": dict(space)}}})


def latency(spec: PilotSpec, card: Scorecard | None) -> str:
    """A limit of the time for a row: what serving promises, or twice what was measured if that is more."""
    measured = 2 * card.latency.p99_ms if card is not None else 0.0
    return gate(metric=str(Measure.LATENCY_P99_MS), max=math.ceil(max(spec.serve.p99_ms, measured)))


def groups(snapshot: Snapshot | None, card: Scorecard | None, measure: Measure, most: float) -> str:
    """A limit of the difference between the groups of a column, the one whose worst slice is worst.

    Of the goal's metric it is no narrower than what the slices already differ by: a metric in the
    target's unit may have any size.
    """
    if measure is Measure.GROUP_METRIC_DIFFERENCE and card is not None:
        whole = card.metrics[card.metric].value if card.metric in card.metrics else None
        gaps = [
            abs(part.metric.value - whole)
            for part in card.slices
            if part.metric.value is not None and whole is not None
        ]
        most = max([most, *(float(f"{2 * gap:.2g}") for gap in gaps)])
    return gate(metric=str(measure), by=_column(snapshot, card) or "COLUMN", max=most)


def _column(snapshot: Snapshot | None, card: Scorecard | None) -> str:
    if snapshot is None:
        return ""
    grouped = [
        item.name for item in snapshot.features if item.kind in (FeatureKind.CATEGORY, FeatureKind.BOOLEAN)
    ]
    sliced = [part.column for part in card.slices] if card is not None else []
    known = {column.name for column in snapshot.columns}
    ranked = [name for name in sliced if name in grouped] + grouped + [n for n in sliced if n in known]
    return ranked[0] if ranked else snapshot.features[0].name
