"""What the hops need of git, in their own words; `pilotage.pipelines.releases` alone touches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pilotage.core.settings import Settings


@dataclass(frozen=True)
class Commit:
    """A commit that a release made, or found made."""

    commit: str
    branch: str
    url: str | None
    proposed: bool
    """Whether it waits on a branch of its own for a person to merge it."""


class Git(Protocol):
    """Where releases are written. Each call may be repeated: what is so already is left so."""

    def release(self, pilot: str, version: int, *, by: str, reason: str) -> Commit:
        """Let git say that `version` is to run."""
        ...

    def revert(self, pilot: str, *, by: str, reason: str) -> None:
        """Let git say what it said before the last release."""
        ...

    def read(self, pilot: str) -> int | None:
        """The version that what the cluster follows says is to run; None where it says nothing."""
        ...


class Repository:
    """The repository that PILOTAGE_RELEASE_TO names."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def release(self, pilot: str, version: int, *, by: str, reason: str) -> Commit:
        """See `Git`."""
        raise NotImplementedError

    def revert(self, pilot: str, *, by: str, reason: str) -> None:
        """See `Git`."""
        raise NotImplementedError

    def read(self, pilot: str) -> int | None:
        """See `Git`."""
        raise NotImplementedError
