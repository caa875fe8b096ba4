"""The geometry of the pages' pictures: what is a number in a report becomes a place in a plot.

Templates draw it; nothing is judged and no text is made here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pilotage.core.artifacts import Contribution, DriftReport, EstimatedPerformance, FeatureDrift, Performance
from pilotage.serving.monitor.drift.comparisons import severity

WIDTH, HEIGHT = 640.0, 200.0
"""Of the line plot's field."""
MOST_CONTRIBUTIONS = 8
"""Features whose part of a shift is drawn."""


def columns_in(report: DriftReport) -> list[FeatureDrift]:
    """The features, then what the model says."""
    return [*report.features, *(part for part in (report.prediction, report.score) if part is not None)]


def column(part: FeatureDrift) -> dict[str, Any]:
    """A column with the bars of its picture, their lengths from 0 to 100."""
    top = max((*part.reference, *part.window, 1e-9))
    bars = [
        {
            "label": label,
            "reference": reference,
            "window": window,
            "r": 100 * reference / top,
            "w": 100 * window / top,
        }
        for label, reference, window in zip(part.labels, part.reference, part.window, strict=True)
    ]
    return {"part": part, "bars": bars}


def contributions(parts: Sequence[Contribution]) -> list[dict[str, Any]]:
    """The largest parts of a shift, with the place and width of their bars from 0 to 100."""
    ranked = sorted(parts, key=lambda part: -abs(part.value))[:MOST_CONTRIBUTIONS]
    top = max((abs(part.value) for part in ranked), default=0.0) or 1.0
    return [
        {"part": part, "width": 50 * abs(part.value) / top, "x": 50 + min(0.0, 50 * part.value / top)}
        for part in ranked
    ]


def heat(reports: Sequence[DriftReport], most: int) -> dict[str, Any]:
    """Rows of columns by how often they drifted in the latest `most` windows; cells have window and shade."""
    left_out, reports = max(len(reports) - most, 0), reports[-most:]
    found: dict[tuple[bool, str], dict[int, FeatureDrift]] = {}
    for position, report in enumerate(reports):
        for order, part in enumerate(columns_in(report)):
            key = order < len(report.features), part.feature  # a feature may be called `score`
            found.setdefault(key, {})[position] = part
    ranked = sorted(
        found,
        key=lambda key: (
            -sum(part.drifted for part in found[key].values()),
            -max(severity(part) for part in found[key].values()),
        ),
    )
    rows = [
        {
            "name": key[1],
            "cells": [
                {"at": position, "part": part, "shade": _shade(severity(part))}
                for position, part in found[key].items()
            ],
        }
        for key in ranked
    ]
    cell = max(6, min(24, 640 // max(len(reports), 1)))
    return {"reports": list(reports), "rows": rows, "cell": cell, "left_out": left_out}


def _shade(value: float) -> float:
    """0 for no difference, 1 for a population stability index of 2 or what matters as much."""
    return round(min(1.0, math.log1p(10 * value) / math.log1p(20)), 3)


def line(reports: Sequence[DriftReport]) -> dict[str, Any] | None:
    """Realized and estimated metric of each window in the field of the plot; None without any value.

    Points have their place, that of their interval's ends, and that of the reference.
    """
    realized = [
        (report, report.performance)
        for report in reports
        if report.performance is not None and report.performance.value is not None
    ]
    estimated = [
        (report, report.estimated)
        for report in reports
        if report.estimated is not None and report.estimated.value is not None
    ]
    held: list[tuple[DriftReport, Performance | EstimatedPerformance]] = [*realized, *estimated]
    if not held:
        return None
    ends = [(part.value, part.low, part.high, part.reference) for _, part in held]
    low, high = _field([value for values in ends for value in values if value is not None])
    starts = sorted(report.start for report, _ in held)
    span = max((starts[-1] - starts[0]).total_seconds(), 1.0)

    def y(value: float | None) -> float | None:
        return None if value is None else round((high - value) / (high - low) * HEIGHT, 1)

    def point(report: DriftReport, part: Performance | EstimatedPerformance) -> dict[str, Any]:
        x = round((report.start - starts[0]).total_seconds() / span * WIDTH, 1)
        places = {
            "y": y(part.value),
            "low": y(part.low),
            "high": y(part.high),
            "reference": y(part.reference),
        }
        return {"x": x, **places, "report": report, "part": part}

    return {
        "metric": held[0][1].metric,
        "points": [point(report, part) for report, part in realized],
        "estimates": [point(report, part) for report, part in estimated],
        "ticks": [{"y": y(value), "value": value} for value in _ticks(low, high)],
        "first": starts[0],
        "last": starts[-1],
        "width": WIDTH,
        "height": HEIGHT,
    }


def _field(values: Sequence[float]) -> tuple[float, float]:
    """Ends of the plot's field, with a margin around all `values`."""
    low, high = min(values), max(values)
    margin = (high - low or abs(high) or 1.0) * 0.08
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers between `low` and `high`."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step)
    return [round(k * step, 12) for k in range(first, math.floor(high / step) + 1)]
