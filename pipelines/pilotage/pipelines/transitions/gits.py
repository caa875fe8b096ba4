"""What the hops need of git, in their own words; `pilotage.pipelines.releases` alone touches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pilotage.core import errors
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

    def release(self, pilot: str, version: int, *, by: str, reason: str, force: bool = False) -> Commit:
        """Let git say that `version` is to run."""
        ...

    def revert(self, pilot: str, version: int, *, by: str, reason: str) -> bool:
        """Let git say what it said before `version`; False where it said nothing, or nobody knows what."""
        ...

    def read(self, pilot: str) -> int | None:
        """The version that what the cluster follows says is to run; None where it says nothing."""
        ...


class Repository:
    """The repository that PILOTAGE_RELEASE_TO names; what speaks git is loaded on first use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def release(self, pilot: str, version: int, *, by: str, reason: str, force: bool = False) -> Commit:
        """See `Git`."""
        from pilotage.pipelines import releases

        said = reason or ("asked for by force" if force else "")
        made = releases.release(self._settings, pilot, version, by=by, reason=said, force=force)
        return Commit(made.commit, made.branch, made.url or None, made.waits)

    def revert(self, pilot: str, version: int, *, by: str, reason: str) -> bool:
        """See `Git`."""
        from pilotage.pipelines import releases
        from pilotage.pipelines.releases import places

        try:
            releases.revert(self._settings, pilot, by=by, reason=reason, version=version)
        except errors.NotFound:  # it was the first that was released there
            return False
        except errors.SettingsError:
            if places.parse(self._settings.release_to).kind is places.Kind.FOLDER:
                return False  # a plain folder does not know what it said before
            raise
        return True

    def read(self, pilot: str) -> int | None:
        """See `Git`."""
        from pilotage.pipelines import releases

        found = releases.read(self._settings, pilot)
        return None if found is None else found.version
