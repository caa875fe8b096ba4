"""One file below a folder, read and written without following a symbolic link on the way.

The folder itself may be a link: whoever named it meant where it leads. What is in the file is not
known here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pilotage.core import errors

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def read(root: Path, path: str) -> bytes | None:
    """Content of the file at `path` below `root`; None when there is none.

    Raises:
        Conflict: a link or something else than a file or a folder is on the way.
    """
    *parts, name = path.split("/")
    try:
        with _folder(root, parts, path, make=False) as folder:
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            with os.fdopen(handle, "rb") as stream:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise _in_the_way(root, path)
                return stream.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _in_the_way(root, path) from error


def write(root: Path, path: str, data: bytes) -> os.stat_result:
    """Make `data` the content of the file at `path` below `root`, all or nothing.

    Raises:
        Conflict: see `read`.
        Failure: it cannot be written.
    """
    *parts, name = path.split("/")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _folder(root, parts, path, make=True) as folder:
            _require_file(root, path, name, folder)
            return _replace(folder, name, data)
    except OSError as error:
        raise errors.Failure(
            f"`{root / path}` cannot be written: {error.strerror or error}.",
            remedy="Let this user write there.",
        ) from error


def _require_file(root: Path, path: str, name: str, folder: int) -> None:
    """Raise Conflict when what is in the file's place is no plain file."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise _in_the_way(root, path)


def _replace(folder: int, name: str, data: bytes) -> os.stat_result:
    """By a draft whose name is always the same, so that the next call uses up what a killed one left."""
    fcntl.flock(folder, fcntl.LOCK_EX)  # of two processes that write the same file one waits
    draft = f".{name}.pilotage"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.suppress(FileNotFoundError):
        os.unlink(draft, dir_fd=folder)
    with os.fdopen(os.open(draft, flags, 0o666, dir_fd=folder), "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)
    return os.stat(name, dir_fd=folder, follow_symlinks=False)


@contextmanager
def _folder(root: Path, parts: list[str], path: str, *, make: bool) -> Iterator[int]:
    """A handle to the folder `parts` below `root`; made where it is missing, if so wanted."""
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            if make:
                try:
                    os.mkdir(part, 0o777, dir_fd=handle)
                except FileExistsError:
                    pass
            try:
                below = os.open(part, _OPEN_FOLDER, dir_fd=handle)
            except FileNotFoundError:
                raise
            except OSError as error:  # a link, or no folder
                raise _in_the_way(root, path) from error
            os.close(handle)
            handle = below
        yield handle
    finally:
        os.close(handle)


def _in_the_way(root: Path, path: str) -> errors.Conflict:
    return errors.Conflict(
        f"`{path}` in `{root}` cannot be used: it, or a folder on the way to it, is a link or of another kind"
        " than expected.",
        remedy="Make it a plain folder or file; links are not followed.",
    )
