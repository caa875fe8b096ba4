"""The demo's figures: what each month's traffic came to, under the first champion and under the live one.

Everything is computed from what was served and what the records say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pilotage.console.demo.observers import Retraining
from pilotage.console.demo.replays import Exchange
from pilotage.core import features, models
from pilotage.core.artifacts import DriftReport
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Month:
    """One month of traffic."""

    month: str
    requests: int
    failed: int
    p99_ms: float | None
    drifted: tuple[str, ...]
    """Features that drifted in one of its windows, the most frequent first."""
    auc_first: float | None
    auc_live: float | None
    retrainings: int
    versions: tuple[int, ...]
    """That answered."""


@dataclass(frozen=True)
class Comparison:
    """Both champions on the rows that came after the first retrained one took over."""

    rows: int
    auc_first: float | None
    auc_live: float | None


def auc(labels: npt.NDArray[np.bool_], scores: Floats) -> float | None:
    """Area under the ROC curve, ties counted half (Hanley and McNeil, 1982); None with one class only.

    Args:
        labels: whether positive, shape `(n,)`.
        scores: higher is more positive, shape `(n,)`; NaN where there is none, which leaves the row out.
    """
    known = ~np.isnan(scores)
    labels, scores = labels[known], scores[known]
    positives = int(labels.sum())
    negatives = labels.size - positives
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def scores_of(version: int, pilot: str, settings: Settings, rows: pl.DataFrame) -> Floats:
    """What a version says of rows it may never have served, shape `(rows,)`."""
    registry = Registry(settings)
    predictor = models.open_predictor(registry.folder(registry.version(pilot, version)), settings)
    columns = features.from_table(predictor.model.features, rows.to_arrow())
    return predictor.predict(columns).score


def months(
    times: pl.Series,
    labels: npt.NDArray[np.bool_],
    first: Floats,
    live: Floats,
    exchanges: Sequence[Exchange],
    reports: Sequence[DriftReport],
    retrainings: Sequence[Retraining],
) -> list[Month]:
    """The figures by calendar month (UTC) of the flights."""
    keys = times.dt.strftime("%Y-%m").to_numpy()
    begins = str(keys[0])
    found = []
    for month in sorted(set(keys.tolist())):
        rows = keys == month
        asked = [item for item in exchanges if keys[item.first] == month]
        took = [item.milliseconds for item in asked]
        found.append(
            Month(
                month=month,
                requests=len(asked),
                failed=sum(item.status != 200 for item in asked),
                p99_ms=round(float(np.percentile(took, 99)), 2) if took else None,
                drifted=_drifted([item for item in reports if max(f"{item.start:%Y-%m}", begins) == month]),
                auc_first=auc(labels[rows], first[rows]),
                auc_live=auc(labels[rows], live[rows]),
                retrainings=sum(f"{item.trigger.at:%Y-%m}" == month for item in retrainings),
                versions=tuple(sorted({item.version for item in asked if item.version})),
            )
        )
    return found


def comparison(
    labels: npt.NDArray[np.bool_], first: Floats, live: Floats, exchanges: Sequence[Exchange]
) -> Comparison | None:
    """Both on the rows from the first answer of a retrained version on; None when none took over."""
    versions = [item.version for item in exchanges if item.version]
    began = next((item.first for item in exchanges if item.version > min(versions)), None)
    if began is None:
        return None
    return Comparison(
        rows=int(labels.size - began),
        auc_first=auc(labels[began:], first[began:]),
        auc_live=auc(labels[began:], live[began:]),
    )


def promotions(
    exchanges: Sequence[Exchange], retrainings: Sequence[Retraining], times: pl.Series, champion: int
) -> list[dict[str, Any]]:
    """Each retrained version that became champion, and from which flight on it answered."""
    found, replaced = [], champion
    for item in retrainings:
        if not item.promoted or item.version is None:
            continue
        first = next((exchange.first for exchange in exchanges if exchange.version == item.version), None)
        found.append(
            {
                "version": item.version,
                "replaced": replaced,
                "cause": item.trigger.cause.value,
                "run": item.run,
                "alarm_at": item.trigger.at.isoformat(),
                "live_from": _moment(times[first]) if first is not None else None,
            }
        )
        replaced = item.version
    return found


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat()


def _drifted(reports: Sequence[DriftReport]) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for report in reports:
        for feature in report.features:
            if feature.drifted:
                counts[feature.feature] = counts.get(feature.feature, 0) + 1
    return tuple(sorted(counts, key=lambda name: (-counts[name], name)))
