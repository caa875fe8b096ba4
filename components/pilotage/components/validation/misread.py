"""Columns of texts that look like numbers or dates, as findings that warn.

Ingest counted them (`ingestion.notations`); no value is looked at here.
"""

from __future__ import annotations

from pilotage.components.ingestion import notations
from pilotage.core.artifacts import Finding, FindingKind, Severity, Snapshot


def find(snapshot: Snapshot) -> tuple[Finding, ...]:
    """One finding for each such column."""
    return tuple(
        Finding(
            kind=FindingKind.NOTATION,
            column=notice.column,
            message=f"{notations.sentence(notice)} {notations.remedy(notice.notation)}",
            value=notice.rows / notice.present,
            severity=Severity.WARNING,
        )
        for notice in snapshot.notices
    )
