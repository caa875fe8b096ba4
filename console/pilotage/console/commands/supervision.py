"""`up`: everything of an installation on this machine; `console` and `migrate`: the same in a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pilotage.console.sessions import HERE_ONLY, Session, command

if TYPE_CHECKING:
    from pathlib import Path

    from pilotage.core.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "up")(up)
    command(app, "console", HERE_ONLY)(console)
    command(app, "migrate", HERE_ONLY)(migrate)


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


def console(
    session: Session,
    pilots: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PILOT]...", help="Folders with a pilot.yaml to take in; those known stay."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Its port.")] = 8000,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port for Prometheus at HOST; the settings' without."),
    ] = None,
) -> None:
    """Run one of several consoles on one database, for a cluster.

    It has the pages, the API and the scheduler, which works in one console at a time; model servers, monitors
    and MLflow run elsewhere. `/health/live` and `/health/ready` say how it is. Beyond loopback it needs
    PILOTAGE_CONSOLE_URL, the https address that people use.
    """
    from pathlib import Path

    from pilotage.console import signals
    from pilotage.console.commands.arguments import load_pilot
    from pilotage.console.supervision import replicas

    folders = [Path(load_pilot(pilot).folder) for pilot in pilots or ()]
    settings = session.settings
    if metrics_port is not None:
        settings = settings.model_copy(update={"metrics_port": metrics_port, "metrics_host": host})
    with signals.stopping():  # uvicorn raises the signal that stopped it once more when it has ended
        replicas.run(
            settings,
            folders,
            host,
            port,
            lambda document: session.output.answer(
                document,
                lambda shown: shown.print(f"The console answers at {document['people']}.", markup=False),
            ),
        )
    session.output.say("Stopped.")


def migrate(
    session: Session,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; end with 1 unless the database is up to date.")
    ] = False,
    wait: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long to try again, such as 5m, while it cannot be done."),
    ] = None,
) -> None:
    """Make the database's tables, or bring them up to date.

    It is one transaction that one process at a time carries out; repeated, it does nothing. A database of a
    newer version is left alone. Where PILOTAGE_MIGRATE is false nothing else changes tables.
    """
    from pilotage.console.supervision import migrations

    done = migrations.run(session.settings, check=check, wait=wait)
    words = "is up to date" if done["before"] == done["revision"] else "was brought up to date"
    session.output.answer(
        done,
        lambda shown: shown.print(f"The database {words}: revision {done['revision']}.", markup=False),
    )
