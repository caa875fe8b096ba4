"""Report pages: one HTML file each that needs nothing from outside and no script.

Styles and graphics are inside; a content security policy forbids all else, so
that no value from the data can make a browser load or run anything.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pilotage.core.artifacts import Column, Report, Severity, Snapshot

MOST_ROWS = 500
"""Rows of a table; of very wide data the rest is in the JSON beside the page."""


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates of this room, escaping everything that they are given."""
    return Environment(
        loader=PackageLoader("pilotage.components", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(report: Report, snapshot: Snapshot, champion: Snapshot | None) -> str:
    """The validation report as one self-contained page."""
    failed = [check for check in report.checks if not check.success]
    stopped = sum(check.severity is Severity.CRITICAL for check in failed)
    critical = stopped + sum(item.severity is Severity.CRITICAL for item in report.findings)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            snapshot=snapshot,
            champion=champion,
            critical=critical,
            warned=len(failed) + len(report.findings) - critical,
            passed=len(report.checks) - len(failed),
            skews=_bars(report),
            tolerances=any(check.tolerance for check in report.checks),
            columns=_columns(snapshot),
            most=MOST_ROWS,
        )
    )


def _bars(report: Report) -> list[dict[str, Any]]:
    """Value skews with the length of their bar in percent of the longest."""
    longest = max((skew.effect or 0.0 for skew in report.value_skew), default=0.0) or 1.0
    return [
        {"skew": skew, "percent": None if skew.effect is None else round(100 * skew.effect / longest, 1)}
        for skew in report.value_skew
    ]


def _columns(snapshot: Snapshot) -> list[dict[str, Any]]:
    kinds = {feature.name: feature.kind.value for feature in snapshot.features}
    reasons = {item.name: item.reason for item in snapshot.excluded}
    return [
        {
            "column": column,
            "role": f"feature, {kinds[column.name]}"
            if column.name in kinds
            else reasons.get(column.name, ""),
            "nulls_percent": _nulls(column, snapshot),
        }
        for column in snapshot.columns
    ]


def _nulls(column: Column, snapshot: Snapshot) -> float:
    return round(100 * column.nulls / snapshot.rows, 2)
