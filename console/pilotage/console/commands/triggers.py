"""`triggers`: what asked for a retraining, what it waits for, and letting it wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilotage.console.commands.arguments import NameArgument, WhoOption, WhyOption, name_of
from pilotage.console.commands.groups import ListsByDefault
from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from pilotage.core.artifacts import Trigger
    from pilotage.pipelines.retraining.waits import Snooze

_FAR = "pilotage.console.remotes.triggers"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(
        cls=ListsByDefault, help="What asked for retrainings, and what they wait for.", rich_markup_mode=None
    )
    command(group, "list", f"{_FAR}:list_triggers")(list_triggers)
    command(group, "snooze", f"{_FAR}:snooze")(snooze)
    command(group, "unsnooze", f"{_FAR}:unsnooze")(unsnooze)
    app.add_typer(group, name="triggers")


def list_triggers(
    session: Session,
    pilot: NameArgument,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
) -> None:
    """What asked for retrainings of a pilot, the newest data first."""
    from pilotage.console.views import triggers as views
    from pilotage.pipelines.retraining import triggers, waits

    name = name_of(pilot)
    found = triggers.triggers(session.settings, name)[:limit]
    snoozed = waits.snoozed(session.settings, name)
    document = {
        "pilot": name,
        "triggers": [document_of(trigger) for trigger in found],
        "snooze": snooze_document(snoozed) if snoozed else None,
    }
    session.output.answer(document, lambda console: views.show(console, found, snoozed))


def snooze(
    session: Session,
    pilot: NameArgument,
    duration: Annotated[str, typer.Option("--for", help="How long, such as 6h, 2d or 1w.")],
    who: WhoOption = None,
    why: WhyOption = "",
) -> None:
    """Let no retraining of a pilot start for a while.

    What asks for one waits. It takes the place of a snooze before. A retraining that is under way goes on.
    """
    from pilotage.core import durations, errors
    from pilotage.pipelines.retraining import waits

    try:
        length = durations.parse(duration)
    except ValueError as error:
        raise errors.SettingsError(f"`--for {duration}`: {error}.", remedy="Write `--for 2d`.") from error
    made = waits.snooze(session.settings, name_of(pilot), length, who=who, why=why)
    session.output.answer(snooze_document(made), lambda console: console.print(told_of_snooze(made)))


def told_of_snooze(made: Snooze) -> str:
    """What a snooze means, in words."""
    return f"No retraining of {made.pilot} starts before {made.until:%Y-%m-%d %H:%M} UTC."


def unsnooze(session: Session, pilot: NameArgument, who: WhoOption = None, why: WhyOption = "") -> None:
    """End a snooze.

    What waits for it is started by the next look of the monitor.
    """
    from pilotage.pipelines.retraining import waits

    name = name_of(pilot)
    ended = waits.unsnooze(session.settings, name, who=who, why=why)
    document = {"pilot": name, "changed": ended is not None}
    text = f"{name} is snoozed no more." if ended else f"{name} was not snoozed."
    session.output.answer(document, lambda console: console.print(text))


def document_of(trigger: Trigger) -> dict[str, Any]:
    """A trigger as `--json` prints it."""
    return trigger.model_dump(mode="json", exclude={"kind", "schema_version"})


def snooze_document(found: Snooze) -> dict[str, Any]:
    """A snooze as `--json` prints it."""
    return {
        "pilot": found.pilot,
        "until": found.until.isoformat(),
        "who": found.who,
        "why": found.why,
        "at": found.at.isoformat(),
    }
