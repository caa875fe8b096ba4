"""Versions and aliases as the registry's readers see them, read from its SQL store without MLflow.

MLflow's own client is correct but slow to import; these queries touch four of
its tables, and an integration test holds them against the client's answers.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from pilotage.core import errors

if TYPE_CHECKING:
    from sqlalchemy import Engine

DECISION_TAG = "pilotage.decision"
"""Of a version: what was decided of it, a `Decision`."""
REASON_TAG = "pilotage.reason"
"""Of a version: why."""
HELD_TAG = "pilotage.held"
"""Of a version: why a person is asked about it, also where pilot.yaml asks none."""


class Alias(StrEnum):
    """The roles that a version of a pilot can have."""

    CHALLENGER = "challenger"
    CHAMPION = "champion"
    PREVIOUS = "previous"


@dataclass(frozen=True)
class Registered:
    """A version in the registry."""

    name: str
    version: int
    run: str
    """MLflow's id of the run that made it."""
    location: str
    """URI or path of the model folder."""
    created_at: datetime
    tags: dict[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()


class Reader(Protocol):
    """What reading versions takes, whichever store they are in."""

    def aliases(self, name: str) -> dict[str, int]:
        """Versions of model `name` by alias."""
        ...

    def versions(self, name: str) -> list[Registered]:
        """Versions of model `name`, newest first."""
        ...

    def version(self, name: str, version: int) -> Registered | None:
        """One version, without reading the others; None where there is none."""
        ...

    def aliased(self) -> list[Registered]:
        """The versions of all models that have an alias, by name and version."""
        ...

    def tagged(self, key: str, value: str) -> list[tuple[str, int]]:
        """Name and number of the versions whose tag `key` is `value`, sorted."""
        ...

    def names(self) -> list[str]:
        """Names of all registered models, sorted."""
        ...

    def run_location(self, run: str) -> str | None:
        """URI of the artifacts of run `run`, or None when there is no such run."""
        ...


class SqlReader:
    """Reads MLflow's SQL store directly."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine: Engine | None = None

    def aliases(self, name: str) -> dict[str, int]:
        rows = self._query(
            "SELECT alias, version FROM registered_model_aliases WHERE name = :name", name=name
        )
        return {row.alias: int(row.version) for row in rows}

    def versions(self, name: str) -> list[Registered]:
        return self._read(name, "WHERE name = :name")

    def version(self, name: str, version: int) -> Registered | None:
        found = self._read(name, "WHERE name = :name AND version = :version", version=version)
        return found[0] if found else None

    def _read(self, name: str, where: str, **values: int) -> list[Registered]:
        """Versions of one model; `where` is one of ours."""
        aliases = [(name, alias, version) for alias, version in self.aliases(name).items()]
        tags = self._query(
            f"SELECT name, version, key, value FROM model_version_tags {where}",  # noqa: S608 - all of it is ours
            name=name,
            **values,
        )
        rows = self._query(
            "SELECT name, version, run_id, source, storage_location, creation_time FROM model_versions"  # noqa: S608
            f" {where} AND current_stage <> 'Deleted_Internal' ORDER BY version DESC",
            name=name,
            **values,
        )
        return _registered(rows, tags, aliases)

    def aliased(self) -> list[Registered]:
        having = " FROM {} AS item JOIN (SELECT DISTINCT name, version FROM registered_model_aliases) AS held"
        having += " ON held.name = item.name AND held.version = item.version"
        tags = self._query("SELECT item.name, item.version, key, value" + having.format("model_version_tags"))
        rows = self._query(
            "SELECT item.name, item.version, run_id, source, storage_location, creation_time"
            + having.format("model_versions")
            + " WHERE current_stage <> 'Deleted_Internal' ORDER BY item.name, item.version"
        )
        aliases = self._query("SELECT name, alias, version FROM registered_model_aliases")
        return _registered(rows, tags, [(row.name, row.alias, int(row.version)) for row in aliases])

    def tagged(self, key: str, value: str) -> list[tuple[str, int]]:
        rows = self._query(
            "SELECT item.name, item.version FROM model_version_tags AS tag JOIN model_versions AS item"
            " ON item.name = tag.name AND item.version = tag.version"
            " WHERE tag.key = :key AND tag.value = :value AND item.current_stage <> 'Deleted_Internal'",
            key=key,
            value=value,
        )
        return sorted((row.name, int(row.version)) for row in rows)

    def names(self) -> list[str]:
        return sorted(row.name for row in self._query("SELECT name FROM registered_models"))

    def run_location(self, run: str) -> str | None:
        rows = self._query("SELECT artifact_uri FROM runs WHERE run_uuid = :run", run=run)
        return str(rows[0].artifact_uri) if rows else None

    def _query(self, statement: str, **values: Any) -> list[Any]:
        file = sqlite_file(self._url)
        if file is None:
            return self._ask_server(statement, values)
        return _ask_file(file, statement, values) if file.exists() else []

    def _ask_server(self, statement: str, values: dict[str, Any]) -> list[Any]:
        try:
            from sqlalchemy import create_engine, text
            from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, ProgrammingError
            from sqlalchemy.pool import NullPool
        except ModuleNotFoundError as error:
            raise errors.MissingExtra(
                "The model registry is a database, and `sqlalchemy`, which reads it, is not installed.",
                remedy='`pip install "pilotage[postgresql]"`, or name an MLflow server.',
            ) from error

        if self._engine is None:
            try:
                self._engine = create_engine(self._url, poolclass=NullPool)
            except (ArgumentError, ImportError) as error:
                raise errors.SettingsError(
                    f"The model registry cannot be opened: {error}.",
                    remedy="Set MLFLOW_TRACKING_URI to a server's or database's URL, or unset it.",
                ) from error
        try:
            with self._engine.connect() as connection:
                return list(connection.execute(text(statement), values))
        except (OperationalError, ProgrammingError) as error:
            if _is_young(error):
                return []
            raise _unavailable(error.orig) from error
        except DBAPIError as error:
            raise _unavailable(error.orig) from error


def _registered(rows: list[Any], tags: list[Any], aliases: list[tuple[str, str, int]]) -> list[Registered]:
    """What rows of `model_versions` are, with what belongs to them."""
    tagged: dict[tuple[str, int], dict[str, str]] = {}
    for tag in tags:
        tagged.setdefault((tag.name, int(tag.version)), {})[tag.key] = tag.value
    called: dict[tuple[str, int], list[str]] = {}
    for name, alias, version in aliases:
        called.setdefault((name, version), []).append(alias)
    return [
        Registered(
            name=row.name,
            version=int(row.version),
            run=row.run_id or "",
            location=row.storage_location or row.source,
            created_at=datetime.fromtimestamp(row.creation_time / 1000, tz=UTC),
            tags=tagged.get((row.name, int(row.version)), {}),
            aliases=tuple(sorted(called.get((row.name, int(row.version)), ()))),
        )
        for row in rows
    ]


def _ask_file(file: Path, statement: str, values: dict[str, Any]) -> list[Any]:
    """Rows of an SQLite file, without SQLAlchemy: importing it takes longer than loading a model."""
    try:
        with closing(sqlite3.connect(file)) as connection:
            cursor = connection.execute(statement, values)
            names = [column[0] for column in cursor.description]
            return [SimpleNamespace(**dict(zip(names, row, strict=True))) for row in cursor]
    except sqlite3.Error as error:
        if _is_young(error):
            return []
        raise _unavailable(error) from error


def _is_young(error: Exception) -> bool:
    """Whether the store is still being created, by another process."""
    return "no such table" in str(error) or "does not exist" in str(error)


def _unavailable(cause: object) -> errors.Unavailable:
    return errors.Unavailable(f"The model registry did not answer: {cause}.", remedy="Try again.")


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite `url`, or None when it is another database."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def local_path(uri: str) -> Path | None:
    """The local path that `uri` is or names, or None when it is elsewhere."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(uri) if parts.scheme == "" else None
