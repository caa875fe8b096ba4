"""The pages a person reads: one for each report, one over all reports of a pilot.

Each is one file that loads nothing, runs no script and escapes all it shows. What the
numbers mean is decided elsewhere; here they become text and geometry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pilotage.core.artifacts import DriftReport, FeatureDrift, instant
from pilotage.core.specs import Monitor
from pilotage.serving.monitor.comparisons import severity

_WIDTH, _HEIGHT = 640.0, 200.0
"""Of the line plot's field."""
MOST_COLUMNS = 160
"""Windows that the heat map shows, the latest ones."""


def render(report: DriftReport, monitor: Monitor) -> str:
    """The page of one report."""
    ranked = sorted(columns_in(report), key=lambda part: (not part.drifted, -severity(part)))
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            monitor=monitor,
            drifted=[_figure(part) for part in ranked if part.drifted],
            quiet=[_figure(part) for part in ranked if not part.drifted],
        )
    )


def columns_in(report: DriftReport) -> list[FeatureDrift]:
    """The features, then what the model says."""
    return [*report.features, *(part for part in (report.prediction, report.score) if part is not None)]


def render_index(pilot: str, reports: Sequence[DriftReport]) -> str:
    """The page over all `reports` of a pilot, at least one."""
    ordered = sorted(reports, key=lambda report: (report.start, report.version))
    return (
        _environment()
        .get_template("index.html.j2")
        .render(
            pilot=pilot,
            reports=ordered,
            heat=_heat(ordered[-MOST_COLUMNS:]),
            line=_line(ordered),
            drifted=lambda report: [part.feature for part in columns_in(report) if part.drifted],
            link=lambda report: f"{report.version}/{instant(report.start)}/drift.html",
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pilotage.serving.monitor"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "short": _short, "brief": _brief, "p": _p, "minute": _minute}
    return environment


def _percent(share: float) -> str:
    """Share as a percentage, with more digits where it is small."""
    if share and abs(share) < 0.0995:
        return f"{share:.2%}" if abs(share) < 0.00995 else f"{share:.1%}"
    return f"{share:.0%}"


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _brief(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _p(value: float) -> str:
    return "< 1e-15" if value < 1e-15 else f"{value:.2g}"


def _minute(time: Any) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _figure(part: FeatureDrift) -> dict[str, Any]:
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


def _heat(reports: Sequence[DriftReport]) -> dict[str, Any]:
    """Rows of columns by how often they drifted; each cell has its window and its shade."""
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
    return {"reports": list(reports), "rows": rows, "cell": max(6, min(24, 640 // max(len(reports), 1)))}


def _shade(value: float) -> float:
    """0 for no difference, 1 for a population stability index of 2 or what matters as much."""
    return round(min(1.0, math.log1p(10 * value) / math.log1p(20)), 3)


def _line(reports: Sequence[DriftReport]) -> dict[str, Any] | None:
    """Points, intervals and references of the realized metric in the field of the plot; None without any."""
    held = [
        (report, part)
        for report in reports
        if (part := report.performance) is not None and part.value is not None
    ]
    if not held:
        return None
    values = [
        value
        for _, part in held
        for value in (part.value, part.low, part.high, part.reference)
        if value is not None
    ]
    low, high = min(values), max(values)
    margin = (high - low or abs(high) or 1.0) * 0.08
    low, high = low - margin, high + margin
    first = held[0][0].start.timestamp()
    span = max(held[-1][0].start.timestamp() - first, 1.0)

    def x(report: DriftReport) -> float:
        return round((report.start.timestamp() - first) / span * _WIDTH, 1)

    def y(value: float | None) -> float | None:
        return None if value is None else round((high - value) / (high - low) * _HEIGHT, 1)

    points = [
        {
            "x": x(report), "y": y(part.value), "low": y(part.low), "high": y(part.high),
            "reference": y(part.reference), "report": report, "part": part,
        }
        for report, part in held
    ]  # fmt: skip
    ticks = [{"y": y(value), "value": value} for value in _ticks(low, high)]
    return {"metric": held[0][1].metric, "points": points, "ticks": ticks, "width": _WIDTH, "height": _HEIGHT}


def _ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers between `low` and `high`."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step)
    return [round(k * step, 12) for k in range(first, math.floor(high / step) + 1)]
