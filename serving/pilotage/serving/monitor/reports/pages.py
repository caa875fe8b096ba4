"""The pages a person reads: one for each report, one over all reports of a pilot.

Each is one file that loads nothing, runs no script and escapes all it shows. What the
numbers mean is decided elsewhere, their geometry in `figures`; here they become text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pilotage.core.artifacts import DriftReport, instant
from pilotage.core.specs import Monitor
from pilotage.serving.monitor.drift.comparisons import weight
from pilotage.serving.monitor.reports import figures
from pilotage.serving.monitor.tables import TableDrift

MOST_COLUMNS = 160
"""Windows that the heat map over all windows shows, the latest ones."""
MOST_BEFORE = 40
"""Windows that the timeline on the page of one window shows."""


def render(report: DriftReport, monitor: Monitor, earlier: Sequence[DriftReport] = ()) -> str:
    """The page of one report, with those of the windows before it as a timeline."""
    ranked = sorted(figures.columns_in(report), key=lambda part: (not part.drifted, -weight(part)))
    series = _ordered([*earlier, report])
    known = [part for part in report.features if part.importance is not None]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            monitor=monitor,
            drifted=[figures.column(part) for part in ranked if part.drifted],
            quiet=[figures.column(part) for part in ranked if not part.drifted],
            at_stake=sum(part.importance or 0.0 for part in known if part.drifted) if known else None,
            contributions=figures.contributions(report.contributions),
            losses=figures.contributions(report.loss_contributions),
            shift=sum(part.value for part in report.contributions),
            line=figures.line(series),
            heat=figures.heat(series, MOST_BEFORE),
        )
    )


def _ordered(reports: Sequence[DriftReport]) -> list[DriftReport]:
    return sorted(reports, key=lambda report: (report.start, report.version))


def render_index(pilot: str, reports: Sequence[DriftReport]) -> str:
    """The page over all `reports` of a pilot, at least one."""
    ordered = _ordered(reports)
    return (
        _environment()
        .get_template("index.html.j2")
        .render(
            pilot=pilot,
            reports=ordered,
            heat=figures.heat(ordered, MOST_COLUMNS),
            line=figures.line(ordered),
            track=next((report.track for report in reversed(ordered) if report.track), None),
            drifted=lambda report: [part.feature for part in figures.columns_in(report) if part.drifted],
            link=lambda report: f"{report.version}/{instant(report.start)}/drift.html",
        )
    )


def render_tables(found: TableDrift) -> str:
    """The page of two tables beside each other."""
    return (
        _environment()
        .get_template("tables.html.j2")
        .render(
            found=found,
            drifted=[figures.column(part) for part in found.columns if part.drifted],
            quiet=[figures.column(part) for part in found.columns if not part.drifted],
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pilotage.serving.monitor.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent, "short": _short, "brief": _brief, "signed": _signed, "p": _p, "minute": _minute,
    }  # fmt: skip
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


def _signed(value: float) -> str:
    return f"{value:+.3g}"


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 1e-15" if value < 1e-15 else f"{value:.2g}"


def _minute(time: Any) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
