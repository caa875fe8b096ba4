"""What every artifact is made of, and how it is written and read."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pilotage.core import errors, storage

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 in hexadecimal."""
Scalar = str | bool | int | float
"""A class of a classification target."""


class Part(BaseModel):
    """Base of what an artifact is made of."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="null"
    )


class Artifact(Part):
    """Base of all arrows."""

    FILE: ClassVar[str]

    def write(self, folder: Path) -> Path:
        """Write as `FILE` in `folder`, all or nothing; returns the path."""
        path = folder / self.FILE
        storage.write_file(path, (self.model_dump_json(indent=2) + "\n").encode())
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read from `path`, the file or its folder.

        Raises:
            NotFound: there is no such file.
            DataError: it is not this artifact in this version.
        """
        file = path / cls.FILE if path.is_dir() else path
        try:
            return cls.model_validate_json(file.read_bytes())
        except FileNotFoundError as error:
            raise errors.NotFound(f"There is no `{file}`.", path=str(file)) from error
        except ValidationError as error:
            raise errors.DataError(
                f"`{file}` is not a {cls.__name__} of this version: {error}.", remedy="Run the step again."
            ) from error

    @property
    def content_digest(self) -> str:
        """SHA-256 of the content in canonical JSON."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def instant(value: datetime) -> str:
    """`value` as file names spell it: UTC, sortable, without colons."""
    return value.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
