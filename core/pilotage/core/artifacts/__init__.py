"""The arrows of the loop: what one part hands to the next, as frozen, versioned models.

Each is written as JSON under its own file name beside the data it describes;
its JSON schema is committed in `pilotage.core.schemas`. Nothing is computed here.
"""

from __future__ import annotations

from pilotage.core.artifacts.bases import (
    Artifact,
    Digest,
    Part,
    Scalar,
    instant,
)
from pilotage.core.artifacts.data import (
    Check,
    Column,
    ColumnType,
    DataFile,
    Exclusion,
    Feature,
    Report,
    Severity,
    Skew,
    Snapshot,
)
from pilotage.core.artifacts.forms import (
    CodeInput,
    InferenceForm,
    Input,
    Link,
    NumberInput,
    OneHotInput,
    Scaling,
    TimeInput,
)
from pilotage.core.artifacts.versions import (
    CalibrationBin,
    Decision,
    Estimate,
    Fairness,
    Group,
    Latency,
    Model,
    ModelFormat,
    Rival,
    Scorecard,
    Slice,
    TrainedModel,
    Verdict,
    Version,
    Worth,
)
from pilotage.core.artifacts.watches import (
    Alarm,
    DriftReport,
    FeatureDrift,
    Performance,
    Release,
    Trigger,
    TriggerState,
)

ARTIFACTS: tuple[type[Artifact], ...] = (
    Snapshot,
    Report,
    Model,
    TrainedModel,
    InferenceForm,
    Scorecard,
    Version,
    Alarm,
    DriftReport,
    Trigger,
    Release,
)
"""Every arrow whose schema is committed."""

__all__ = [
    "ARTIFACTS",
    "Alarm",
    "Artifact",
    "CalibrationBin",
    "Check",
    "CodeInput",
    "Column",
    "ColumnType",
    "DataFile",
    "Decision",
    "Digest",
    "DriftReport",
    "Estimate",
    "Exclusion",
    "Fairness",
    "Feature",
    "FeatureDrift",
    "Group",
    "InferenceForm",
    "Input",
    "Latency",
    "Link",
    "Model",
    "ModelFormat",
    "NumberInput",
    "OneHotInput",
    "Part",
    "Performance",
    "Release",
    "Report",
    "Rival",
    "Scalar",
    "Scaling",
    "Scorecard",
    "Severity",
    "Skew",
    "Slice",
    "Snapshot",
    "TimeInput",
    "TrainedModel",
    "Trigger",
    "TriggerState",
    "Verdict",
    "Version",
    "Worth",
    "instant",
]
