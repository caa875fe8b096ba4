"""Repositories on this machine, bare or with a working tree, changed in place.

Every step leaves the repository as git itself could have left it, whenever the process is killed: objects
are renamed into their place before the branch moves, and the working tree has the file before that. A
branch is locked as git locks it, by a file beside it, which is a hard link to one of ours; so a lock that a
killed process of ours left is known as such and removed, and one of git's never is. Hooks are not run.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dulwich.errors import NotGitRepository
from dulwich.index import ConflictedIndexEntry, Index, index_entry_from_stat
from dulwich.objects import Blob, Commit, ObjectID, ShaFile
from dulwich.refs import DiskRefsContainer, Ref
from dulwich.repo import Repo

from pilotage.core import errors, storage
from pilotage.pipelines.releases import folders, trees
from pilotage.pipelines.releases.repositories import Moved, Sight

_HEADS = b"refs/heads/"
_LOCK, _TOKEN, _NEW = "pilotage.lock", "pilotage.token", "pilotage.new"
"""Files of ours in the repository's own folder: who writes, what locks are linked to, what is to be moved."""
WAIT_SECONDS = 30.0
"""How long another process of ours, or git, is waited for."""


class Disk:
    """A repository on this machine; a context manager."""

    def __init__(self, path: str, *, writing: bool) -> None:
        self.location = path
        self._writing = writing
        self._stack = ExitStack()

    def __enter__(self) -> Disk:
        try:
            self._repo = self._stack.enter_context(Repo(self.location))
        except NotGitRepository as error:
            raise errors.NotFound(f"`{self.location}` is no git repository that can be read.") from error
        refs = self._repo.refs
        if not isinstance(refs, DiskRefsContainer) or self._repo.object_format.name != "sha1":
            self._stack.close()
            raise errors.SettingsError(
                f"`{self.location}` keeps its branches or objects in a format that is not written here.",
                remedy="Release to its URL, or use a repository with SHA-1 objects and files for branches.",
            )
        self._refs = refs
        self._own = Path(self._repo.commondir())
        if self._writing:
            self._stack.enter_context(self._alone())
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    def see(self, branches: Sequence[str], depth: int | None) -> Sight:
        """See `Repository.see`; all history is here."""
        default = self._checked_out()
        heads = {}
        for name in branches:
            found = self._read(name or default)
            if found is not None:
                heads[name or default] = found
        return Sight(self._repo.object_store, heads, default, frozenset(self._repo.get_shallow()))

    def advance(
        self, branch: str, old: ObjectID | None, new: ObjectID, objects: Sequence[ShaFile], path: str
    ) -> None:
        """See `Repository.advance`; a working tree that shows the branch gets the file first.

        Raises:
            Conflict: somebody changed the file in the working tree and has not committed it.
            Failure: git keeps a lock, or nothing may be written.
        """
        try:
            for item in objects:
                self._store(item)
            if self._repo.has_index() and branch == self._checked_out():
                self._show(old, objects, path)
            self._move(branch, old, new)
        except OSError as error:
            raise errors.Failure(
                f"Repository `{self.location}` cannot be written: {error.strerror or error}.",
                remedy="Let this user write there.",
            ) from error

    def _checked_out(self) -> str:
        target = self._refs.read_ref(Ref(b"HEAD")) or b""
        if not target.startswith(b"ref: " + _HEADS):
            raise errors.Conflict(
                f"`{self.location}` has no branch checked out.", remedy="`git switch main` checks one out."
            )
        return target.removeprefix(b"ref: " + _HEADS).strip().decode()

    def _read(self, branch: str) -> ObjectID | None:
        """Where a branch is now."""
        name = Ref(_HEADS + branch.encode())
        loose = self._refs.read_loose_ref(name)
        found = loose if loose is not None else self._refs.get_packed_refs().get(name)
        return None if found is None else ObjectID(found.strip())

    def _move(self, branch: str, old: ObjectID | None, new: ObjectID) -> None:
        name = Ref(_HEADS + branch.encode())
        file = Path(os.fsdecode(self._refs.refpath(name)))
        if old is None:
            self._require_free(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._locked(file):
            if self._read(branch) != old:
                raise Moved
            self._put(file, new + b"\n")

    def _require_free(self, name: Ref) -> None:
        """Raise Conflict when another branch keeps one of this name from being made."""
        for other in self._refs.allkeys():
            if other.startswith(name + b"/") or name.startswith(other + b"/"):
                raise errors.Conflict(
                    f"Branch `{name.removeprefix(_HEADS).decode()}` cannot be made beside branch"
                    f" `{other.removeprefix(_HEADS).decode()}`.",
                    remedy="Rename that one.",
                )

    def _show(self, old: ObjectID | None, objects: Sequence[ShaFile], path: str) -> None:
        """Put the file into the working tree and the index, unless that would undo somebody's work."""
        root, data = Path(self._repo.path), _data(objects, path)
        before = self._committed(old, path)
        held = folders.read(root, path)
        if held not in (before, data):
            raise _uncommitted(root, path)
        place = Path(self._repo.index_path())
        with self._locked(place):
            index = self._repo.open_index()
            name = path.encode()
            staged = index[name] if name in index else None  # noqa: SIM401 - an index has no `get`
            if isinstance(staged, ConflictedIndexEntry):
                raise _uncommitted(root, path)
            content = (
                None if staged is None else self._repo.object_store[ObjectID(staged.sha)].as_raw_string()
            )
            if content not in (before, data):
                raise _uncommitted(root, path)
            found = folders.write(root, path, data)
            index[name] = index_entry_from_stat(found, Blob.from_string(data).id)
            self._put_index(place, index)

    def _committed(self, head: ObjectID | None, path: str) -> bytes | None:
        if head is None:
            return None
        commit = self._repo.object_store[head]
        assert isinstance(commit, Commit)  # noqa: S101 - the branch was there
        return trees.read(self._repo.object_store, commit.tree, path)

    def _put_index(self, place: Path, index: Index) -> None:
        """Replace the index; without the extensions, which are caches of what it was."""
        draft = self._own / f"{_NEW}.index"
        draft.with_name(f"{draft.name}.lock").unlink(missing_ok=True)
        fresh = Index(draft, read=False)
        for name, item in index.items():
            fresh[name] = item
        fresh.write()
        draft.replace(place)

    def _put(self, file: Path, data: bytes) -> None:
        draft = self._own / _NEW
        storage.write_file(draft, data)
        draft.replace(file)
        storage.sync_folder(file.parent)

    def _store(self, item: ShaFile) -> None:
        """Write one object, as git does: under a name that `git gc` knows, then under its own."""
        name = item.id.decode()
        folder = self._own / "objects" / name[:2]
        folder.mkdir(exist_ok=True)
        if (folder / name[2:]).exists():
            return
        handle, draft = tempfile.mkstemp(prefix="tmp_obj_", dir=folder)
        with os.fdopen(handle, "wb") as stream:
            stream.write(item.as_legacy_object())
            stream.flush()
            os.fsync(stream.fileno())
            os.fchmod(stream.fileno(), 0o444)
        Path(draft).replace(folder / name[2:])
        storage.sync_folder(folder)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process of ours writes here; the kernel frees the lock of one that died."""
        try:
            handle = os.open(self._own / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise errors.Failure(
                f"Repository `{self.location}` cannot be written: {error.strerror}.",
                remedy="Let this user write there.",
            ) from error
        try:
            deadline = time.monotonic() + WAIT_SECONDS
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > deadline:
                        raise errors.Failure(
                            f"Another process has been writing to `{self.location}` for {WAIT_SECONDS:g} s.",
                            remedy="Try again when it is done.",
                        ) from error
                    time.sleep(0.02)
            self._sweep()
            yield
        finally:
            os.close(handle)

    def _sweep(self) -> None:
        """Remove the locks that a process of ours left when it was killed: we are alone."""
        for token in self._own.glob(f"{_TOKEN}.*"):
            lock = Path(os.fsdecode(token.read_bytes()))
            if lock.suffix == ".lock" and lock.exists() and lock.samefile(token):
                lock.unlink()
            token.unlink()

    @contextmanager
    def _locked(self, file: Path) -> Iterator[None]:
        """Git does not change `file` meanwhile."""
        token = self._own / f"{_TOKEN}.{hashlib.sha256(os.fsencode(file)).hexdigest()[:16]}"
        lock = file.with_name(f"{file.name}.lock")
        token.write_bytes(os.fsencode(lock))
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                lock.hardlink_to(token)
                break
            except FileExistsError as error:
                if time.monotonic() > deadline:
                    raise errors.Failure(
                        f"`{lock}` has been there for {WAIT_SECONDS:g} s: git works there, or died there.",
                        remedy="Try again; if no git process runs, remove the file.",
                    ) from error
                time.sleep(0.02)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
            token.unlink(missing_ok=True)


def _data(objects: Sequence[ShaFile], path: str) -> bytes:
    """Content of the one file among new objects."""
    for item in objects:
        if item.type_name == b"blob":
            return item.as_raw_string()
    raise ValueError(f"{path} is not among the new objects")


def _uncommitted(root: Path, path: str) -> errors.Conflict:
    return errors.Conflict(
        f"`{path}` in `{root}` has changes that nobody committed.",
        remedy="Commit them, or undo them: `git restore --staged --worktree FILE`.",
    )
