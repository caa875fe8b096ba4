"""Whether whole rows drifted, beside the columns: their part of the false alarm rate, and the verdict.

The test itself is in `multivariate`. Where time blocks say that one period differs from
the next, rows are not independent and the reference's rows are of one period only; how
much whole rows usually change is not known then, and the test is shown without a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

import pyarrow as pa

from pilotage.core.artifacts import Multivariate
from pilotage.core.specs import Drift
from pilotage.serving.monitor.drift.calibrations import Calibration, Mode
from pilotage.serving.monitor.drift.comparisons import KS_OF_PSI, ROWS
from pilotage.serving.monitor.rows import multivariate
from pilotage.serving.monitor.subjects import Subject

SHARE = 0.1
"""Of the false alarm rate that is spent on rows where they are judged; columns have the rest (Bonferroni)."""
_SHOWN = (
    "It is shown and raises no alarm: the reference's rows are of one period, which does not tell how much"
    " whole rows usually change from one period to the next."
)


@dataclass(frozen=True)
class Together:
    """All features of a window's sampled rows together."""

    found: Multivariate | None
    """None when there are no rows to look at, or they are not to be looked at."""
    drifted: bool = False
    persistent: bool = False
    """It drifted in the windows before that count, too."""

    def persisting(self, before: Sequence[Set[str]]) -> Together:
        """The same, marked if rows have drifted in each of the windows `before` too."""
        return replace(self, persistent=self.drifted and all(ROWS in keys for keys in before))


NOT_LOOKED_AT = Together(None)


def look(sample: pa.Table | None, subject: Subject, drift: Drift) -> Together:
    """The test of a window's `sample` against the version's reference rows."""
    if sample is None or subject.reference is None or not drift.rows_together:
        return NOT_LOOKED_AT
    found = multivariate.test(subject.reference, sample, subject.model.features, seed=subject.seed)
    return Together(found)


def rate_left(together: Together, rate: float) -> float:
    """What of the false alarm `rate` is left for the columns."""
    tested = together.found is not None and together.found.p_value is not None
    return rate * (1 - SHARE) if tested else rate


def judge(together: Together, drift: Drift, calibration: Calibration) -> Together:
    """The verdict: improbable at its part of the rate, and large enough to matter."""
    found = together.found
    if found is None or found.p_value is None or found.auc is None:
        return together
    if calibration.mode is Mode.BLOCKS:
        return replace(together, found=found.model_copy(update={"reason": _SHOWN}))
    large = found.auc - 0.5 >= KS_OF_PSI * drift.min_effect
    return replace(together, drifted=large and found.p_value < SHARE * drift.false_alarm_rate)
