"""The file of a backup: a plain tar whose last member lists the digests of all others.

It is written as a stream, and read as if somebody hostile had made it: nothing
but regular files, under names that lead nowhere else, each once, and each as
its digest says. What the members mean is not known here. Digests show damage;
who can write the archive can write them, too.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pilotage.core import errors
from pilotage.core.storage import written

HEADER, MANIFEST = "backup.json", "manifest.json"
"""The first and the last member."""
FORMAT = 1
_HEADER_BYTES, _MANIFEST_BYTES = 2**16, 2**28
_NAME_BYTES, _DEPTH = 1000, 40
_CHUNK = 2**20
_TROUBLE = (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError)
"""What reading a file that is no archive of ours may raise."""


@dataclass
class Writer:
    """An archive that is being written."""

    _tar: tarfile.TarFile
    _digests: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add_bytes(self, name: str, content: bytes) -> None:
        """Add a member from memory."""
        self._add(name, io.BytesIO(content), len(content), 0o600)

    def add_file(self, name: str, path: Path) -> bool:
        """Add a file as it is now; False when it is gone, or is no regular file.

        Raises:
            Unavailable: it shrank while it was read.
        """
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return False
        with os.fdopen(handle, "rb") as stream:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                return False
            try:
                self._add(name, stream, found.st_size, found.st_mode & 0o777)
            except OSError as error:
                if "unexpected end of data" not in str(error):
                    raise
                raise errors.Unavailable(
                    f"{path} became shorter while it was read.", remedy="Try again."
                ) from error
        return True

    def finish(self) -> int:
        """Add the list of digests; returns how many there are."""
        content = json.dumps({"members": self._digests}, sort_keys=True).encode()
        self._add(MANIFEST, io.BytesIO(content), len(content), 0o600)
        return len(self._digests) - 1

    def _add(self, name: str, stream: IO[bytes], size: int, mode: int) -> None:
        if not _is_plain(name):
            raise errors.DataError(
                f"A backup cannot hold a file of the name {name[:200]!r}.", remedy="Rename it, or remove it."
            )
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = size, mode, int(time.time())
        reader = _Digesting(stream)
        self._tar.addfile(member, reader)
        self._digests[name] = {"bytes": size, "sha256": reader.digest.hexdigest()}


@contextmanager
def create(file: Path) -> Iterator[Writer]:
    """An archive that is at `file` when the block ends without an error, readable by its owner only."""
    with written(file, mode=0o600) as stream, tarfile.open(fileobj=stream, mode="w|", bufsize=_CHUNK) as tar:
        yield Writer(tar)


def header(file: Path) -> dict[str, Any]:
    """The first member.

    Raises:
        NotFound: there is no such file.
        DataError: it is no backup.
    """
    with _opened(file) as tar:
        for member, stream in _members(file, tar):
            if member.name != HEADER:
                break
            return _document(file, stream, _HEADER_BYTES)
    raise _damaged(file, "it does not begin as one")


def extract(file: Path, target: Path, accepts: Callable[[tuple[str, ...]], bool]) -> None:
    """Write every member of the archive below the new folder `target`, and check all of them.

    Args:
        file: the archive.
        target: a folder that is not there yet.
        accepts: whether a member of this name, as a tuple of its parts, may be in it.

    Raises:
        DataError: it is damaged, or holds what no backup holds. What was written is to be thrown away.
    """
    target.mkdir(mode=0o700)
    found: dict[str, dict[str, Any]] = {}
    listed, ended = None, False
    with _opened(file) as tar:
        for member, stream in _members(file, tar):
            name = member.name
            if ended:
                raise _damaged(file, f"`{name[:200]}` comes after its end")
            if name == MANIFEST:
                listed, ended = _document(file, stream, _MANIFEST_BYTES).get("members"), True
                continue
            parts = tuple(name.split("/"))
            if name in found or not (name == HEADER or accepts(parts)):
                raise _damaged(file, f"`{name[:200]}` has no place in one")
            found[name] = _write(target.joinpath(*parts), member, stream)
    if not ended:
        raise _damaged(file, "its end is missing")
    if not isinstance(listed, dict):
        raise _damaged(file, "its list of digests is none")
    if listed != found:
        wrong = min(name for name in {*found, *listed} if found.get(name) != listed.get(name))
        raise _damaged(file, f"`{wrong[:200]}` is not what its digest was made of")


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with file.open("rb") as raw, tarfile.open(fileobj=raw, mode="r|", bufsize=_CHUNK) as tar:
            yield tar
    except FileNotFoundError as error:
        raise errors.NotFound(f"There is no backup {file}.", remedy="Name another file.") from error
    except IsADirectoryError as error:
        raise _damaged(file, "it is a folder") from error
    except _TROUBLE as error:
        raise _damaged(file, str(error) or type(error).__name__) from error


def _members(file: Path, tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    for member in tar:
        _require_harmless(file, member)
        stream = tar.extractfile(member)
        if stream is not None:
            yield member, stream


def _require_harmless(file: Path, member: tarfile.TarInfo) -> None:
    kind = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
    if not kind or member.size < 0 or not _is_plain(member.name):
        what = "is no regular file" if _is_plain(member.name) else "has a name that may lead elsewhere"
        raise _damaged(file, f"{member.name[:200]!r} {what}")


def _is_plain(name: str) -> bool:
    parts = name.split("/")
    return (
        name.isprintable()  # which no half of a surrogate pair is
        and len(name.encode()) <= _NAME_BYTES
        and len(parts) <= _DEPTH
        and "\\" not in name
        and not {"", ".", ".."} & set(parts)
    )


def _write(path: Path, member: tarfile.TarInfo, stream: IO[bytes]) -> dict[str, Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    digest, size = hashlib.sha256(), 0
    with os.fdopen(os.open(path, flags, 0o600 | member.mode & 0o755), "wb") as target:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            target.write(chunk)
    if size != member.size:
        raise EOFError("it ends too early")
    return {"bytes": size, "sha256": digest.hexdigest()}


def _document(file: Path, stream: IO[bytes], most: int) -> dict[str, Any]:
    content = stream.read(most + 1)
    found = json.loads(content) if len(content) <= most else None
    if not isinstance(found, dict):
        raise _damaged(file, "what it says of itself cannot be read")
    return found


def _damaged(file: Path, why: str) -> errors.DataError:
    return errors.DataError(
        f"{file} is no backup of Pilotage, or is damaged: {why}.",
        remedy="Nothing was restored; take another backup.",
    )


class _Digesting:
    """A stream whose digest is taken while it is read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Some bytes of it."""
        content = self._stream.read(size)
        self.digest.update(content)
        return content
