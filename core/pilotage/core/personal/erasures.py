"""What was deleted and must not come back: keys that are to be forgotten, snapshots that are gone.

Keys are kept as keyed hashes only. A snapshot that was rewritten or deleted leaves a note, so that
whoever looks for it by its digest learns what became of it. Who deletes is not decided here.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, ValidationError

from pilotage.core import errors, models
from pilotage.core.artifacts.bases import Artifact, Digest
from pilotage.core.personal import keys
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage

_KEYS = "erasures/keys"
_NOTES = "erasures/snapshots"


class Deleted(Artifact):
    """What became of a snapshot whose rows are not there any more."""

    FILE = "deleted.json"
    kind: Literal["deleted"] = "deleted"
    schema_version: Literal[1] = 1
    digest: Digest
    """Of the rows as they were."""
    rows: Annotated[int, Field(ge=0)]
    why: str
    """`retention` or `erasure`."""
    replaced_by: Digest | None = None
    """Of the same rows without those that were erased; None where none are left or all were deleted."""
    deleted_at: AwareDatetime

    @property
    def sentence(self) -> str:
        """What became of it, in words."""
        day = f"{self.deleted_at:%Y-%m-%d}"
        if self.why == "retention":
            return f"its rows were deleted on {day} by `data.retention`"
        rest = "no row is left" if self.replaced_by is None else f"the others are {self.replaced_by[:12]}"
        return f"rows of it were erased on {day} at somebody's request; {rest}"


def note_of(storage: Storage, digest: str) -> Deleted | None:
    """What became of snapshot `digest`; None where nothing is noted."""
    name = f"{_NOTES}/{digest}.json"
    if not storage.exists(name):
        return None
    try:
        return Deleted.model_validate_json(storage.read(name))
    except ValidationError:
        return None


def write_note(storage: Storage, note: Deleted) -> None:
    """Note what became of a snapshot; a repeat changes nothing that matters."""
    storage.write(f"{_NOTES}/{note.digest}.json", note.model_dump_json(indent=2).encode() + b"\n")


def forget_note(storage: Storage, digest: str) -> None:
    """The snapshot is back: the same rows were ingested again."""
    storage.delete(f"{_NOTES}/{digest}.json")


def key_digest(settings: Settings, pilot: str, key: str) -> str:
    """The keyed hash that stands for a row's key: the same with the same installation and pilot only."""
    return _digest(models.installation_secret(settings), pilot, key)


def _digest(secret: bytes, pilot: str, key: str) -> str:
    return hmac.new(secret, f"forget\0{pilot}\0{key}".encode(), hashlib.sha256).hexdigest()


class Forgotten:
    """Keys of one pilot that are to be forgotten, as keyed hashes."""

    def __init__(self, settings: Settings, pilot: str) -> None:
        """Read what was noted.

        Raises:
            SettingsError: it was noted with another secret, so it would protect nobody.
        """
        self._settings = settings
        self._pilot = pilot
        self._name = f"{_KEYS}/{pilot}.json"
        self._storage = Storage(settings.storage)
        there = self._storage.exists(self._name)
        held = json.loads(self._storage.read(self._name)) if there else {"keys": []}
        self.digests: frozenset[str] = frozenset(held["keys"])
        self._secret = models.installation_secret(settings) if self.digests else b""
        self.met: set[str] = set()
        """Hashes of those that `holds` came across: not those that no row has."""
        if self.digests and held["secret"] != keys.mark(self._secret):
            raise errors.SettingsError(
                f"What is to be forgotten of pilot `{pilot}` was noted with another installation key, so "
                "nobody can tell which rows that is.",
                remedy="Set PILOTAGE_INSTALLATION_KEY, or restore `installation.key` in the home, as it was.",
            )

    def __bool__(self) -> bool:
        return bool(self.digests)

    def holds(self, key: str | None) -> bool:
        """Whether the row with this key is to be forgotten."""
        if key is None or not self.digests:
            return False
        digest = _digest(self._secret, self._pilot, key)
        if digest not in self.digests:
            return False
        self.met.add(digest)
        return True

    def only(self, digests: Iterable[str]) -> Forgotten:
        """As if these were all that is to be forgotten; nothing is noted."""
        found = Forgotten(self._settings, self._pilot)
        found._secret = models.installation_secret(self._settings)
        found.digests = frozenset(digests)
        return found

    def add(self, digests: Iterable[str]) -> None:
        """Remember more keys for good."""
        together = sorted(self.digests | set(digests))
        self._secret = models.installation_secret(self._settings)
        held = {"secret": keys.mark(self._secret), "keys": together}
        self._storage.write(self._name, (json.dumps(held) + "\n").encode())
        self.digests = frozenset(together)

    @property
    def mark(self) -> str:
        """A text that changes with the keys; empty without any."""
        return hashlib.sha256("\n".join(sorted(self.digests)).encode()).hexdigest() if self.digests else ""
