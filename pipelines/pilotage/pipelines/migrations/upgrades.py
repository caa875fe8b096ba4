"""Applies migrations within the caller's transaction; the only module that runs Alembic's scripts.

Transactions, locks and the decision that something is to be migrated are the caller's.
"""

from __future__ import annotations

from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from pilotage.pipelines.migrations import HISTORY, History


def upgrade(connection: Connection, history: History = HISTORY, to: str = "head") -> None:
    """Apply every migration that the database lacks, until `to`, and note the last one in it."""
    scripts = ScriptDirectory(str(history.folder.parent), version_locations=[str(history.folder)])

    def steps(revision: Any, _: Any) -> Any:
        return scripts._upgrade_revs(to, revision)

    with EnvironmentContext(Config(), scripts, fn=steps) as environment:
        environment.configure(
            connection=connection,
            transactional_ddl=True,  # SQLite's too, begun as `tables` begins it
            render_as_batch=True,
        )
        environment.run_migrations()
