"""Personal data that ingest met and pilot.yaml says nothing of, as findings that warn.

Ingest counted it; no value is looked at here, and none is told.
"""

from __future__ import annotations

from pilotage.components.personal import guards
from pilotage.core.artifacts import Finding, FindingKind, Severity, Snapshot


def find(snapshot: Snapshot) -> tuple[Finding, ...]:
    """One finding for each column and kind without a rule."""
    return tuple(
        Finding(
            kind=FindingKind.PERSONAL_DATA,
            column=item.column,
            message=f"{guards.sentence(item)} Say what is done about it under `data.personal`.",
            value=item.share,
            severity=Severity.WARNING,
        )
        for item in snapshot.personal
        if item.policy is None
    )
