"""`demo`: the whole loop on real data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pilotage.console.commands import supervision
from pilotage.console.sessions import Session, command


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "demo")(demo)


def demo(
    session: Session,
    folder: Annotated[
        Path | None, typer.Option(help="New or empty folder for everything; a temporary one when left out.")
    ] = None,
    months: Annotated[int, typer.Option(min=1, max=5, help="Months of traffic, from April on.")] = 5,
    ui: Annotated[
        bool, typer.Option("--ui", help="Leave `pilotage up` running on it afterwards, until Ctrl-C.")
    ] = False,
) -> int:
    """See the whole loop on real data, in about two minutes.

    Flights of January to March train the first champion; those of April to August are replayed as traffic
    on a model server, their labels a week late. Drift and decay lead to retraining and promotion meanwhile.
    With --ui the dashboard shows it afterwards; with --json too, the one document is that of `pilotage up`.
    Ends with 1 if a request failed, nothing was promoted, or the live champion was no better than the first.
    """
    import os

    from pilotage.console.demo import screens, story
    from pilotage.core.errors import ExitCode

    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when the model's libraries load
    result = story.tell(session.output, folder, months, session.settings)
    if not (ui and session.output.as_json):
        session.output.answer(result.document, lambda console: screens.show(console, result))
    for problem in result.problems:
        session.output.say(f"[red]The demo did not show what it promises: {problem}.[/]")
    if ui:
        supervision.run(
            session, story.settings_of(result.folder, session.settings), [story.pilot_of(result.folder)]
        )
    return int(ExitCode.FAILED if result.problems else ExitCode.DONE)
