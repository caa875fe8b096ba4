"""Alarms: at most one for drift and one for performance of a version in a window.

What is wrong is found elsewhere; here it is put into words that say how much.
"""

from __future__ import annotations

import hashlib

from pilotage.core.artifacts import Alarm, FeatureDrift, Performance, instant
from pilotage.core.specs import Cause
from pilotage.core.windows import Window
from pilotage.serving.monitor.comparisons import Comparison

MOST_NAMED = 3
"""Columns whose difference a message describes; the others are only listed."""


def alarm_id(pilot: str, version: int, window: Window, cause: Cause) -> str:
    """The same for the same pilot, version, window and cause."""
    text = f"{pilot}\0{version}\0{instant(window.start)}\0{cause.value}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def drift_alarm(window: Window, found: Comparison, threshold: float) -> Alarm | None:
    """The alarm that columns have drifted for as long as asked, what matters most first; None without any."""
    drifted = [part for part in found.drifted if part.persistent]
    if not drifted:
        return None
    told = "; ".join(f"{_name(part, found)}: {part.reason}" for part in drifted[:MOST_NAMED])
    more = f"; and {len(drifted) - MOST_NAMED} more" if len(drifted) > MOST_NAMED else ""
    columns = "column differs" if len(drifted) == 1 else "columns differ"
    return Alarm(
        id=alarm_id(window.pilot, window.version, window, Cause.DRIFT),
        pilot=window.pilot,
        version=window.version,
        cause=Cause.DRIFT,
        start=window.start,
        end=window.end,
        message=f"{len(drifted)} {columns} from what version {window.version} was trained on. {told}{more}.",
        features=tuple(part.feature for part in drifted),
        value=min(part.p_value for part in drifted),
        limit=threshold,
    )


def performance_alarm(window: Window, performance: Performance | None, max_drop: float) -> Alarm | None:
    """The alarm that the realized metric has dropped; None when it has not."""
    if performance is None or performance.value is None or not performance.dropped:
        return None
    interval = ""
    if performance.low is not None and performance.high is not None:
        interval = f" (95 % interval {performance.low:.4g} to {performance.high:.4g})"
    return Alarm(
        id=alarm_id(window.pilot, window.version, window, Cause.PERFORMANCE),
        pilot=window.pilot,
        version=window.version,
        cause=Cause.PERFORMANCE,
        start=window.start,
        end=window.end,
        message=(
            f"{performance.metric} of version {window.version} is {performance.value:.4g}{interval} on"
            f" {performance.labelled:,} labelled rows; it was {performance.reference:.4g} when it was"
            f" evaluated and may drop by {max_drop:g}."
        ),
        value=performance.value,
        limit=performance.reference - max_drop,
    )


def _name(part: FeatureDrift, found: Comparison) -> str:
    """A column in words; a feature may be called as what the model says is."""
    if part is found.score:
        return "the model's score"
    if part is found.prediction:
        return "the predicted classes"
    rests = "" if part.importance is None else f" (the model rests on it for {part.importance:.0%})"
    return f"`{part.feature}`{rests}"
