"""`schedules` at a console elsewhere."""

from __future__ import annotations

from typing import Any

from pilotage.console.commands.arguments import name_of
from pilotage.console.operations.execution.schedules import Schedule
from pilotage.console.operations.listings import MOST
from pilotage.console.remotes.clients import segment
from pilotage.console.sessions import Session
from pilotage.console.views import schedules as views


def list_schedules(session: Session, pilot: str | None = None) -> None:
    """When runs are asked for there."""
    document = session.remote.get("/schedules", pilot=name_of(pilot) if pilot else None, limit=MOST)
    found = [Schedule.model_validate(item) for item in document["items"]]
    session.output.answer(document, lambda console: views.show(console, found))


def add_schedule(session: Session, pilot: str, cron: str, zone: str = "UTC") -> None:
    """Let runs of a pilot be asked for there by the clock."""
    wanted = {"pilot": name_of(pilot), "cron": cron, "time_zone": zone}
    _answer(session, session.remote.post("/schedules", wanted))


def pause_schedule(session: Session, schedule: str, why: str = "") -> None:
    """Let a schedule there ask for nothing."""
    _answer(session, session.remote.post(f"/schedules/{segment(schedule)}/pause", {"why": why}))


def resume_schedule(session: Session, schedule: str, why: str = "") -> None:
    """Let a schedule there go on."""
    _answer(session, session.remote.post(f"/schedules/{segment(schedule)}/resume", {"why": why}))


def remove_schedule(session: Session, schedule: str, why: str = "") -> None:
    """Forget a schedule there."""
    session.remote.delete(f"/schedules/{segment(schedule)}", why=why or None)
    session.output.answer(
        {"schedule": schedule}, lambda console: console.print(f"Removed [bold]{schedule}[/].")
    )


def run_schedule(session: Session, schedule: str, why: str = "") -> None:
    """Ask for a schedule's run there now."""
    run = session.remote.post(f"/schedules/{segment(schedule)}/run", {"why": why})
    session.output.answer(run, lambda console: console.print(f"Run [bold]{run['id']}[/] is {run['state']}."))


def _answer(session: Session, document: dict[str, Any]) -> None:
    found = Schedule.model_validate(document)
    session.output.answer(document, lambda console: views.show(console, (found,)))
