"""Personal data that ingest met, how long data is kept, and what was deleted for good."""

from __future__ import annotations

from pilotage.console.access.actors import Permission
from pilotage.console.operations import privacy, studies
from pilotage.console.pages.sections.bases import Section, Subject
from pilotage.core import errors
from pilotage.pipelines.studies import Kind

_SHOWN = 10


def show(subject: Subject) -> Section | None:
    """By column, and by deletion."""
    if subject.spec is None:
        return None
    found = privacy.get_privacy(subject.desk, subject.actor, subject.pilot)
    mark = None
    if subject.version is not None:
        mark = next((item.mark for item in found.marked if item.version == subject.version.version), None)
    return Section(
        key="personal",
        title="Personal data",
        template="sections/personal.html.j2",
        note=f"kept for {found.retention}" if found.retention else "kept for ever",
        values={
            "found": found,
            "mark": mark,
            "deletions": found.deletions[:_SHOWN],
            "may": subject.actor.may(Permission.ADMINISTER, subject.pilot),
        },
    )


def show_synthetic(subject: Subject) -> Section | None:
    """Synthetic rows that the version was trained on, and files of them."""
    if subject.spec is None:
        return None
    synthetic, version = None, subject.version
    if version is not None:
        try:
            registered = subject.desk.registry.version(subject.pilot, version.version)
            synthetic = subject.desk.registry.model(registered).synthetic
        except errors.NotFound:
            synthetic = None
    found = privacy.get_privacy(subject.desk, subject.actor, subject.pilot)
    newest = studies.latest(subject.desk, subject.actor, subject.pilot, Kind.SYNTHESIS)
    may = subject.actor.may(Permission.OPERATE, subject.pilot)
    if synthetic is None and not found.syntheses and newest is None and not may:
        return None
    return Section(
        key="synthetic",
        title="Synthetic rows",
        template="sections/synthetic.html.j2",
        note="" if synthetic is None else f"{synthetic.rows:,} seen by training",
        values={
            "synthetic": synthetic,
            "syntheses": found.syntheses[:_SHOWN],
            "newest": newest,
            "may": may,
        },
    )
