"""What people decided, and who did what."""

from __future__ import annotations

from sqlalchemy import DDL, JSON, Column, Index, Integer, String, Table, event
from sqlalchemy.schema import ExecutableDDLElement

from pilotage.pipelines.tables.bases import Instant, metadata

approvals = Table(
    "approvals",
    metadata,
    Column("pilot", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("run", String(64)),
    Column("asked_at", Instant, nullable=False),
    Column("decided_at", Instant),
    Column("who", String),
    Column("why", String),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),  # 1, 2, 3 … without a gap
    Column("at", Instant, nullable=False),
    Column("who", String, nullable=False),
    Column("action", String(32), nullable=False),
    Column("pilot", String(63)),  # null where it is about the installation
    Column("version", Integer),
    Column("why", String, nullable=False),
    Column("details", JSON, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Index("audit_by_pilot", "pilot", "at"),
    Index("audit_by_time", "at"),
    Index("audit_by_action", "action", "id"),
)

REFUSED = "the audit is append-only: its lines are never changed and never deleted"
"""What the database answers to a statement that would."""
_REFUSE = f"BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END"
APPEND_ONLY = {
    "sqlite": (
        f"CREATE TRIGGER audit_is_not_updated BEFORE UPDATE ON audit {_REFUSE}",
        f"CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit {_REFUSE}",
        # INSERT OR REPLACE deletes without asking the trigger above
        "CREATE TRIGGER audit_is_not_replaced BEFORE INSERT ON audit"  # noqa: S608 - all of it is ours
        f" WHEN NEW.id IN (SELECT id FROM audit) {_REFUSE}",
    ),
    "postgresql": (
        "CREATE FUNCTION refuse_changes_of_audit() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{REFUSED}'; END $$",
        "CREATE TRIGGER audit_is_not_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON audit"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_changes_of_audit()",
    ),
}
"""What makes the table append-only, by dialect; migrations say the same."""
for _dialect, _statements in APPEND_ONLY.items():
    for _statement in _statements:
        _made: ExecutableDDLElement = DDL(_statement)  # type: ignore[no-untyped-call]
        event.listen(audit, "after_create", _made.execute_if(dialect=_dialect))
