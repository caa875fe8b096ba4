"""From model to version: what training made, what the registry has, what was decided."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from pilotage.core.artifacts.bases import Artifact, Digest, Part, Scalar
from pilotage.core.artifacts.data import Feature
from pilotage.core.artifacts.syntheses import Synthetic
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
