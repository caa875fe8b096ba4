"""Model cards (Mitchell et al., 2019): a scorecard for people, as Markdown and as one self-contained page.

Nothing is measured here, and the page loads nothing.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from pilotage.components.measures import bootstraps, slices
from pilotage.core import storage
from pilotage.core.artifacts import Estimate, Model, Report, Scorecard, Snapshot
from pilotage.core.specs import PilotSpec

MARKDOWN, PAGE = "card.md", Scorecard.CARD_FILE
_MOST_FEATURES = 200
_MOST_EXCLUDED = 20


def write(
    out: Path, spec: PilotSpec, snapshot: Snapshot, report: Report, model: Model, scorecard: Scorecard
) -> tuple[Path, Path]:
    """Write `card.md` and `card.html` in `out`; returns their paths."""
    facts = _facts(spec, snapshot, report, model, scorecard)
    markdown, page = out / MARKDOWN, out / PAGE
    environment = _environment()
    for path in (markdown, page):
        text = environment.get_template(f"{path.name}.j2").render(facts)
        storage.write_file(path, text.encode())
    return markdown, page


def _facts(
    spec: PilotSpec, snapshot: Snapshot, report: Report, model: Model, scorecard: Scorecard
) -> dict[str, Any]:
    return {
        "spec": spec,
        "snapshot": snapshot,
        "report": report,
        "model": model,
        "scorecard": scorecard,
        "features": model.features[:_MOST_FEATURES],
        "more_features": max(0, len(model.features) - _MOST_FEATURES),
        "failed_checks": [check for check in report.checks if not check.success],
        "limits": _limits(spec, snapshot, model, scorecard),
        "resamples": bootstraps.RESAMPLES,
        "fewest_slice_rows": slices.FEWEST_ROWS,
    }


def _limits(spec: PilotSpec, snapshot: Snapshot, model: Model, scorecard: Scorecard) -> list[str]:
    """What a reader should not expect of the model."""
    limits = []
    if model.time is None:
        limits.append(
            "The held-out rows were chosen without regard to time; where the world changes, expect less."
        )
    elif model.trained_until is not None:
        limits.append(f"It knows nothing of what happened after {model.trained_until:%Y-%m-%d %H:%M} UTC.")
    if scorecard.test_rows < 1000:
        limits.append(
            f"Only {scorecard.test_rows} rows were held out, so the intervals are wide and slices are few."
        )
    if spec.goal.target is not None:
        value = scorecard.metrics[scorecard.metric].value
        if value is None or value < spec.goal.target:
            limits.append(f"It does not reach the goal's target of {number(spec.goal.target)}.")
    if snapshot.excluded:
        names = ", ".join(excluded.name for excluded in snapshot.excluded[:_MOST_EXCLUDED])
        more = "…" if len(snapshot.excluded) > _MOST_EXCLUDED else ""
        limits.append(f"Columns of the source that it does not use: {names}{more}.")
    if model.format != "skops":
        limits.append("It is stored as a pickle and loads only where its signature or the settings allow it.")
    limits.append("Intervals cover chance in the held-out rows, not a change of the world after them.")
    return limits


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pilotage.components"),
        autoescape=select_autoescape(("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, estimate=estimate, cell=cell)
    return environment


def number(value: float | None) -> str:
    """Four significant digits, or a dash for what could not be measured."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def estimate(found: Estimate) -> str:
    """A value with its interval."""
    if found.low is None or found.high is None:
        return number(found.value)
    return f"{number(found.value)} ({number(found.low)} to {number(found.high)})"


def cell(value: object) -> str:
    """Text that cannot break out of a cell of a Markdown table."""
    text = re.sub(r"\s+", " ", str(value))
    return re.sub(r"([\\|`*<\[\]])", r"\\\1", text)
