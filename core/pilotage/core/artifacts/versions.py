"""From model to version: what training made, what evaluation found, what was decided."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, Field

from pilotage.core.artifacts.bases import Artifact, Digest, Part, Scalar
from pilotage.core.artifacts.data import Feature
from pilotage.core.artifacts.reasons import Explanations
from pilotage.core.artifacts.usages import Usage
from pilotage.core.metrics import Task


class ModelFormat(StrEnum):
    SKOPS = "skops"
    PICKLE = "pickle"


class Shrunk(Part):
    """How a smaller model was made of a version."""

    version: Annotated[int, Field(ge=1)]
    model: Digest
    """The estimator's of that version."""
    candidate: str
    """Its name among the candidates of the study."""
    how: str
    """In words."""
    study: str


class Model(Artifact):
    """A trained model and all that made it; its files are in MLflow."""

    FILE = "model.json"
    kind: Literal["model"] = "model"
    schema_version: Literal[1] = 1
    pilot: str
    digest: Digest
    """Of the file that holds the estimator."""
    format: ModelFormat
    estimator: str
    params: dict[str, Any]
    seed: int
    features: tuple[Feature, ...]
    target: str
    task: Task
    classes: tuple[Scalar, ...] = ()
    positive: Scalar | None = None
    """The positive class of a binary target."""
    time: str | None = None
    key: str | None = None
    snapshot: Digest
    train_rows: int
    test_rows: int
    trained_until: AwareDatetime | None = None
    """Time of the latest training row."""
    validation: dict[str, float]
    """Metrics of the chosen parameters inside the training part."""
    trials: int = 0
    pruned: int = 0
    requirements: tuple[str, ...]
    python: str
    code: Digest
    """Of the sources that trained it: Pilotage's and the pilot's own module."""
    shrunk: Shrunk | None = None
    """Of which version it is a smaller form; None of a model that was trained."""
    created_at: AwareDatetime


class TrainedModel(Artifact):
    """Where MLflow keeps a trained model."""

    FILE = "trained.json"
    kind: Literal["trained_model"] = "trained_model"
    schema_version: Literal[1] = 1
    model: Model
    mlflow_run: str
    uri: str
    """MLflow URI of the model folder."""


class Estimate(Part):
    """A value with its 95 % bootstrap interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


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
    training: Usage | None = None
    """What making the model used; null where its step did not tell."""
    training_cost: TrainingCost | None = None
    """What that cost; null where nothing has a price."""
    explanations: Explanations | None = None
    """None in scorecards of before they were there."""
    gates: tuple[Verdict, ...]
    passed: bool
    created_at: AwareDatetime


class Decision(StrEnum):
    """What was decided about a version."""

    PROMOTED = "promoted"
    ROLLING_OUT = "rolling_out"
    """Becomes champion step by step, while it is no worse."""
    RELEASING = "releasing"
    """Becomes champion when the cluster that it is released to runs nothing else."""
    SUPERSEDED = "superseded"
    """Another version was released before the cluster ran this one."""
    PENDING = "pending"
    """Waits for an approval."""
    REFUSED = "refused"
    """A gate said no, training and serving disagree, or it was taken back."""
    REJECTED = "rejected"
    """A person said no."""


class Version(Artifact):
    """A version in the registry and what was decided about it."""

    FILE = "version.json"
    kind: Literal["version"] = "version"
    schema_version: Literal[1] = 1
    pilot: str
    version: Annotated[int, Field(ge=1)]
    mlflow_run: str
    decision: Decision
    reason: str
    promoted: bool
    replaced: int | None = None
    """The champion that it took the place of."""
    run: str
    snapshot: Digest
    suite: Digest
    model: Digest
    scorecard: Digest
    code: str
    skew: str | None = None
    """`none`, or `found: ` and where training and serving disagree; None in versions of before the test."""
    created_at: AwareDatetime
