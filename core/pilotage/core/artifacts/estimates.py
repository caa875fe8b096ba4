"""What a monitor says without labels, and why something changed: estimates, causes and segments.

They are parts of a drift report. How they are found is the monitor's business.
"""

from __future__ import annotations

from enum import StrEnum

from pilotage.core.artifacts.bases import Part


class EstimateMethod(StrEnum):
    """How a metric was estimated for rows whose labels have not come."""

    CONFIDENCE = "confidence"
    """Expected from calibrated probabilities (CBPE)."""
    WEIGHTED_CONFIDENCE = "weighted_confidence"
    """The same, calibrated on reference rows weighted to resemble the window (close to PAPE)."""
    LOSS = "loss"
    """A regressor of the model's losses (DLE)."""
    WEIGHTED_LOSS = "weighted_loss"
    """The mean of the reference rows' losses, weighted to resemble the window."""


class EstimatedPerformance(Part):
    """The metric of a window as it would be, if only the features changed and what they mean did not."""

    metric: str
    value: float | None
    """Signed as scikit-learn's scorer of that name; None where there is no estimate."""
    low: float | None = None
    """Of the 95 % interval for the metric on any number of rows like these."""
    high: float | None = None
    reference: float | None
    """On the held-out rows when the version was evaluated."""
    method: EstimateMethod
    alternative_method: EstimateMethod | None = None
    alternative: float | None = None
    """What the other method says."""
    rows: int
    """Of the window, that the estimate rests on."""
    effective_rows: float
    """Reference rows that count after weighting them to resemble the window (Kish, 1965)."""
    reliable: bool
    """False where the reference can say little about such rows."""
    reason: str
    """The assumption, and what limits the estimate."""


class Track(Part):
    """How estimates did on earlier windows whose labels have come since."""

    windows: int
    mae: float | None = None
    """Mean absolute difference of estimate and realized value."""
    mae_no_change: float | None = None
    """The same for the reference value, which claims that nothing changed."""
    coverage: float | None = None
    """Share of windows where the two agree within their 95 % intervals."""
    trusted: bool
    reason: str


class Contribution(Part):
    """A feature's part in the shift of a mean from the reference to the window."""

    feature: str
    value: float
    """Contributions of all features add up to the shift."""
    error: float
    """Standard error, of the rows that were drawn."""


class ChangeKind(StrEnum):
    """What happened to a column upstream."""

    NEW_CATEGORY = "new_category"
    LOST_CATEGORY = "lost_category"
    SPELLING = "spelling"
    UNIT = "unit"
    SIGN = "sign"
    CONSTANT = "constant"
    MISSING = "missing"
    DEFAULT = "default"
    SWAPPED = "swapped"
    PRECISION = "precision"
    HOURS = "hours"


class Change(Part):
    """A change of a column that its values betray, in words."""

    feature: str
    kind: ChangeKind
    message: str
    strength: float
    """0 to 1: share of rows concerned, or how much of the difference the change explains."""


class Segment(Part):
    """Rows that a few conditions pick out, and what is different there."""

    description: str
    rows: int
    share: float
    """Of the window's rows."""
    value: float
    """Mean loss, mean score or share of the segment in the window, as `measure` says."""
    reference: float
    """The same in the reference."""
    low: float
    """Of the 95 % interval of `value` minus `reference`."""
    high: float
    measure: str


class Multivariate(Part):
    """Whether a classifier tells the window's rows from the reference's, over all features together."""

    auc: float | None
    """Of rows that the classifier was not fitted on; 0.5 where nothing tells them apart."""
    p_value: float | None
    rows: int
    """Of the window, that were looked at."""
    features: tuple[str, ...] = ()
    """What tells the rows apart, most telling first."""
    reason: str = ""
    """Why nothing was tested."""
