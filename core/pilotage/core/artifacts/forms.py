"""The inference form of a model: how its features become numbers, and what its graph's output means.

Tables, not code: whatever reads it can neither run nor load anything but them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from pilotage.core.artifacts.bases import Artifact, Digest, Part


class Link(StrEnum):
    """What turns the graph's output into numbers or probabilities."""

    IDENTITY = "identity"
    """The output is the number."""
    EXP = "exp"
    """The output is the number's logarithm."""
    LOGISTIC = "logistic"
    """The output is the log odds of the second class."""
    SOFTMAX = "softmax"
    """The outputs are each class's logarithm, up to a constant."""
    SECOND = "second"
    """The output is the probability of the second class."""
    PROBABILITIES = "probabilities"
    """The outputs are the probabilities of all classes."""


class Scaling(Part):
    """What linear models have done to a number: the missing filled, then centred and divided."""

    fill: float
    mean: float
    scale: float


class NumberInput(Part):
    """A number or boolean, one column."""

    kind: Literal["number"] = "number"
    feature: str
    scaling: Scaling | None = None


class TimeInput(Part):
    """A time, four columns: days since 1970, month, weekday and hour."""

    kind: Literal["time"] = "time"
    feature: str
    scaling: tuple[Scaling, Scaling, Scaling, Scaling] | None = None


class CodeInput(Part):
    """A category, one column with its code."""

    kind: Literal["code"] = "code"
    feature: str
    codes: dict[str, float]
    missing: float | None
    """Code of a missing value; None is NaN."""
    unseen: float | None
    """Code of a category that is not among `codes`; None is NaN."""


class OneHotInput(Part):
    """A category, `width` columns of which at most one is 1."""

    kind: Literal["one_hot"] = "one_hot"
    feature: str
    width: Annotated[int, Field(ge=0)]
    positions: dict[str, int]
    """Column by category."""
    missing: int | None
    """Column of a missing value; None is no column."""
    unseen: int | None
    """Column of a category that is not among `positions`; None is no column."""


class MissingInput(Part):
    """Of any feature one column: 1 where its value is missing, else 0."""

    kind: Literal["missing"] = "missing"
    feature: str


class EmbeddingInput(Part):
    """A text or an image, as many columns as its encoder's vectors have."""

    kind: Literal["embedding"] = "embedding"
    feature: str
    encoder: Digest
    """Of the encoder in the storage."""
    width: Annotated[int, Field(ge=1)]
    mean: tuple[float, ...] = ()
    """Taken off the vector, where there is anything; as long as that."""
    scale: tuple[float, ...] = ()
    """What it is divided by then."""


Input = Annotated[
    NumberInput | TimeInput | CodeInput | OneHotInput | MissingInput | EmbeddingInput,
    Field(discriminator="kind"),
]


class InferenceForm(Artifact):
    """A model compiled for answering: its encoding, its graph and how closely it was found to agree."""

    FILE = "form.json"
    kind: Literal["inference_form"] = "inference_form"
    schema_version: Literal[1] = 1
    model: Digest
    """The estimator's that it was made from."""
    graph: Digest
    """Of `model.onnx`."""
    inputs: tuple[Input, ...]
    """What fills the columns of the graph's input, in order."""
    single: bool
    """Whether the trained model rounds its inputs to 32 bits, so that the form must."""
    base: tuple[float, ...]
    """Added to the graph's outputs, in their order."""
    link: Link
    rows: Annotated[int, Field(ge=1)]
    """Held-out rows on which form and trained model were compared."""
    tolerance: float
    """Most that a probability may differ, or a number in relation to its size; classes may not at all."""
    difference: float
    """Largest that was found, in the same measure."""
    created_at: AwareDatetime
