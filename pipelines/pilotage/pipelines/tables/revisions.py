"""Which migration a database has reached, and bringing it to the latest.

A new database is made from the definitions at once, an older one is migrated;
either happens in one transaction, so that a crash leaves what was there before.
A database that is up to date costs one query. The migrations are in `migrations`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    insert,
    inspect,
    select,
)
from sqlalchemy.exc import OperationalError, ProgrammingError

from pilotage.core import errors
from pilotage.pipelines.migrations import HISTORY, History
from pilotage.pipelines.tables.bases import metadata
from pilotage.pipelines.tables.transactions import lock, reading

logger = logging.getLogger(__name__)

_revisions = Table(
    "alembic_version",
    MetaData(),  # Alembic's own table, not one of ours
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def bring_up_to_date(engine: Engine, history: History = HISTORY) -> None:
    """Make the tables of a new database, migrate those of an older one; several processes may do so at once.

    Raises:
        SettingsError: the database was made by a newer version of Pilotage, or by one before its first
            release.
    """
    if glance(engine) != history.head:
        with changing(engine) as connection:
            _migrate(connection, history)


def require_current(engine: Engine, history: History = HISTORY) -> str:
    """Make sure that the database is of the latest revision, which is returned; it costs one query.

    Raises:
        Unavailable: it has no tables yet, or those of an older version.
        SettingsError: it was made by a newer version.
    """
    found = glance(engine)
    if found == history.head:
        return found
    place = engine.url.render_as_string(hide_password=True)
    if found is not None and found not in history.revisions:
        raise _too_new(place, found, history)
    state = "has no tables yet" if found is None else f"is of revision {found}"
    raise errors.Unavailable(
        f"The database {place} {state}; this version of Pilotage works with revision {history.head}.",
        remedy="`pilotage migrate` brings it up to date; in a cluster the migration Job does.",
        revision=found,
        known=history.head,
    )


@contextmanager
def changing(engine: Engine) -> Iterator[Connection]:
    """A transaction that may change tables, the only one at a time.

    Raises:
        SettingsError: at its end a row refers to nothing.
    """
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            # A migration may make a table anew, which must not delete the rows that refer to it. It can
            # only be said before the transaction begins; the connection is used for nothing else.
            connection.connection.cursor().execute("PRAGMA foreign_keys = OFF")
        with connection.begin():
            lock(connection, "pilotage-tables")
            yield connection
            require_whole(connection)


def revision_of(connection: Connection) -> str | None:
    """The number of the last migration that was applied; None in a database without any."""
    if not inspect(connection).has_table(_revisions.name):
        return None
    return connection.scalar(select(_revisions.c.version_num))


def glance(engine: Engine) -> str | None:
    """The revision as one query tells it; None also where there is no such table."""
    try:
        with reading(engine) as connection:
            return connection.scalar(select(_revisions.c.version_num))
    except ProgrammingError:
        return None
    except OperationalError:
        if engine.dialect.name != "sqlite":
            raise
        return None  # which says so of a table that is not there, too


def _migrate(connection: Connection, history: History) -> None:
    found = revision_of(connection)
    if found == history.head:
        return  # another process was faster
    place = connection.engine.url.render_as_string(hide_password=True)
    if found is None:
        _require_empty(connection, place)
        metadata.create_all(connection)
        _revisions.create(connection)
        connection.execute(insert(_revisions), {"version_num": history.head})
        return
    if found not in history.revisions:
        raise _too_new(place, found, history)
    from pilotage.pipelines.migrations import upgrades

    logger.info("migrating the database %s from revision %s to %s", place, found, history.head)
    upgrades.upgrade(connection, history)


def _too_new(place: str, found: str, history: History) -> errors.SettingsError:
    return errors.SettingsError(
        f"The database {place} is of revision {found}; this version of Pilotage knows none after"
        f" {history.head}.",
        remedy="Use the newer version that it was made or migrated by, or restore a backup of before.",
        revision=found,
        known=history.head,
    )


def _require_empty(connection: Connection, place: str) -> None:
    """Make sure that nothing of ours is in a database that does not say which revision it has."""
    held = sorted(set(inspect(connection).get_table_names()) & set(metadata.tables))
    if held:
        raise errors.SettingsError(
            f"The database {place} has the table `{held[0]}` but no revision: it was made by a version of"
            " Pilotage before its first release.",
            remedy="Move it away, and a new one is made.",
            tables=held,
        )


def require_whole(connection: Connection) -> None:
    """Make sure that no row refers to one that is not there, which SQLite only looks at when asked.

    Raises:
        SettingsError: one does.
    """
    if connection.dialect.name != "sqlite":
        return
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise errors.SettingsError(
            f"A row of `{broken[0]}` would refer to nothing in `{broken[2]}`.",
            remedy="Nothing was changed; please report it.",
        )
