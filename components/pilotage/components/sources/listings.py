"""Which files a source names: globs of local paths or fsspec URLs, and the format of each.

Nothing is read here, so that fingerprints stay light.
"""

from __future__ import annotations

import glob
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pilotage.core import errors


class Format(StrEnum):
    PARQUET = "Parquet"
    CSV = "CSV"
    JSON_LINES = "JSON lines"


_KEY = "data.source"
_SUFFIXES = {
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".jsonl": Format.JSON_LINES,
    ".ndjson": Format.JSON_LINES,
}
_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz"}


@dataclass(frozen=True)
class Listing:
    """The files of a source in order of name."""

    files: Any
    """The fsspec file system that holds them."""
    paths: tuple[str, ...]
    format: Format
    local: bool


def list_files(source: str, folder: Path, key: str = _KEY) -> Listing:
    """The files that `source` names; a path without a scheme is relative to `folder`.

    Errors call it `key`: what the user wrote `source` for.

    Raises:
        SourceError: no file matches, the formats are unknown or differ, or there is no driver for the URL.
        Unavailable: the store that the URL names does not answer.
    """
    given = f"`{key}: {source}`"
    files, pattern = _open(source, folder, given)
    local = isinstance(files, LocalFileSystem)
    paths = _match(files, pattern, local, given)
    if not paths:
        raise errors.SourceError(
            f"No file matches {given}" + (f" (looked for `{pattern}`)." if pattern != source else "."),
            remedy="Correct the URL, and see that the store answers and holds the file."
            if not local
            else "Correct the path"
            + ("; it is relative to the folder of pilot.yaml." if key == _KEY else "."),
            source=source,
        )
    formats = {path: _format(path) for path in paths}
    if len(set(formats.values())) > 1:
        first = next(iter(formats))
        other = next(path for path in paths if formats[path] != formats[first])
        raise errors.SourceError(
            f"{given} matches files of several formats, such as `{first}` and `{other}`.",
            remedy="Name one format, for example `data/*.parquet`.",
        )
    return Listing(files=files, paths=paths, format=next(iter(formats.values())), local=local)


def compression(path: str) -> str | None:
    """The compression that the file's name tells, as fsspec calls it."""
    return _COMPRESSIONS.get(PurePosixPath(path).suffix.lower())


def _open(source: str, folder: Path, given: str) -> tuple[Any, str]:
    if "://" not in source:
        return LocalFileSystem(), str(folder.absolute() / Path(source).expanduser())
    try:
        files, pattern = fsspec.core.url_to_fs(source)
    except (ImportError, ValueError) as error:
        raise errors.SourceError(
            f"{given} cannot be opened: {error}.",
            remedy="Correct the URL, or install the fsspec driver that it needs (s3fs, gcsfs, adlfs).",
        ) from error
    return files, str(pattern)


def _match(files: Any, pattern: str, local: bool, given: str) -> tuple[str, ...]:
    try:
        if local:
            found = [pattern] if Path(pattern).exists() else glob.glob(pattern, recursive=True)
        else:
            found = [str(path) for path in files.glob(pattern)]
        if any(files.isdir(path) for path in found) and len(found) == 1:
            raise errors.SourceError(
                f"{given} is a folder.",
                remedy="Name the files in it, for example `data/*.parquet`.",
            )
        return tuple(sorted(path for path in found if not files.isdir(path)))
    except OSError as error:
        raise errors.Unavailable(
            f"The files of {given} cannot be listed: {error}.",
            remedy="Check the network and the credentials of the store.",
        ) from error


def _format(path: str) -> Format:
    name = PurePosixPath(path)
    if name.suffix.lower() in _COMPRESSIONS:
        name = name.with_suffix("")
    found = _SUFFIXES.get(name.suffix.lower())
    if found is None or (found is Format.PARQUET and compression(path)):
        raise errors.SourceError(
            f"`{path}` is of no known format.",
            remedy="Use .parquet, .csv, .tsv, .jsonl or .ndjson; text also with .gz, .bz2 or .xz.",
            path=path,
        )
    return found
