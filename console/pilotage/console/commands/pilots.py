"""`init`, `check` and `schema`: what a pilot is, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pilotage.console.commands.arguments import PilotArgument, load_pilot
from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from rich.console import Console


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "init")(init)
    command(app, "check")(check)
    command(app, "schema")(schema)


def init(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the pilot, and of its new folder.")],
    table: Annotated[
        str,
        typer.Option("--from", metavar="TABLE", help="CSV, Parquet or JSON lines; a file or a quoted glob."),
    ],
    target: Annotated[
        str | None, typer.Option(help="Column to predict; found by its name when left out.")
    ] = None,
) -> None:
    """Begin a pilot from a table.

    Drafts pilot.yaml with features, key, time and gates, and a suite of expectations, in a new folder.
    Nothing that exists is overwritten.
    """
    from pilotage.console import drafts
    from pilotage.console.views import pilots as views

    draft = drafts.make(name, table, target, Path.cwd())
    session.output.answer(draft.document, lambda console: views.show_draft(console, draft))


def check(session: Session, pilot: PilotArgument) -> None:
    """Check pilot.yaml and its data without running anything."""
    found = load_pilot(pilot)
    from pilotage.console import checks
    from pilotage.console.views import pilots as views

    checked = checks.check(found, session.settings)
    session.output.answer(checked.document, lambda console: views.show_check(console, checked))


def schema(session: Session) -> None:
    """The JSON schema of pilot.yaml, for editors and checks."""
    from pilotage.core import pilots

    content = pilots.schema()

    def show(console: Console) -> None:
        console.print_json(data=content)

    session.output.answer(content, show)
