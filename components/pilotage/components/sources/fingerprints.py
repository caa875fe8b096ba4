"""What tells cheaply whether a source has changed, so that ingest can be skipped.

A fingerprint is a cache key and no digest of the data; a source that cannot
tell has none and is read every time.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pilotage.components.sources import functions, listings
from pilotage.core import errors, storage
from pilotage.core.specs import FeatureKind, PilotSpec, PythonSource, SqlSource

_REMOTE_FACTS = ("size", "ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "md5Hash")


def fingerprint(spec: PilotSpec, folder: Path) -> str | None:
    """A digest that changes when the pilot's source would give other rows; None when it cannot tell.

    Local files count with name and content, remote ones with name, size and what the store
    says of their change; SQL and Python sources with their declared fingerprint, arguments and code.

    Raises:
        SourceError: no file matches, or the declared fingerprint cannot be computed.
        Unavailable: the store or the database does not answer.
    """
    if FeatureKind.IMAGE in (spec.data.features or {}).values():
        return None  # whose files may change while the table that names them stays
    source = spec.data.source
    if isinstance(source, str):
        told: list[Any] | None = _files(source, folder)
    elif isinstance(source, PythonSource):
        told = _python(source, folder)
    else:
        told = _sql(source, folder)
    if told is None:
        return None
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _files(source: str, folder: Path) -> list[Any] | None:
    listing = listings.list_files(source, folder)
    told: list[Any] = ["files"]
    for path in listing.paths:
        if listing.local:
            try:
                told.append([path, storage.file_digest(Path(path))])
            except OSError as error:
                raise errors.SourceError(
                    f"`{path}` cannot be read: {error}.", remedy="Check the file and its permissions."
                ) from error
            continue
        facts = {key: value for key, value in listing.files.info(path).items() if key in _REMOTE_FACTS}
        if set(facts) <= {"size"}:
            return None
        told.append([path, facts])
    return told


def _python(source: PythonSource, folder: Path) -> list[Any] | None:
    if source.fingerprint is None:
        return None
    files = {functions.module_file(target, folder) for target in (source.python, source.fingerprint)}
    code = sorted(storage.file_digest(file) for file in files if file is not None)
    value = functions.call(source.fingerprint, folder, source.args)
    return ["python", source.python, source.args, code, str(value)]


def _sql(source: SqlSource, folder: Path) -> list[Any] | None:
    if source.fingerprint is None:
        return None
    from pilotage.components.sources import databases

    rows = databases.first_rows(source, source.fingerprint, folder)
    return ["sql", source.url, source.sql, source.fingerprint, rows]
