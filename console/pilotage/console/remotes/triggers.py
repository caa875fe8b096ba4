"""`triggers` at a console elsewhere."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pilotage.console.commands import triggers as here
from pilotage.console.commands.arguments import name_of
from pilotage.console.remotes.clients import require_nobody, segment
from pilotage.console.sessions import Session
from pilotage.console.views import triggers as views
from pilotage.core import errors
from pilotage.core.artifacts import Trigger
from pilotage.pipelines.retraining.waits import Snooze


def list_triggers(session: Session, pilot: str, limit: int = 20) -> None:
    """What asked for retrainings there."""
    name, remote = name_of(pilot), session.remote
    place = f"/pilots/{segment(name)}"
    found = [
        Trigger.model_validate({key: item[key] for key in Trigger.model_fields if key in item})
        for item in remote.items(f"{place}/triggers", limit)
    ]
    snoozed = _snooze(remote.get(f"{place}/snooze")["snooze"])
    document = {
        "pilot": name,
        "triggers": [here.document_of(trigger) for trigger in found],
        "snooze": here.snooze_document(snoozed) if snoozed else None,
    }
    session.output.answer(document, lambda console: views.show(console, found, snoozed))


def snooze(session: Session, pilot: str, duration: str, who: str | None = None, why: str = "") -> None:
    """Let no retraining of a pilot start there for a while."""
    require_nobody(who)
    wanted = {"duration": duration, "why": why}
    made = _snooze(session.remote.put(f"/pilots/{segment(name_of(pilot))}/snooze", wanted)["snooze"])
    if made is None:
        raise errors.Failure("The console answered without a snooze.", remedy="Try again.")
    session.output.answer(
        here.snooze_document(made), lambda console: console.print(here.told_of_snooze(made))
    )


def unsnooze(session: Session, pilot: str, who: str | None = None, why: str = "") -> None:
    """End a snooze there."""
    require_nobody(who)
    name = name_of(pilot)
    ended = session.remote.delete(f"/pilots/{segment(name)}/snooze", why=why or None)["snooze"]
    text = f"{name} is snoozed no more." if ended else f"{name} was not snoozed."
    document = {"pilot": name, "changed": ended is not None}
    session.output.answer(document, lambda console: console.print(text))


def _snooze(found: dict[str, Any] | None) -> Snooze | None:
    if found is None:
        return None
    moments = {key: datetime.fromisoformat(found[key]) for key in ("until", "at")}
    return Snooze(pilot=found["pilot"], who=found["who"], why=found["why"], **moments)
