"""Alarms: at most one for drift and one for performance of a version in a window.

What is wrong is found elsewhere; here it is put into words that say how much.
"""

from __future__ import annotations

import hashlib

from pilotage.core.artifacts import Alarm, EstimatedPerformance, FeatureDrift, Performance, Track, instant
from pilotage.core.specs import Cause
from pilotage.core.windows import Window
from pilotage.serving.monitor.causes.findings import NONE, Findings
from pilotage.serving.monitor.drift.comparisons import Comparison
from pilotage.serving.monitor.rows.rows_together import NOT_LOOKED_AT, Together

MOST_NAMED = 3
"""Columns whose difference a message describes; the others are only listed."""


def alarm_id(pilot: str, version: int, window: Window, cause: Cause) -> str:
    """The same for the same pilot, version, window and cause."""
    text = f"{pilot}\0{version}\0{instant(window.start)}\0{cause.value}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def drift_alarm(
    window: Window,
    found: Comparison,
    threshold: float,
    together: Together = NOT_LOOKED_AT,
    causes: Findings = NONE,
) -> Alarm | None:
    """The alarm that columns, or rows as a whole, have drifted for as long as asked; None without any.

    Args:
        window: that they drifted in.
        found: the columns.
        threshold: of the columns' p-values.
        together: all features together.
        causes: what happened, in words.
    """
    drifted = [part for part in found.drifted if part.persistent]
    if not drifted and not together.persistent:
        return None
    told = [_columns(window, found, drifted, causes)] if drifted else []
    told += [_rows(window, together)] if together.persistent else []
    told += [_moved(causes)] if causes.contributions else []
    least = [part.p_value for part in drifted]
    if not least and together.found is not None and together.found.p_value is not None:
        least = [together.found.p_value]
    return Alarm(
        id=alarm_id(window.pilot, window.version, window, Cause.DRIFT),
        pilot=window.pilot,
        version=window.version,
        cause=Cause.DRIFT,
        start=window.start,
        end=window.end,
        message=" ".join(told),
        features=tuple(part.feature for part in drifted),
        value=min(least, default=None),
        limit=threshold,
    )


def _columns(window: Window, found: Comparison, drifted: list[FeatureDrift], causes: Findings) -> str:
    """What differs by column: what happened to it where that is known, else by how much."""
    happened = {change.feature: change.message for change in reversed(causes.changes)}
    told = "; ".join(
        f"{_name(part, found)}: {happened.get(part.feature, part.reason)}" for part in drifted[:MOST_NAMED]
    )
    more = f"; and {len(drifted) - MOST_NAMED} more" if len(drifted) > MOST_NAMED else ""
    columns = "column differs" if len(drifted) == 1 else "columns differ"
    return f"{len(drifted)} {columns} from what version {window.version} was trained on. {told}{more}."


def _rows(window: Window, together: Together) -> str:
    found = together.found
    assert found is not None  # noqa: S101 - what drifted was found
    by = f", mostly by {', '.join(found.features[:MOST_NAMED])}" if found.features else ""
    return (
        f"Rows as a whole differ from what version {window.version} was evaluated on: a classifier tells them"
        f" apart with an AUC of {found.auc:.2f}{by}."
    )


def _moved(causes: Findings) -> str:
    """Which features moved the scores most, of those that did beyond chance."""
    moved = sorted(causes.contributions, key=lambda part: -abs(part.value))
    named = [f"`{part.feature}` ({part.value:+.3g})" for part in moved if abs(part.value) > 2 * part.error]
    shift = sum(part.value for part in causes.contributions)
    if not named:
        return f"The mean score moved by {shift:+.3g}."
    return f"The mean score moved by {shift:+.3g}, most of it by {', '.join(named[:MOST_NAMED])}."


def performance_alarm(
    window: Window,
    performance: Performance | None,
    estimated: EstimatedPerformance | None,
    track: Track | None,
    max_drop: float,
) -> Alarm | None:
    """The alarm that the metric has dropped; None when it has not, or nobody can tell.

    Labels decide as soon as they do; before, an estimate does whose kind has proved itself
    on earlier windows, if all of its interval lies below what is tolerated.
    """
    metric = next((part.metric for part in (performance, estimated) if part is not None), "")
    if performance is not None and performance.value is not None:
        if not performance.dropped:
            return None
        value, reference = performance.value, performance.reference
        spread = _spread(value, performance.low, performance.high)
        told = f"is {spread} on {performance.labelled:,} labelled rows"
    elif estimated is not None and track is not None and track.trusted and _has_dropped(estimated, max_drop):
        value, reference = estimated.value or 0.0, estimated.reference or 0.0
        told = f"is estimated at {_spread(value, estimated.low, estimated.high)}, before labels have come"
    else:
        return None
    return Alarm(
        id=alarm_id(window.pilot, window.version, window, Cause.PERFORMANCE),
        pilot=window.pilot,
        version=window.version,
        cause=Cause.PERFORMANCE,
        start=window.start,
        end=window.end,
        message=(
            f"{metric} of version {window.version} {told}; it was {reference:.4g}"
            f" when it was evaluated and may drop by {max_drop:g}."
        ),
        value=value,
        limit=reference - max_drop,
    )


def _spread(value: float, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{value:.4g}"
    return f"{value:.4g} (95 % interval {low:.4g} to {high:.4g})"


def _has_dropped(estimated: EstimatedPerformance, max_drop: float) -> bool:
    if not estimated.reliable or estimated.high is None or estimated.reference is None:
        return False
    return estimated.high < estimated.reference - max_drop


def _name(part: FeatureDrift, found: Comparison) -> str:
    """A column in words; a feature may be called as what the model says is."""
    if part is found.score:
        return "the model's score"
    if part is found.prediction:
        return "the predicted classes"
    rests = "" if part.importance is None else f" (the model rests on it for {part.importance:.0%})"
    return f"`{part.feature}`{rests}"
