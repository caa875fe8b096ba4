"""`schedules`: when the clock asks for runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pilotage.console.commands.arguments import NameArgument, WhyOption, name_of
from pilotage.console.commands.groups import ListsByDefault
from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from pilotage.console.operations.execution.schedules import Schedule

_FAR = "pilotage.console.remotes.schedules"

_ScheduleArgument = Annotated[str, typer.Argument(metavar="SCHEDULE", help="Id of the schedule.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(cls=ListsByDefault, help="When the clock asks for runs.", rich_markup_mode=None)
    command(group, "list", f"{_FAR}:list_schedules")(list_schedules)
    command(group, "add", f"{_FAR}:add_schedule")(add_schedule)
    command(group, "pause", f"{_FAR}:pause_schedule")(pause_schedule)
    command(group, "resume", f"{_FAR}:resume_schedule")(resume_schedule)
    command(group, "remove", f"{_FAR}:remove_schedule")(remove_schedule)
    command(group, "run", f"{_FAR}:run_schedule")(run_schedule)
    app.add_typer(group, name="schedules")


def list_schedules(
    session: Session,
    pilot: Annotated[
        str | None, typer.Argument(metavar="[PILOT]", help="Only of this pilot, by folder or name.")
    ] = None,
) -> None:
    """When runs are asked for, and what passed without one."""
    from pilotage.console.access import actors
    from pilotage.console.operations import desks, listings
    from pilotage.console.operations.execution import schedules
    from pilotage.console.views import schedules as views

    desk, name = desks.Desk(session.settings), name_of(pilot) if pilot else None
    found = schedules.list_schedules(desk, actors.at_this_machine(), pilot=name, limit=listings.MOST)
    session.output.answer(found.model_dump(mode="json"), lambda console: views.show(console, found.items))


def add_schedule(
    session: Session,
    pilot: NameArgument,
    cron: Annotated[str, typer.Argument(metavar="CRON", help="Such as '0 3 * * 1'.")],
    zone: Annotated[str, typer.Option(help="Time zone, such as Europe/Berlin.")] = "UTC",
) -> None:
    """Let the clock ask for runs of a pilot.

    They are asked for at the moments of a cron expression; `pilotage up` starts them.
    """
    from pilotage.console.access import actors
    from pilotage.console.operations import desks
    from pilotage.console.operations.execution import schedules

    desk, name = desks.Desk(session.settings), name_of(pilot)
    _answer(session, schedules.add_schedule(desk, actors.at_this_machine(), name, cron, zone))


def pause_schedule(session: Session, schedule: _ScheduleArgument, why: WhyOption = "") -> None:
    """Let a schedule ask for nothing until it is resumed."""
    from pilotage.console.access import actors
    from pilotage.console.operations import desks
    from pilotage.console.operations.execution import schedules

    desk = desks.Desk(session.settings)
    _answer(session, schedules.pause_schedule(desk, actors.at_this_machine(), schedule, why=why))


def resume_schedule(session: Session, schedule: _ScheduleArgument, why: WhyOption = "") -> None:
    """Let a schedule go on.

    What passed while it was paused is not made up for.
    """
    from pilotage.console.access import actors
    from pilotage.console.operations import desks
    from pilotage.console.operations.execution import schedules

    desk = desks.Desk(session.settings)
    _answer(session, schedules.resume_schedule(desk, actors.at_this_machine(), schedule, why=why))


def remove_schedule(session: Session, schedule: _ScheduleArgument, why: WhyOption = "") -> None:
    """Forget a schedule that a person made."""
    from pilotage.console.access import actors
    from pilotage.console.operations import desks
    from pilotage.console.operations.execution import schedules

    schedules.remove_schedule(desks.Desk(session.settings), actors.at_this_machine(), schedule, why=why)
    session.output.answer(
        {"schedule": schedule}, lambda console: console.print(f"Removed [bold]{schedule}[/].")
    )


def run_schedule(session: Session, schedule: _ScheduleArgument, why: WhyOption = "") -> None:
    """Ask for a schedule's run now; `pilotage up` starts it."""
    from pilotage.console.access import actors
    from pilotage.console.operations import desks
    from pilotage.console.operations.execution import schedules

    desk = desks.Desk(session.settings)
    run = schedules.run_schedule(desk, actors.at_this_machine(), schedule, why=why)
    session.output.answer(
        run.model_dump(mode="json"), lambda console: console.print(f"Run [bold]{run.id}[/] is {run.state}.")
    )


def _answer(session: Session, schedule: Schedule) -> None:
    from pilotage.console.views import schedules as views

    session.output.answer(schedule.model_dump(mode="json"), lambda console: views.show(console, (schedule,)))
