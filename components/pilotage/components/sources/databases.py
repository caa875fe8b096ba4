"""SQL sources through SQLAlchemy: one query, read with a server-side cursor in chunks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc

from pilotage.core import errors
from pilotage.core.specs import SqlSource

if TYPE_CHECKING:
    from pilotage.components.sources.batches import Batch, Opened

_CHUNK_CELLS = 1 << 19
_ORIGIN = "the query's result"
_MOST_FINGERPRINT_ROWS = 1_000


def open_query(source: SqlSource, folder: Path) -> Opened:
    """Begin to read what the query gives.

    Raises:
        SourceError: URL, driver or query are wrong; the latter when batches are taken.
        Unavailable: the database does not answer.
    """
    from pilotage.components.sources.batches import Opened, Texts

    url = _url(source, folder)
    return Opened(
        description=f"SQL from {url.render_as_string(hide_password=True)}",
        texts=Texts.TIMES,
        open_ended=True,
        batches=_batches(source, url, folder),
    )


def first_rows(source: SqlSource, query: str, folder: Path) -> list[list[str]]:
    """The first rows of another `query` on the same database, as text."""
    with _result(_url(source, folder), query) as result:
        return [[str(value) for value in row] for row in result.fetchmany(_MOST_FINGERPRINT_ROWS)]


def _batches(source: SqlSource, url: sa.URL, folder: Path) -> Iterator[Batch]:
    from pilotage.components.sources import values
    from pilotage.components.sources.batches import ROWS, Batch

    first = 1
    with _result(url, source.sql) as result:
        names = [str(name) for name in tuple(result.keys())]
        for name in names:
            if names.count(name) > 1:
                raise errors.DataError(
                    f"The query gives two columns named `{name}`.",
                    remedy="Rename one with `AS` in `data.source.sql`.",
                    column=name,
                )
        for rows in result.partitions(min(ROWS, max(1, _CHUNK_CELLS // max(1, len(names))))):
            columns = dict(zip(names, (list(column) for column in zip(*rows, strict=True)), strict=True))
            yield Batch(values.to_batch(columns, _ORIGIN, first), _ORIGIN, first, folder)
            first += len(rows)


@contextmanager
def _result(url: sa.URL, query: str) -> Iterator[sa.CursorResult[Any]]:
    shown = url.render_as_string(hide_password=True)
    try:
        engine = sa.create_engine(url)
    except (exc.ArgumentError, ImportError) as error:
        raise errors.SourceError(
            f"The database `{shown}` cannot be opened: {error}.",
            remedy="Correct `data.source.url`, or install the driver that it names.",
        ) from error
    try:
        with _connection(engine, shown) as connection:
            yield _execute(connection, query)
    except exc.DBAPIError as error:
        raise _query_failed(error) from error
    finally:
        engine.dispose()


def _connection(engine: sa.Engine, shown: str) -> sa.Connection:
    try:
        return engine.connect().execution_options(stream_results=True)
    except exc.DBAPIError as error:
        kind = errors.SourceError if engine.dialect.name == "sqlite" else errors.Unavailable
        raise kind(
            f"The database `{shown}` does not answer: {error.orig}.",
            remedy="Check `data.source.url`, the network and the password.",
        ) from error


def _execute(connection: sa.Connection, query: str) -> sa.CursorResult[Any]:
    try:
        result = connection.exec_driver_sql(query)
    except exc.DBAPIError as error:
        raise _query_failed(error) from error
    if not result.returns_rows:
        raise errors.SourceError(
            f"The query `{query:.80}` gives no rows.", remedy="Make `data.source.sql` a SELECT."
        )
    return result


def _query_failed(error: exc.DBAPIError) -> errors.PilotageError:
    if error.connection_invalidated:
        return errors.Unavailable(f"The database closed the connection: {error.orig}.")
    return errors.SourceError(
        f"The query failed: {error.orig}.", remedy="Correct `data.source.sql` in pilot.yaml."
    )


def _url(source: SqlSource, folder: Path) -> sa.URL:
    text = source.url
    if text.startswith("env:"):
        name = text.removeprefix("env:")
        text = os.environ.get(name, "")
        if not text:
            raise errors.SourceError(
                f"`data.source.url` names the environment variable `{name}`, which is not set.",
                remedy=f"Set `{name}` to a SQLAlchemy URL such as postgresql://user:password@host/name.",
            )
    try:
        url = sa.make_url(text)
    except (exc.ArgumentError, ValueError) as error:
        raise errors.SourceError(
            "`data.source.url` is not a SQLAlchemy URL.",
            remedy="Write it as driver://user:password@host/name, or as env:NAME.",
        ) from error
    return _sqlite(url, folder) if url.get_backend_name() == "sqlite" else url


def _sqlite(url: sa.URL, folder: Path) -> sa.URL:
    """The URL with its file relative to the pilot's folder; a file that is missing is not created."""
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        return url
    file = folder.absolute() / url.database
    if not file.is_file():
        raise errors.SourceError(
            f"The SQLite database `{file}` does not exist.", remedy="Correct `data.source.url`."
        )
    return url.set(database=str(file))
