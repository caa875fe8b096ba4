"""What batch scoring made of a table."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from pilotage.core.artifacts.bases import Artifact, Digest


class Scores(Artifact):
    """A version's predictions for the rows of a source, in their order, and the file that holds them."""

    FILE = "scores.json"
    kind: Literal["scores"] = "scores"
    schema_version: Literal[1] = 1
    pilot: str
    version: Annotated[int, Field(ge=1)]
    model: Digest
    source: str
    file: str
    rows: Annotated[int, Field(ge=0)]
    resumed: Annotated[int, Field(ge=0)]
    """Rows that an earlier attempt had scored."""
    columns: tuple[str, ...]
    """Of the file, in order."""
    key: str | None
    """The column of keys; None when the pilot or the source has none."""
    workers: int = 1
    """Processes that shared the rows; 1 also where threads of one did."""
    restarts: int = 0
    """How often workers that were lost meanwhile were replaced."""
    bytes: int
    sha256: Digest
    """Of the file."""
    created_at: AwareDatetime
