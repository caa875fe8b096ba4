"""Repositories behind a network, over https or ssh: fetched into memory, changed by a push.

Nothing is kept between two looks and nothing is written here, so a killed process leaves nothing. The
head is fetched with as little history as the question needs, and without large files, which pass
through untouched: a push sends only what is new. The server compares the branch with what we saw.
"""

from __future__ import annotations

import re
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import urllib3
from dulwich.client import (
    GitClient,
    HTTPUnauthorized,
    SSHGitClient,
    SubprocessSSHVendor,
    Urllib3HttpGitClient,
)
from dulwich.errors import ChecksumMismatch, GitProtocolError, NotGitRepository, SendPackError
from dulwich.objects import ObjectID, ShaFile
from dulwich.pack import UnpackedObject, pack_objects_to_data
from dulwich.refs import Ref
from dulwich.repo import MemoryRepo

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.pipelines.releases import credentials, trees
from pilotage.pipelines.releases.places import Kind, Place
from pilotage.pipelines.releases.repositories import Moved, Sight

MOST_FETCHED_BYTES = 256 * 1024 * 1024
_HEADS = b"refs/heads/"
_BROKEN: tuple[type[Exception], ...] = (OSError, EOFError, GitProtocolError, ChecksumMismatch, zlib.error)
_BROKEN += (ValueError, AssertionError, KeyError, urllib3.exceptions.HTTPError)
"""What dulwich raises when the other side goes away, or talks nonsense."""
_RACE = re.compile(
    r"fast-forward|fetch first|stale|lock|already exists|failed to update|old value", re.IGNORECASE
)
"""How servers say that somebody else moved the branch meanwhile."""
_DENIED = re.compile(r"permission denied|publickey|access denied|could not read from remote", re.IGNORECASE)


class _NoPush(Exception):
    """The branch is elsewhere already, before anything is sent."""


