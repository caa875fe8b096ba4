"""`up`: everything of an installation on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from pathlib import Path

    from pilotage.core.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "up")(up)


def up(
    session: Session,
    pilots: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PILOT]...", help="Folders with a pilot.yaml to take in; those known stay."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address that the console listens on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Its port; the next free one when it is taken.")
    ] = 8400,
) -> None:
    """Run everything of an installation here, until Ctrl-C.

    What ends by itself is started again. Each pilot with a champion has a model
    server. Runs in progress are carried on by the next `pilotage up`. Logs are in the home's folder `logs`.
    With --json one document with the addresses is printed once everything runs.
    """
    from pathlib import Path

    from pilotage.console.commands.arguments import load_pilot

    folders = [load_pilot(pilot).folder for pilot in pilots or ()]
    run(session, session.settings, [Path(folder) for folder in folders], host, port)


def run(
    session: Session, settings: Settings, folders: list[Path], host: str = "127.0.0.1", port: int = 8400
) -> None:
    """Run everything of an installation until SIGINT or SIGTERM."""
    from pilotage.console import signals
    from pilotage.console.supervision import installations
    from pilotage.console.views import services as views

    with signals.stopping() as stop:
        installations.run(
            settings,
            folders,
            host,
            port,
            stop.wait,
            lambda document: session.output.answer(document, lambda console: views.show(console, document)),
        )
        session.output.say("Stopped.")
