"""What can be taken away as proof."""

from __future__ import annotations

from pilotage.console.pages.sections.bases import Section, Subject


def show(subject: Subject) -> Section | None:
    """Where the compliance export of a version is."""
    if subject.version is None:
        return None
    signed = subject.desk.settings.signing_key_file is not None
    return Section(
        key="export",
        title="Compliance export",
        template="sections/export.html.j2",
        values={"signed": signed},
    )
