"""The model card, and what nobody said for it yet."""

from __future__ import annotations

from pilotage.console.operations.evidence import dossiers
from pilotage.console.pages.sections.bases import Section, Subject


def show(subject: Subject) -> Section | None:
    """The card's gaps, and where it is."""
    if subject.version is None:
        return None
    card = dossiers.read_card(subject.desk, subject.actor, subject.pilot, subject.version.version)
    return Section(
        key="card",
        title="Model card",
        template="sections/card.html.j2",
        values={"card": card},
    )
