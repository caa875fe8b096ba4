"""`value`: what a pilot has brought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pilotage.console.commands.arguments import NameArgument, moment, spec_of
from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from pilotage.console.operations.monitoring.values import Period


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "value", "pilotage.console.remotes.values:value")(value)


def value(
    session: Session,
    pilot: NameArgument,
    since: Annotated[
        str | None, typer.Option(help="Only windows that begin then or later (ISO 8601).")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only windows that begin before.")] = None,
    period: Annotated[
        str | None, typer.Option(help="window, day, week or month; chosen by the time when left out.")
    ] = None,
) -> None:
    """What a pilot's predictions have brought, against its baseline.

    Money where pilot.yaml says `goal.value`, counted on the rows whose labels have come; otherwise the metric
    against the target.
    """
    from pilotage.console.operations.desks import Desk
    from pilotage.console.operations.monitoring import values
    from pilotage.console.views import values as views

    desk = Desk(session.settings)
    found = values.count(
        desk,
        spec_of(desk, pilot),
        since=moment("--since", since),
        until=moment("--until", until),
        period=None if period is None else _period(period),
    )
    session.output.answer(found.model_dump(mode="json"), lambda console: views.show(console, found))


def _period(text: str) -> Period:
    from pilotage.console.operations.monitoring.values import Period
    from pilotage.core import errors

    try:
        return Period(text)
    except ValueError as error:
        raise errors.SettingsError(
            f"`--period {text}` is none of {', '.join(Period)}.", remedy="Choose one of these."
        ) from error
