"""The bodies of requests and answers as OpenAPI describes them.

Only for the description: requests are read by the codecs, which are faster and
name the row that is wrong.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Value = str | bool | int | float | None
Id = str | int | None


class _Document(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")


class PredictRequest(_Document):
    rows: list[dict[str, Any]]
    """One object for each row, with a value or null for every feature; other keys are ignored."""
    ids: list[Id] | None = None
    """Text or whole numbers, to which labels refer later; taken from the pilot's key when left out."""


class Predictions(_Document):
    model: str
    version: int
    ids: list[str | None] | None
    predictions: list[Value]
    probabilities: list[list[float]] | None = None
    """For classification: by row, in the order of `classes`."""
    classes: list[Value] | None = None


class Explanations(_Document):
    """A row's base and contributions add up to its value."""

    model: str
    version: int
    ids: list[str | None] | None
    method: Literal["tree", "linear", "permutation"]
    exact: bool
    """Whether contributions are Shapley values exactly; else they are estimated."""
    output: Literal["log-odds", "margin", "probability", "number", "log", "score"]
    """Of the model, that is explained."""
    classes: list[Value] | None = None
    """By row, the class whose output is explained: the positive one, or the predicted one of several."""
    base: list[float]
    """By row, the output that is expected of a row that nothing is known of."""
    values: list[float]
    """By row, the output."""
    explanations: list[dict[str, float]]
    """By row, what each feature contributes."""
    standard_errors: list[dict[str, float]] | None = None
    """Of estimated contributions."""
    evaluations: int | None = None
    """Of the model for each row, where contributions are estimated."""


class LabelsRequest(_Document):
    ids: list[Id]
    labels: list[Value]
    times: list[str | None] | None = None
    """Event times (ISO 8601) of the rows that the labels are about, where an id is served repeatedly."""


class UnknownLabel(_Document):
    label: str
    """Its first 60 characters."""
    rows: int
    first: int
    """Position of the first of its rows."""


class Stored(_Document):
    stored: int
    """Labels that are kept durably, those that are not understood included."""
    version: int | None
    """The version that they were compared with; null while none is live."""
    unknown: int
    """How many of them are no class of that version. A version that knows the class will read them."""
    unknown_labels: list[UnknownLabel]
    """Ten of these at most, each once, in order of their first rows."""
    detail: str | None
    """What to do about them."""


class Split(_Document):
    columns: list[str] | None = None
    """In the order of the model's features when left out."""
    data: list[list[Value]]
    index: list[Any] | None = None


class InvocationsRequest(_Document):
    """Exactly one of the keys besides `params`; other keys are passed over."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="allow")

    dataframe_split: Split | None = None
    dataframe_records: list[dict[str, Value]] | None = None
    instances: dict[str, list[Value]] | dict[str, Value] | list[Any] | None = None
    """Rows as objects or lists, columns by name, or one row."""
    inputs: dict[str, list[Value]] | dict[str, Value] | list[Any] | None = None
    """The same."""
    params: dict[str, Any] | None = None
    """Without effect, as no model here takes any."""


class InvocationsAnswer(_Document):
    predictions: list[Value]


class Tensor(_Document):
    name: str
    shape: list[int]
    datatype: str
    """BYTES, BOOL, INT8 to INT64, UINT8 to UINT64, FP16 to FP64."""
    data: list[Any] | None = None
    """Absent when `parameters.binary_data_size` says how much of the data behind the document is its own."""
    parameters: dict[str, Any] | None = None


class OutputName(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)
    name: str
    parameters: dict[str, Any] | None = None
    """`binary_data`: whether its data comes behind the document."""


class InferRequest(_Document):
    id: str | None = None
    model_name: str | None = None
    """The same as in the path, where it is given."""
    inputs: list[Tensor]
    """One for each feature."""
    outputs: list[OutputName] | None = None
    parameters: dict[str, Any] | None = None


class InferAnswer(_Document):
    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[Tensor]


class TensorMetadata(_Document):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | None = None
    """Of an input its `kind`: number, boolean, category or time; of probabilities their `classes`."""


class ModelMetadata(_Document):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class IndexRequest(_Document):
    ready: bool = False
    """Whether only versions that can answer are asked for."""


class IndexEntry(_Document):
    name: str
    version: str
    state: str
    """READY or UNAVAILABLE."""
    reason: str


class ServerMetadata(_Document):
    name: str
    version: str
    extensions: list[str]


class Duration(_Document):
    count: int
    ns: int
    """Nanoseconds of all together."""


class InferenceStatistics(_Document):
    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    """Not measured: reading a body is in neither the queue nor the model."""
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration
    cache_miss: Duration


class BatchStatistics(_Document):
    batch_size: int
    """Rows, rounded up to a power of two."""
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class VersionStatistics(_Document):
    name: str
    version: str
    last_inference: int
    """Milliseconds since the epoch; 0 when there was none."""
    inference_count: int
    """Rows."""
    execution_count: int
    """Calls of the model."""
    inference_stats: InferenceStatistics
    batch_stats: list[BatchStatistics]


class Statistics(_Document):
    model_stats: list[VersionStatistics]


class ProblemDocument(BaseModel):
    """RFC 9457; further members say which row, feature or key is wrong."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="allow")
    type: str
    """A URN that names the kind of problem."""
    title: str
    status: int
    detail: str
    error: str
    """The detail again, where inference protocol clients look for it."""
    error_code: str
    """MLflow's name of the kind of error, for its clients."""
    message: str
    """The detail again, where MLflow's clients look for it."""
    row: int | None = Field(default=None, description="Position of the row that is wrong, from 0")
    feature: str | None = None
