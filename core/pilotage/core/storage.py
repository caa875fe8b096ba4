"""Where bulk data lives: one local folder or one object store, behind one class.

A reader never sees half of anything: local files are written beside their
place, synced and renamed; a folder is published by one rename; an object store
publishes a folder's marker file last. What the files mean is not known here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pilotage.core import errors

COMPLETE = "manifest.json"
"""A published folder holds this file; it is the last one to appear."""
READ_AT_ONCE = 128
"""Files that an object store is asked for together."""
_PIECE_BYTES = 1 << 20


def write_file(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Replace `path` by `data` so that a crash leaves the old or the new content, never a mixture.

    Without `sync` that holds for a process that dies; a power cut may take what the
    system had not written yet.
    """
    with written(path, sync=sync) as stream:
        stream.write(data)


@contextmanager
def written(path: Path, *, sync: bool = True, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """A stream to what becomes `path` when the block ends without an error; see `write_file`.

    `mode` are the new file's permissions, from which the process's mask is taken.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sync:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Storage:
    """A tree of files under one fsspec URL; names are relative POSIX paths."""

    def __init__(self, url: str) -> None:
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        self.url = url
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise errors.SettingsError(
                f"Storage `{url}` cannot be opened: {error}.",
                remedy="Set PILOTAGE_STORAGE_URL to a folder or a URL whose fsspec driver is installed.",
            ) from error
        self._root = str(root).rstrip("/")
        self.local = isinstance(self._files, LocalFileSystem)

    def location(self, name: str) -> str:
        """The address of `name`: a path when local, else a URL."""
        path = f"{self._root}/{name}"
        return path if self.local else str(self._files.unstrip_protocol(path))

    def exists(self, name: str) -> bool:
        """Whether a file or a folder `name` is there."""
        return bool(self._files.exists(f"{self._root}/{name}"))

    def published(self, name: str) -> bool:
        """Whether folder `name` is there as a whole."""
        return self.exists(f"{name}/{COMPLETE}")

    def read(self, name: str) -> bytes:
        """The content of file `name`.

        Raises:
            NotFound: there is no such file.
        """
        path = f"{self._root}/{name}"
        try:
            data: bytes = _bytes_of(path) if self.local else self._files.cat_file(path)
        except FileNotFoundError as error:
            raise errors.NotFound(f"`{self.location(name)}` does not exist.", name=name) from error
        return data

    def open(self, name: str) -> IO[bytes]:
        """File `name` to be read piece by piece, from anywhere in it; whoever opens it closes it.

        Raises:
            NotFound: there is no such file.
        """
        path = f"{self._root}/{name}"
        try:
            if self.local:
                return Path(path).open("rb")
            stream: IO[bytes] = self._files.open(path, "rb")
        except FileNotFoundError as error:
            raise errors.NotFound(f"`{self.location(name)}` does not exist.", name=name) from error
        return stream

    def read_all(self, names: Sequence[str]) -> Iterator[bytes | None]:
        """The content of each of many files in turn, None for one that is not there.

        An object store is asked for several at a time, which takes hardly longer than for one.
        """
        if self.local:
            for name in names:
                try:
                    yield self.read(name)
                except errors.NotFound:
                    yield None
            return
        for begin in range(0, len(names), READ_AT_ONCE):
            paths = [f"{self._root}/{name}" for name in names[begin : begin + READ_AT_ONCE]]
            held = self._files.cat(paths, on_error="return")
            for path in paths:
                yield _content(held[path])

    def write(self, name: str, data: bytes, *, sync: bool = True) -> None:
        """Replace file `name` by `data`; writing the same again changes nothing; `sync`: see `write_file`."""
        if self.local:
            write_file(Path(self._root, name), data, sync=sync)
        else:
            self._files.pipe_file(f"{self._root}/{name}", data)

    def put(self, name: str, path: Path) -> None:
        """Replace file `name` by the content of `path`, which memory need not hold."""
        if not self.local:
            self._files.put_file(str(path), f"{self._root}/{name}")
            return
        with path.open("rb") as source, written(Path(self._root, name)) as target:
            shutil.copyfileobj(source, target, _PIECE_BYTES)

    def delete(self, name: str) -> None:
        """Remove the file or folder `name`; nothing happens when it is not there."""
        path = f"{self._root}/{name}"
        with suppress(FileNotFoundError):  # another process removes it, too
            if self._files.exists(path):
                self._files.rm(path, recursive=True)

    def names(self, prefix: str) -> list[str]:
        """Names of all finished files below folder `prefix`, sorted."""
        path = f"{self._root}/{prefix}".rstrip("/")
        if not self._files.exists(path):
            return []
        if not self.local:
            self._files.invalidate_cache(path)
        found = (str(name)[len(self._root) + 1 :] for name in self._files.find(path))
        return sorted(name for name in found if not name.rsplit("/", 1)[-1].startswith("."))

    def stamps(self, prefix: str) -> dict[str, str]:
        """Finished files below folder `prefix` by name, each with a text that changes with the file."""
        path = f"{self._root}/{prefix}".rstrip("/")
        if self.local:
            return dict(sorted(self._local_stamps(path)))
        if not self._files.exists(path):
            return {}
        self._files.invalidate_cache(path)
        found = self._files.find(path, detail=True).items()
        stamps = {str(name)[len(self._root) + 1 :]: _stamp(entry) for name, entry in sorted(found)}
        return {name: stamp for name, stamp in stamps.items() if not name.rsplit("/", 1)[-1].startswith(".")}

    def _local_stamps(self, folder: str) -> Iterator[tuple[str, str]]:
        """The same for local files, several times faster than fsspec lists them."""
        for parent, _, files in os.walk(folder):
            for name in files:
                if name.startswith("."):
                    continue
                path = f"{parent}/{name}"
                with suppress(FileNotFoundError):  # replaced or removed meanwhile
                    held = os.stat(path)  # noqa: PTH116 - a Path for each of thousands takes as long again
                    yield path[len(self._root) + 1 :], f"{held.st_size} {held.st_mtime_ns} {held.st_ino}"

    def modified_at(self, name: str) -> datetime:
        """When file `name` was written last.

        Raises:
            NotFound: there is no such file.
        """
        try:
            time: datetime = self._files.modified(f"{self._root}/{name}")
        except FileNotFoundError as error:
            raise errors.NotFound(f"`{self.location(name)}` does not exist.", name=name) from error
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A new local folder to fill before `publish`; removed afterwards if it was not published."""
        parent = Path(self._root, ".staging") if self.local else None
        if parent:
            parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, folder: Path, name: str) -> None:
        """Make the filled `folder`, which holds `manifest.json`, visible as `name`, all at once.

        Publishing a name that is already there keeps what is there: the name of
        a content-addressed folder says what is in it.
        """
        if self.published(name):
            return
        if not self.local:
            self._upload(folder, name)
            return
        for path in folder.rglob("*"):
            if path.is_file():
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
        target = Path(self._root, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.rename(target)
        except OSError:
            if not self.published(name):
                self._replace_rest(folder, target)
        sync_folder(target.parent)

    def _replace_rest(self, folder: Path, target: Path) -> None:
        """Put `folder` in the place of files without their marker, which a broken-off deletion left."""
        rest = folder.with_name(f"{uuid.uuid4().hex}.rest")
        with suppress(FileNotFoundError):  # the deletion went on
            target.rename(rest)
        try:
            folder.rename(target)
        finally:
            shutil.rmtree(rest, ignore_errors=True)

    def fetch(self, name: str, cache: Path) -> Path:
        """A local folder with the content of published folder `name`; downloaded to `cache` if remote.

        Raises:
            NotFound: the folder is not there, or not as a whole.
        """
        if not self.published(name):
            raise errors.NotFound(f"`{self.location(name)}` does not exist.", name=name)
        if self.local:
            return Path(self._root, name)
        target = cache / name
        if not (target / COMPLETE).exists():
            partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
            partial.parent.mkdir(parents=True, exist_ok=True)
            self._files.get(f"{self._root}/{name}/", f"{partial}/", recursive=True)
            try:
                partial.rename(target)
            except OSError:
                shutil.rmtree(partial, ignore_errors=True)
        return target

    def _upload(self, folder: Path, name: str) -> None:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        paths.sort(key=lambda path: path.name == COMPLETE)
        for path in paths:
            self._files.put_file(str(path), f"{self._root}/{name}/{path.relative_to(folder).as_posix()}")


def _bytes_of(path: str) -> bytes:
    with open(path, "rb") as stream:  # noqa: PTH123 - a Path for each of thousands takes longer than to read it
        return stream.read()


def _content(found: bytes | Exception) -> bytes | None:
    if isinstance(found, FileNotFoundError):
        return None
    if isinstance(found, Exception):
        raise found
    return found


_STAMPED = ("size", "mtime", "ino", "etag", "ETag", "LastModified", "last_modified", "updated", "created")
"""What file systems call the parts of an entry that change when its content is replaced."""


def _stamp(entry: dict[str, Any]) -> str:
    return " ".join(str(entry[key]) for key in _STAMPED if key in entry)
