"""`costs`: what a pilot cost in time, memory, energy and money."""

from __future__ import annotations

from typing import Annotated

import typer

from pilotage.console.commands.arguments import NameArgument, moment, spec_of
from pilotage.console.sessions import Session, command


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "costs", "pilotage.console.remotes.costs:costs")(costs)


def costs(
    session: Session,
    pilot: NameArgument,
    since: Annotated[
        str | None, typer.Option(help="Only what ended, or was served, then or later (ISO 8601).")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only what ended, or was served, before.")] = None,
) -> None:
    """What a pilot costs in time, energy, CO2 and money.

    Of its runs and its predictions: by month, by kind, by step and for a thousand predictions; how much of
    the month's budget is used; and where servers ask for more than they use. Money where PILOTAGE_PRICES
    says what is paid for what.
    """
    from pilotage.console.operations.desks import Desk
    from pilotage.console.operations.execution import costs as operations
    from pilotage.console.views import costs as views

    desk = Desk(session.settings)
    found = operations.count(
        desk, spec_of(desk, pilot), since=moment("--since", since), until=moment("--until", until)
    )
    session.output.answer(found.model_dump(mode="json"), lambda console: views.show(console, found))
