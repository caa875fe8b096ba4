"""`costs`: what a pilot cost in time, memory, energy and money."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pilotage.console.commands.arguments import NameArgument, load_pilot, name_of
from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from datetime import datetime

    from pilotage.console.operations.desks import Desk
    from pilotage.core.specs import PilotSpec


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
    from pilotage.console.operations import costs as operations
    from pilotage.console.operations.desks import Desk
    from pilotage.console.views import costs as views

    desk = Desk(session.settings)
    found = operations.count(
        desk, _spec(desk, pilot), since=_moment("--since", since), until=_moment("--until", until)
    )
    session.output.answer(found.model_dump(mode="json"), lambda console: views.show(console, found))


def _spec(desk: Desk, pilot: str) -> PilotSpec:
    """The pilot.yaml at a path, or the one that the installation knows by this name."""
    from pilotage.console.access.actors import at_this_machine
    from pilotage.console.operations import specs

    if Path(pilot).exists():
        return load_pilot(pilot).spec
    return specs.find(desk, at_this_machine(), name_of(pilot))


def _moment(option: str, text: str | None) -> datetime | None:
    from pilotage.core import errors, features

    try:
        return features.parse_time(text)
    except ValueError as error:
        raise errors.SettingsError(
            f"`{option} {text}` is not a time.", remedy="Write it as ISO 8601, such as 2026-11-02T06:00:00Z."
        ) from error
