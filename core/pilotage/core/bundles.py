"""A pilot's folder as one file in the storage, so that its steps run on machines that do not have it.

A bundle is named by the digest of its content and made so that the same files
give the same bytes: packing again uploads nothing. Whoever unpacks one trusts
no byte of it: the digest is checked, and nothing lands outside its folder. What
the files mean is not known here; data belongs into the storage, not into bundles.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pilotage.core import errors
from pilotage.core.storage import Storage

MOST_BYTES = 128 << 20
MOST_FILES = 10_000
REVISION = ".pilotage-revision"
"""File of a bundle: the revision of the folder that it was packed from, which has no history there."""

_PREFIX = "bundle:"
_LEFT_OUT = frozenset(
    {
        ".pilotage",
        ".git",
        ".hg",
        ".svn",
        ".venv",
        "venv",
        "node_modules",
        "__pycache__",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".ipynb_checkpoints",
        ".DS_Store",
        ".env",  # secrets, by custom
        ".envrc",
        REVISION,
    }
)
_SHOWN = 3


def is_reference(folder: str) -> bool:
    """Whether `folder` names a bundle rather than a folder of this machine."""
    return folder.startswith(_PREFIX)


def upload(storage: Storage, folder: Path, *, revision: str = "", without: Path | None = None) -> str:
    """Store `folder` as a bundle unless the storage has it; returns the reference.

    Args:
        storage: where steps find it.
        folder: the pilot's.
        revision: what version control says the folder is.
        without: a folder below it that stays out, such as the installation's home.

    Raises:
        InputError: it is too large, or holds a link that leads out of it.
    """
    data = pack(folder, revision=revision, without=without)
    digest = hashlib.sha256(data).hexdigest()
    if not storage.exists(_name(digest)):
        storage.write(_name(digest), data)
    return f"{_PREFIX}{digest}"


def fetch(storage: Storage, reference: str, cache: Path) -> Path:
    """A local folder with the content of a bundle; unpacked into `cache` once.

    Raises:
        NotFound: the storage does not have it.
        DataError: it is not what its digest says, or holds what a bundle may not hold.
    """
    digest = reference.removeprefix(_PREFIX)
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise errors.DataError(f"`{reference}` is no reference to a bundle.", remedy="Submit the run again.")
    target = cache / digest
    if target.is_dir():
        return target
    data = storage.read(_name(digest))
    if hashlib.sha256(data).hexdigest() != digest:
        raise errors.DataError(
            f"`{storage.location(_name(digest))}` is not what its name says: it was changed or cut off.",
            remedy="Delete it and submit the run again, which uploads it anew.",
        )
    partial = target.with_name(f".{digest}.{uuid.uuid4().hex}")
    partial.mkdir(parents=True)
    try:
        _unpack(data, partial)
        partial.rename(target)
    except tarfile.TarError as error:
        raise errors.DataError(
            f"Bundle {digest} cannot be read: {error}.", remedy="Submit it again."
        ) from error
    except OSError:
        if not target.is_dir():  # another step was faster
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def pack(folder: Path, *, revision: str = "", without: Path | None = None) -> bytes:
    """The bytes of a bundle: the same for the same names, contents and revision.

    Raises:
        InputError: see `upload`.
    """
    root = folder.resolve()
    files = sorted(_files(root, without.resolve() if without else None))
    _require_bounded(folder, root, files)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in files:
            path = root / name
            _add(archive, name, path.read_bytes(), executable=os.access(path, os.X_OK))
        if revision:
            _add(archive, REVISION, f"{revision}\n".encode())
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes, *, executable: bool = False) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o755 if executable else 0o644
    archive.addfile(entry, io.BytesIO(data))


def _files(root: Path, without: Path | None) -> Iterator[str]:
    for parent, folders, files in os.walk(root):
        place = Path(parent)
        folders[:] = [name for name in folders if name not in _LEFT_OUT and place / name != without]
        for name in [*folders, *files]:
            path = place / name
            if path.is_symlink():
                _require_inside(root, path)
                if path.is_dir():  # what it leads to is packed where it is
                    raise errors.InputError(
                        f"`{path}` is a link to a folder, which bundles do not hold.",
                        remedy="Put the folder itself there.",
                    )
        for name in files:
            if name not in _LEFT_OUT and not name.endswith(".pyc") and (place / name).is_file():
                yield (place / name).relative_to(root).as_posix()


def _require_inside(root: Path, path: Path) -> None:
    if not path.resolve().is_relative_to(root) or not path.exists():
        raise errors.InputError(
            f"`{path}` is a link that leads out of the pilot's folder, to `{path.readlink()}`.",
            remedy="Put the file itself there; data belongs into the storage (`data.source: s3://…`).",
        )


def _require_bounded(folder: Path, root: Path, files: list[str]) -> None:
    sizes = {name: (root / name).stat().st_size for name in files}
    if len(files) <= MOST_FILES and sum(sizes.values()) <= MOST_BYTES:
        return
    largest = sorted(sizes, key=lambda name: -sizes[name])[:_SHOWN]
    shown = ", ".join(f"{name} ({sizes[name] >> 20} MB)" for name in largest)
    raise errors.InputError(
        f"`{folder}` has {len(files)} files of {sum(sizes.values()) >> 20} MB together; a cluster takes"
        f" {MOST_FILES} of {MOST_BYTES >> 20} MB. The largest are {shown}.",
        remedy="Move data into the storage and name it in `data.source` (s3://…, gs://…, az://…).",
        files=len(files),
        bytes=sum(sizes.values()),
    )


def _unpack(data: bytes, target: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        entries = archive.getmembers()
        if len(entries) > MOST_FILES + 1 or sum(entry.size for entry in entries) > MOST_BYTES:
            raise errors.DataError("The bundle holds more than a bundle may hold.", remedy="Submit it again.")
        for entry in entries:
            path = PurePosixPath(entry.name)
            if not entry.isreg() or path.is_absolute() or ".." in path.parts or not path.parts:
                raise errors.DataError(
                    f"The bundle holds `{entry.name}`, which is no file below its folder.",
                    remedy="Whoever wrote it did not use Pilotage; look for who may write to the storage.",
                )
            file = target.joinpath(*path.parts)
            file.parent.mkdir(parents=True, exist_ok=True)
            content = archive.extractfile(entry)
            file.write_bytes(content.read() if content else b"")
            file.chmod(0o755 if entry.mode & 0o100 else 0o644)


def _name(digest: str) -> str:
    return f"bundles/{digest}.tar"
