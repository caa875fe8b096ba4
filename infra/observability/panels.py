"""Panels and boards as Grafana reads them: JSON of schema 39, which Grafana 10.2 and newer take.

Panels are laid out in rows of 24 columns, get their ids in order and ask the
data source that the reader chooses. What they show is in
`services`, `platforms` and `drifts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
_SCHEMA = 39


@dataclass(frozen=True)
class Query:
    """One expression and how its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel; `unit` is one of Grafana's (`s`, `percentunit`, `reqps`, `bytes`, …)."""

    title: str
    text: str
    """What it shows, for whoever hovers over it."""
    queries: Sequence[Query]
    unit: str = "short"
    kind: str = "timeseries"
    """timeseries, stat, bargauge or table."""
    width: int = 8
    height: int = 8
    thresholds: Sequence[tuple[float | None, str]] = ((None, "green"),)
    """Values from which a colour holds; None for the lowest."""
    least: float | None = 0.0
    decimals: int | None = None
    names: dict[str, str] = field(default_factory=dict)
    """Titles of a table's columns."""
    mappings: dict[str, str] = field(default_factory=dict)
    """Words for values."""


@dataclass(frozen=True)
class Row:
    """Panels under a title."""

    title: str
    panels: Sequence[Panel]


def variable(name: str, label: str, query: str, *, many: bool = True) -> dict[str, Any]:
    """A choice among the values of a label."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": f"Variable-{name}"},
        "refresh": 2,
        "sort": 1,
        "multi": many,
        "includeAll": many,
        "allValue": ".*" if many else None,
        "current": {"text": "All", "value": "$__all"} if many else {},
    }


def board(
    uid: str,
    title: str,
    text: str,
    rows: Sequence[Row],
    variables: Sequence[dict[str, Any]],
    *,
    since: str = "now-6h",
) -> dict[str, Any]:
    """A whole dashboard."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        panels.append(_heading(row.title, len(panels) + 1, top))
        top += 1
        left, tallest = 0, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                left, top, tallest = 0, top + tallest, 0
            place = {"h": panel.height, "w": panel.width, "x": left, "y": top}
            panels.append(_panel(panel, len(panels) + 1, place))
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
    source = {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "refresh": 1,
        "multi": False,
        "includeAll": False,
    }
    return {
        "uid": uid,
        "title": title,
        "description": text,
        "tags": ["pilotage"],
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "utc",
        "refresh": "1m",
        "time": {"from": since, "to": "now"},
        "templating": {"list": [source, *variables]},
        "annotations": {"list": []},
        "links": [
            {
                "title": "Pilotage",
                "type": "dashboards",
                "tags": ["pilotage"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "panels": panels,
    }


def _heading(title: str, number: int, top: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "panels": [],
        "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": top},
    }


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    steps = [{"color": color, "value": value} for value, color in panel.thresholds]
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": _mappings(panel),
    }
    if panel.least is not None:
        defaults["min"] = panel.least
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    if panel.kind == "timeseries":
        style = "dashed" if len(panel.thresholds) > 1 else "off"
        defaults["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 5,
            "showPoints": "never",
            "spanNulls": False,
            "thresholdsStyle": {"mode": style},
        }
    found = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [_target(query, position, panel.kind) for position, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel),
    }
    if panel.kind == "table":
        found["transformations"] = _columns(panel)
    return found


def _mappings(panel: Panel) -> list[dict[str, Any]]:
    if not panel.mappings:
        return []
    words = {
        value: {"text": word, "index": index} for index, (value, word) in enumerate(panel.mappings.items())
    }
    return [{"type": "value", "options": words}]


def _target(query: Query, position: int, kind: str) -> dict[str, Any]:
    instant = kind != "timeseries"
    return {
        "refId": chr(ord("A") + position),
        "datasource": SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": instant,
        "range": not instant,
        "format": "table" if kind == "table" else "time_series",
    }


def _options(panel: Panel) -> dict[str, Any]:
    reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if panel.kind == "timeseries":
        return {
            "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    if panel.kind == "stat":
        return {"reduceOptions": reduced, "colorMode": "background", "graphMode": "none", "textMode": "auto"}
    if panel.kind == "bargauge":
        return {"reduceOptions": reduced, "orientation": "horizontal", "displayMode": "basic"}
    return {"showHeader": True, "cellHeight": "sm"}


def _columns(panel: Panel) -> list[dict[str, Any]]:
    """Queries side by side, one line for each set of labels."""
    hidden = {"Time": True, **{f"Time {number}": True for number in range(1, len(panel.queries) + 1)}}
    return [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": hidden, "renameByName": dict(panel.names)}},
    ]