class Remote:
    """A repository behind a network; a context manager."""

    def __init__(self, settings: Settings, place: Place) -> None:
        self.location = place.location
        self._settings = settings
        self._place = place
        self._stack = ExitStack()

    def __enter__(self) -> Remote:
        self._client, self._path = self._connected()
        self._stack.callback(self._client.close)
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    def see(self, branches: Sequence[str], depth: int | None) -> Sight:
        """See `Repository.see`."""
        held = MemoryRepo()
        wanted: dict[str, ObjectID | None] = {}

        def wants(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
            for name in branches:
                wanted[name] = refs.get(Ref(_HEADS + name.encode()) if name else Ref(b"HEAD"))
            return [sha for sha in wanted.values() if sha is not None]

        stream, commit, abort = held.object_store.add_pack()
        with self._asking():
            try:
                found = self._client.fetch_pack(
                    self._sent_path(),
                    wants,
                    held.get_graph_walker(),
                    _bounded(stream.write),
                    depth=depth,
                    ref_prefix=[b"HEAD", _HEADS],
                    filter_spec=b"blob:limit=%d" % trees.MOST_BYTES,
                )
                commit()
            except BaseException:
                abort()
                raise
        if (found.object_format or "sha1") != "sha1":
            raise errors.SettingsError(
                f"`{self.location}` names objects with {found.object_format}, which is not written here.",
                remedy="Use a repository with SHA-1 objects.",
            )
        default = found.symrefs.get(Ref(b"HEAD"), Ref(_HEADS + b"main")).removeprefix(_HEADS).decode()
        heads = {name or default: sha for name, sha in wanted.items() if sha is not None}
        return Sight(held.object_store, heads, default, frozenset(found.new_shallow or ()))

    def advance(
        self, branch: str, old: ObjectID | None, new: ObjectID, objects: Sequence[ShaFile], path: str
    ) -> None:
        """See `Repository.advance`."""
        ref = Ref(_HEADS + branch.encode())

        def update(refs: dict[Ref, ObjectID]) -> dict[Ref, ObjectID]:
            if refs.get(ref) != old:
                raise _NoPush
            return {ref: new}

        def pack(*seen: object, **options: Any) -> tuple[int, Iterator[UnpackedObject]]:
            return pack_objects_to_data(list(objects), deltify=False)

        with self._asking():
            try:
                done = self._client.send_pack(self._sent_path(), update, pack)
            except _NoPush as error:
                raise Moved from error
            except SendPackError as error:
                raise errors.Unavailable(
                    f"`{self.location}` could not store the commit: {_told(error)}.", remedy="Try again."
                ) from error
        reason = (done.ref_status or {}).get(ref)
        if reason is not None:
            self._judge(branch, old, reason)

    def _judge(self, branch: str, old: ObjectID | None, reason: str) -> None:
        """Raise what a server's "no" to a push means."""
        if _RACE.search(reason) or self.see([branch], 1).heads.get(branch) != old:
            raise Moved
        raise errors.Conflict(
            f"`{self.location}` does not take the commit on branch `{branch}`: {_clean(reason)}.",
            remedy="Where it is protected, release with `--branch` (PILOTAGE_RELEASE_MODE) and merge that.",
        )

    def _sent_path(self) -> Any:
        return self._path.encode() if self._place.kind is Kind.SSH else self._path

    def _connected(self) -> tuple[GitClient, str]:
        place = self._place
        if place.kind is Kind.SSH:
            if shutil.which("ssh") is None:
                raise errors.SettingsError(
                    "There is no `ssh` on this machine.",
                    remedy="Install OpenSSH's client, or release to the repository's https:// URL.",
                )
            client = SSHGitClient(
                place.host,
                port=place.port,
                username=place.user,
                vendor=SubprocessSSHVendor(),
                ssh_command=credentials.ssh_command(self._settings),
            )
            return client, place.path
        token = credentials.token(self._settings)
        pool: Any = self._stack.enter_context(closing(_Pool(self._settings, place.location)))
        http = Urllib3HttpGitClient(
            place.location,
            pool_manager=pool,
            username=credentials.user(self._settings, place) if token else None,
            password=token or None,
        )
        return http, place.path

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn what goes wrong between us and the server into our errors."""
        try:
            yield
        except HTTPUnauthorized as error:
            raise credentials.refused(self._settings, self._place) from error
        except NotGitRepository as error:
            raise errors.NotFound(
                f"There is no git repository at `{self.location}`, or not for us.",
                remedy="Correct its URL, and see that the token or key may read it.",
            ) from error
        except _BROKEN as error:
            told = _told(error)
            if "http resp 403" in told or (self._place.kind is Kind.SSH and _DENIED.search(told)):
                raise credentials.refused(self._settings, self._place) from error
            raise errors.Unavailable(
                f"`{self.location}` did not answer as a git server does: {told}.", remedy="Try again."
            ) from error


class _Pool:
    """Connections as dulwich asks for them, closed also where it left an answer unread."""

    def __init__(self, settings: Settings, url: str) -> None:
        self._pool = credentials.pool(settings, url)
        self._answers: list[urllib3.BaseHTTPResponse] = []
        self.headers = self._pool.headers

    def request(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """See `urllib3.PoolManager.request`."""
        answer = self._pool.request(method, url, **options)
        self._answers.append(answer)
        return answer

    def close(self) -> None:
        """Close every connection."""
        for answer in self._answers:
            answer.close()
        self._pool.clear()


def _bounded(write: Callable[[bytes], int]) -> Callable[[bytes], int]:
    """`write`, until it was too much."""
    left = MOST_FETCHED_BYTES

    def take(data: bytes) -> int:
        nonlocal left
        left -= len(data)
        if left < 0:
            raise ValueError(f"it sends more than {MOST_FETCHED_BYTES:,} bytes")
        return write(data)

    return take


def _told(error: BaseException) -> str:
    """What an exception of dulwich says, without what a server could have put into it."""
    lines = error.args[0] if error.args and isinstance(error.args[0], list) else [str(error)]
    text = " ".join(line.decode(errors="replace") if isinstance(line, bytes) else str(line) for line in lines)
    return _clean(text) or type(error).__name__


def _clean(text: str) -> str:
    """One printable line of at most 300 characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[:300].rstrip(".")
