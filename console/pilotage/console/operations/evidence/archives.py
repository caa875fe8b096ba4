"""Archives that prove what is in them: a zip with a manifest of digests, the same bytes for the same files.

What the files say is not known here. A signature over the manifest is made where there is a key, so that with
the public key alone anybody can tell who vouches for all of it.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pilotage.core import errors, signatures
from pilotage.core.settings import Settings

MANIFEST, SIGNATURE = "manifest.json", "manifest.json.sig"
_THEN = (1980, 1, 1, 0, 0, 0)
"""The time of every file: an archive says nothing of when it was made."""
_MOST_BYTES = 1 << 30
"""Of a file that is looked at; a larger one is refused rather than unpacked."""


@dataclass(frozen=True)
class Found:
    """What came of looking at an archive."""

    manifest: dict[str, Any]
    files: int
    signed: bool | None
    """Whether the signature is right; None where there is none, or no key to check it with."""
    problems: tuple[str, ...]
    contents: dict[str, bytes]
    """The files that are in order."""


def write(target: IO[bytes], files: Mapping[str, bytes], facts: Mapping[str, Any], settings: Settings) -> str:
    """Write an archive; returns the digest of its manifest.

    Args:
        target: what it is written to.
        files: contents by name.
        facts: what the manifest says besides.
        settings: name the key, if any.
    """
    listed = {
        name: {"sha256": digest(content), "bytes": len(content)} for name, content in sorted(files.items())
    }
    manifest = (json.dumps({**facts, "files": listed}, indent=2, ensure_ascii=False) + "\n").encode()
    parts = {MANIFEST: manifest, **files}
    if settings.signing_key_file is not None:
        parts[SIGNATURE] = signatures.sign_bytes(manifest, settings.signing_key_file)
    with zipfile.ZipFile(target, "w") as archive:
        for name in sorted(parts, key=lambda name: (name not in (MANIFEST, SIGNATURE), name)):
            entry = zipfile.ZipInfo(name, _THEN)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, parts[name], compresslevel=6)
    return digest(manifest)


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def look(file: Path, settings: Settings) -> Found:
    """Check every digest of an archive, that nothing is missing or besides, and its signature.

    Raises:
        NotFound: there is no such file.
        DataError: it is no archive of this kind.
    """
    if not file.is_file():
        raise errors.NotFound(f"There is no `{file}`.", remedy="Name a file that `pilotage export` wrote.")
    try:
        with zipfile.ZipFile(file) as archive:
            return _look(archive, settings)
    except (zipfile.BadZipFile, zlib.error, KeyError, OSError, ValueError, RecursionError) as error:
        raise errors.DataError(
            f"`{file}` is no export of Pilotage: {str(error) or type(error).__name__}.",
            remedy="Name a file that `pilotage export` wrote.",
        ) from error


def _look(archive: zipfile.ZipFile, settings: Settings) -> Found:
    raw = _read(archive, MANIFEST)
    manifest = json.loads(raw)
    listed = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(listed, dict) or not all(isinstance(due, dict) for due in listed.values()):
        raise ValueError("its manifest lists no files")
    names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    problems = [
        f"`{name}` is there twice." for name in sorted({name for name in names if names.count(name) > 1})
    ]
    problems += [f"`{name}` is missing." for name in listed if name not in names]
    unlisted = set(names) - set(listed) - {MANIFEST, SIGNATURE}
    problems += [f"`{name}` is not in the manifest." for name in sorted(unlisted)]
    contents = {}
    for name, due in listed.items():
        if name not in names:
            continue
        try:
            content = _read(archive, name)
        except (zipfile.BadZipFile, zlib.error) as error:
            problems.append(f"`{name}` cannot be read: {error}.")
            continue
        if digest(content) == due.get("sha256"):
            contents[name] = content
        else:
            problems.append(f"`{name}` was changed: its digest is not the manifest's.")
    signed = _signed(archive, raw, SIGNATURE in names, settings, problems)
    return Found(manifest, len(listed), signed, tuple(problems), contents)


def _signed(
    archive: zipfile.ZipFile, manifest: bytes, there: bool, settings: Settings, problems: list[str]
) -> bool | None:
    if settings.verify_key_file is None:
        return None
    if not there:
        problems.append("It is not signed, and PILOTAGE_VERIFY_KEY_FILE is set.")
        return False
    good = signatures.is_signed(manifest, _read(archive, SIGNATURE), settings.verify_key_file)
    if not good:
        problems.append("The signature of the manifest is wrong, or another key made it.")
    return good


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _MOST_BYTES:
        raise ValueError(f"`{name}` is larger than {_MOST_BYTES >> 20} MiB")
    return archive.read(name)
