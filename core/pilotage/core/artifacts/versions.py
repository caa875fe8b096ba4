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
from pilotage.core.specs.protections import Personal


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


class Estimate(Part):
    """A value with its 95 % bootstrap interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Association(Part):
    """How two columns go together in real and in synthetic rows."""

    first: str
    second: str
    real: float
    synthetic: float


class Fidelity(Part):
    """How alike synthetic and real rows are."""

    score: float
    """1 less the mean difference of columns and of pairs; 1 is alike."""
    columns: dict[str, float]
    """Greatest difference of the distribution functions (Kolmogorov, Smirnov) of numbers and times, total
    variation of categories; 0 is alike."""
    pairs: tuple[Association, ...] = ()
    """Those that differ most."""
    pair_difference: float | None = None
    """Mean over all pairs."""


class Utility(Part):
    """The goal's metric on the same real rows, after training on real and on synthetic ones."""

    metric: str
    real: Estimate
    synthetic: Estimate
    difference: Estimate
    """Synthetic less real."""
    estimator: str


class Leakage(Part):
    """Whether synthetic rows give real training rows away."""

    copies: int
    """Synthetic rows that equal a training row in every column."""
    copy_excess: float
    """Share of copies of training rows less the share of copies of rows that were held out."""
    closeness: Estimate
    """Share of synthetic rows that lie closer to training rows than to as many held-out ones; 0.5 where
    training rows are not given away."""
    neighbour_ratio: float | None
    """Median ratio of the distances to the nearest and the second nearest training row."""
    control_ratio: float | None
    """The same of held-out rows."""
    membership: Estimate
    """Area under the curve of an attack that tells training rows by their distance to the nearest synthetic
    one; 0.5 is guessing."""
    rows: int
    """Synthetic rows looked at."""
    control: int
    """Held-out rows compared with."""


class Synthetic(Part):
    """Synthetic rows, how they were made and what was measured of them."""

    method: str
    rows: int
    """That training saw."""
    classes: dict[str, int] = {}
    """Of them by class."""
    seed: int
    fitted_rows: int
    """Real training rows that the synthesizer was fitted on."""
    fidelity: Fidelity | None = None
    utility: Utility | None = None
    leakage: Leakage | None = None
    notes: tuple[str, ...] = ()
    """What could not be done or measured, and why."""


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


class Synthesis(Artifact):
    """A file of synthetic rows, and what was measured of them."""

    FILE = "synthesis.json"
    kind: Literal["synthesis"] = "synthesis"
    schema_version: Literal[1] = 1
    pilot: str
    snapshot: Digest
    file: str
    """Where the rows are; empty where a gate said no and nothing was written."""
    study: str = ""
    """That keeps the file, for consoles to give away; empty where it is somebody's own."""
    rows: int
    synthetic: Synthetic
    gates: tuple[Verdict, ...]
    passed: bool
    created_at: AwareDatetime


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
    encoders: tuple[Digest, ...] = ()
    """Of the storage, that its texts and images go through."""
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
    workers: int = 1
    """Processes that trained it together."""
    restarts: int = 0
    """How often workers that were lost meanwhile were replaced."""
    requirements: tuple[str, ...]
    python: str
    code: Digest
    """Of the sources that trained it: Pilotage's and the pilot's own module."""
    shrunk: Shrunk | None = None
    """Of which version it is a smaller form; None of a model that was trained."""
    personal: Personal | None = None
    """What is done about personal data in requests, as it was in the training data."""
    personal_key: str | None = None
    """Which secret hashes it."""
    synthetic: Synthetic | None = None
    """Synthetic rows that it was trained on beside `train_rows`."""
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
