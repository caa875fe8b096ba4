"""How ready a pilot is, on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from pilotage.console.views import tables

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.console.operations.readiness import Entry, Note
    from pilotage.pipelines.readiness.scores import Readiness, SectionScore, Test

_SIGNS = {0.0: "[red]0  [/]", 0.5: "[yellow]0.5[/]", 1.0: "[green]1  [/]"}


def show(console: Console, found: Readiness) -> None:
    """Each test with its evidence or what would earn it, then the score."""
    for section in found.sections:
        _show_section(console, section)
    judged = "no version" if found.version is None else f"version {found.version}"
    weakest = " and ".join(found.weakest)
    console.print(
        f"[bold]{found.pilot}[/], {judged}: ML Test Score [bold]{found.score:g}[/] of 7, the least of its"
        f" sections ({weakest}): {found.band}.",
        soft_wrap=True,
    )


def _show_section(console: Console, section: SectionScore) -> None:
    console.print(f"[bold]{section.title}[/]: {section.score:g} of 7")
    for test in section.tests:
        _show_test(console, test)
    console.print()


def _show_test(console: Console, test: Test) -> None:
    console.print(f"  {_SIGNS.get(test.points, str(test.points))} [bold]{test.id}[/] {escape(test.title)}")
    for evidence in test.evidence:
        when = f" ({evidence.at:%Y-%m-%d %H:%M})" if evidence.at is not None else ""
        console.print(f"      {evidence.kind}{when}: {escape(evidence.text)}", soft_wrap=True)
    if test.missing:
        console.print(f"      missing: {escape(test.missing)}", soft_wrap=True)
    if test.next:
        lead = {"command": "run", "yaml": "add to pilot.yaml", "setting": "set"}[str(test.means)]
        lines = test.next.splitlines()
        if len(lines) == 1:
            console.print(f"      {lead}: [cyan]{escape(lines[0])}[/]", soft_wrap=True)
            return
        console.print(f"      {lead}:")
        for line in lines:
            console.print(f"        [cyan]{escape(line)}[/]", soft_wrap=True)


def show_notes(console: Console, found: Sequence[Note]) -> None:
    """What people vouched for."""
    if not found:
        console.print("Nobody has vouched for a test.")
        return
    table = tables.table("note", "test", "by", "at (UTC)", "until", "text")
    for note in found:
        until = "withdrawn" if note.withdrawn_at is not None else tables.moment(note.until)
        table.add_row(note.id, note.test, escape(note.who), tables.moment(note.at), until, escape(note.text))
    console.print(table)


def show_note(console: Console, note: Note) -> None:
    """One note."""
    if note.withdrawn_at is not None:
        console.print(f"The note {note.id} about {note.test} is withdrawn.")
        return
    console.print(
        f"{escape(note.who)} vouches for {note.test} of {note.pilot} until {note.until:%Y-%m-%d}:"
        f" {escape(note.text)} ({note.id})"
    )


def show_proofs(console: Console, document: Mapping[str, Any]) -> None:
    """What was tried out, and the score with it."""
    for proof in document["proofs"]:
        console.print(
            tables.verdict(proof["passed"]), f"{proof['kind']}: {escape(proof['summary'])}.", soft_wrap=True
        )
    console.print(
        f"ML Test Score of {document['pilot']}: {document['score']:g} of 7, {document['band']}.",
        soft_wrap=True,
    )


def show_history(console: Console, found: Sequence[Entry]) -> None:
    """Scores, the oldest first."""
    if not found:
        console.print("No score is kept yet; `pilotage readiness PILOT` and the scheduler keep them.")
        return
    sections = tuple(found[-1].sections)
    table = tables.table("at (UTC)", "version", "score", *sections, right=("version", "score", *sections))
    for entry in found:
        version = "–" if entry.version is None else str(entry.version)
        parts = (f"{entry.sections.get(name, 0):g}" for name in sections)
        table.add_row(tables.moment(entry.at), version, f"{entry.score:g}", *parts)
    console.print(table)
