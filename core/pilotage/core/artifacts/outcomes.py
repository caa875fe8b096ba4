"""What became of a step that ran apart from the installation that asked for it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from pilotage.core.artifacts.bases import Artifact
from pilotage.core.artifacts.usages import Usage


class Outcome(Artifact):
    """One attempt of a step, as the step itself tells it; `running` until it has ended."""

    FILE = "outcome.json"
    kind: Literal["outcome"] = "outcome"
    schema_version: Literal[1] = 1
    run: str
    step: str
    attempt: Annotated[int, Field(ge=1)]
    state: Literal["running", "succeeded", "failed"]
    started_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    outputs: dict[str, dict[str, Any]] = {}
    """Metadata by artifact."""
    files: dict[str, tuple[str, ...]] = {}
    """Names of the files that are kept beside the outcome, by artifact."""
    peak_memory_bytes: int = 0
    usage: Usage | None = None
    """What its process used, from its beginning."""
    error: dict[str, Any] | None = None
    """`type`, `message`, `remedy`, `exit_code` and `details` of what it failed with."""
