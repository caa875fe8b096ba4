"""What shrinking a version found: candidates with what they cost and lose, and which one was chosen."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from pilotage.core.artifacts.bases import Artifact, Digest, Part
from pilotage.core.artifacts.scorecards import Verdict


class Technique(StrEnum):
    """What makes a candidate smaller."""

    NONE = "none"
    """The version as it is."""
    QUANTIZED = "quantized"
    """The same model in numbers of fewer bits."""
    PRUNED = "pruned"
    """Parts of the model left out: trees, leaves, neurons."""
    SELECTED = "selected"
    """Trained again on fewer features."""
    DISTILLED = "distilled"
    """Another, smaller model trained on what the version says of the training rows."""


class Objective(StrEnum):
    """What smaller models are made for: what one must save, and where it may not be slower."""

    BALANCED = "balanced"
    """Less of anything, and slower nowhere."""
    SIZE = "size"
    """A smaller file, even where it takes longer."""
    LATENCY = "latency"
    """A row sooner answered, in the middle and at the 99th percentile."""
    THROUGHPUT = "throughput"
    """A batch sooner answered."""


class Share(Part):
    """A candidate's time as a share of the original's, with an interval.

    Of medians: the median over rounds, and its quartiles. Of a 99th percentile: that of all calls, and a 95 %
    interval from resampled rounds.
    """

    value: float
    low: float
    high: float


class Candidate(Part):
    """One smaller model, measured."""

    name: str
    technique: Technique
    how: str
    """In words."""
    passed: bool
    reasons: tuple[str, ...] = ()
    """Why not, or nothing."""
    metric: float | None = None
    """The goal's, on the held-out rows."""
    drop: float | None = None
    """How much worse than the original; negative where it is better."""
    drop_low: float | None = None
    drop_high: float | None = None
    """The 95 % interval of the drop, from paired resamples of the held-out rows."""
    agreement: float | None = None
    """Share of held-out rows with the same class; of numbers, R² against the original's."""
    metrics: dict[str, float | None] = {}
    gates: tuple[Verdict, ...] = ()
    form: str = "ready"
    """Of the inference form: `ready`, or `refused: ` and why."""
    features: int = 0
    size_bytes: int | None = None
    """What a server loads: tables and graph, or the estimator's file of a version without a form."""
    size: float | None = None
    """As a share of the original's."""
    memory_bytes: int | None = None
    """Resident memory that loading it and answering takes in a fresh process; None where that is not told."""
    row_microseconds: float | None = None
    row: Share | None = None
    """Time for a single row."""
    row_p99_microseconds: float | None = None
    row_p99: Share | None = None
    """The 99th percentile of that; None where there were too few calls to tell."""
    batch_microseconds: float | None = None
    """For each row of a batch."""
    batch: Share | None = None


class Shrink(Artifact):
    """What shrinking found."""

    FILE = "shrink.json"
    kind: Literal["shrink"] = "shrink"
    schema_version: Literal[1] = 1
    pilot: str
    version: Annotated[int, Field(ge=1)]
    """That was shrunk."""
    model: Digest
    snapshot: Digest
    metric: str
    train_rows: int
    test_rows: int
    max_drop: float
    """A candidate may lose at most this of the metric."""
    at_most: float
    """A candidate must have at most this share of the original's size, or time for a row or a batch."""
    objective: Objective = Objective.BALANCED
    """Which of these counts, and by which one is chosen."""
    rule: str
    """By which one is chosen, in words."""
    batch_rows: int
    original: Candidate
    candidates: tuple[Candidate, ...]
    chosen: str | None
    reason: str
    """Why that one, or why none."""
    registered: int | None = None
    """The version that the chosen one became."""
    decision: str | None = None
    """What was decided of that version."""
    held: str | None = None
    """Why a person is asked about that version, also where pilot.yaml asks none."""
    created_at: AwareDatetime
