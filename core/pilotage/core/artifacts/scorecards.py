"""What evaluation found of a model on rows that were held out, and what the gates said."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import AwareDatetime

from pilotage.core.artifacts.bases import Artifact, Digest, Part, Scalar
from pilotage.core.artifacts.reasons import Explanations
from pilotage.core.artifacts.usages import Usage


class Estimate(Part):
    """A value with its 95 % bootstrap interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Verdict(Part):
    """What a gate said."""

    gate: str
    passed: bool
    value: float | None
    limit: float | None
    reason: str
    low: float | None = None
    high: float | None = None
    """Ends of the value's 95 % interval, where it has one."""
    groups: tuple[str, ...] = ()
    """The two groups that are furthest apart, where groups are compared."""


class Slice(Part):
    """The goal's metric on the rows where `column` is `value`."""

    column: str
    value: str
    rows: int
    metric: Estimate


class Group(Part):
    """One group of a fairness comparison."""

    value: str
    rows: int
    selection_rate: float | None = None
    true_positive_rate: float | None = None
    false_positive_rate: float | None = None
    metric: float | None = None
    estimates: dict[str, Estimate] = {}
    """With intervals: `selection_rate`, `true_positive_rate`, `false_positive_rate` and `precision` of two
    classes, `mean_error` of numbers, and `metric`, the goal's."""


class Difference(Part):
    """One measure between groups."""

    measure: str
    value: float | None
    low: float | None = None
    high: float | None = None
    """Ends of a 95 % interval that holds for the largest difference among all pairs of groups."""
    chance: float | None = None
    """What groups of these sizes that do not differ would show on average; of a ratio, likewise."""
    groups: tuple[str, ...] = ()
    """The two that are furthest apart, the one with the smaller number first."""
    positive: Scalar | None = None
    """With more than two classes: the class for which they are."""


class Fairness(Part):
    """Differences between the groups of a column, or of several."""

    by: str
    columns: tuple[str, ...] = ()
    demographic_parity_difference: float | None = None
    equalized_odds_difference: float | None = None
    group_metric_difference: float | None = None
    differences: tuple[Difference, ...] = ()
    """Every measure of the task."""
    groups: tuple[Group, ...]
    min_group: int = 30
    """Rows that a group must have."""
    left_out: int = 0
    """Rows in groups too small to compare."""
    small: dict[str, int] = {}
    """Rows of groups that are too small by themselves, the largest first; at most 50 of them are named."""
    small_groups: int = 0
    """How many there are."""
    merged: bool = False
    """Whether these are compared as one group."""


class CalibrationBin(Part):
    predicted: float
    observed: float
    rows: int


class Latency(Part):
    """Milliseconds to predict one row, frame building included."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    calls: int


class Worth(Part):
    """Business value of the predictions on the held-out rows."""

    currency: str
    per_row: float
    total: float
    baseline_per_row: float
    champion_per_row: float | None = None


class Rival(Part):
    """A model evaluated on the same rows: the trivial baseline or the champion."""

    name: str
    version: int | None = None
    metrics: dict[str, float | None]
    guess: Scalar | None = None
    """What the baseline says of every row: its class, or its number; None of a champion."""


class TrainingCost(Part):
    """What making a model cost at the prices of then."""

    currency: str
    total: float
    unpriced: tuple[str, ...] = ()
    """What was used and has no price."""


class Scorecard(Artifact):
    """What evaluation found, and every gate's verdict."""

    FILE = "scorecard.json"
    CARD_FILE: ClassVar[str] = "card.html"
    """Of the page that tells people the same, beside it."""
    kind: Literal["scorecard"] = "scorecard"
    schema_version: Literal[1] = 1
    pilot: str
    model: Digest
    snapshot: Digest
    metric: str
    """The goal's."""
    target: float | None = None
    test_rows: int
    metrics: dict[str, Estimate]
    baseline: Rival
    champion: Rival | None = None
    slices: tuple[Slice, ...] = ()
    fairness: tuple[Fairness, ...] = ()
    calibration: tuple[CalibrationBin, ...] = ()
    latency: Latency
    worth: Worth | None = None
    explanations: Explanations | None = None
    """None in scorecards of before they were there."""
    training: Usage | None = None
    """What making the model used; null where its step did not tell."""
    training_cost: TrainingCost | None = None
    """What that cost; null where nothing has a price."""
    gates: tuple[Verdict, ...]
    passed: bool
    created_at: AwareDatetime
