"""Triggers, webhooks and deliveries on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from pilotage.console.views import tables
from pilotage.core.artifacts import Trigger, TriggerState, Wait

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.pipelines.retraining.waits import Snooze
    from pilotage.pipelines.webhooks import Delivery

_WORDS = {
    Wait.SNOOZE: "for the end of the snooze, {until} UTC",
    Wait.COOLDOWN: "for the cooldown, data until {until}",
    Wait.BUDGET: "for the budget, data until {until}",
    Wait.QUIET_HOURS: "for the end of quiet hours, {until} UTC",
    Wait.SPENT: "for the next month, {until} UTC: what its runs may use is used up",
}


def show(console: Console, found: Sequence[Trigger], snoozed: Snooze | None) -> None:
    """Triggers, and the snooze that is in force."""
    if snoozed is not None:
        until = tables.moment(snoozed.until)
        console.print(f"Snoozed until {until} UTC by {escape(snoozed.who)}: {escape(snoozed.why)}")
    if not found:
        console.print("Nothing has asked for a retraining.")
        return
    busy = any(trigger.state is TriggerState.STARTED for trigger in found)
    table = tables.table("trigger", "data until (UTC)", "cause", "version", "state", "waits", "run", "reason")
    for trigger in found:
        table.add_row(
            trigger.id,
            tables.moment(trigger.at),
            trigger.cause.value,
            str(trigger.version),
            tables.state(trigger.state.value),
            _waits(trigger, busy),
            trigger.run or "–",
            escape(trigger.reason),
        )
    console.print(table)


def _waits(trigger: Trigger, busy: bool) -> str:
    if trigger.state is TriggerState.WAITING and trigger.waits_for is not None:
        return _WORDS[trigger.waits_for].format(until=tables.moment(trigger.until))
    if trigger.state in (TriggerState.OPEN, TriggerState.WAITING):
        return "for the retraining under way" if busy else "for the monitor's next look"
    return "–"


def show_endpoints(console: Console, found: Sequence[Mapping[str, Any]]) -> None:
    """Webhooks as `--json` prints them, each with why it is told nothing, if so."""
    if not found:
        console.print("Nobody is told of events: PILOTAGE_WEBHOOKS_FILE is not set, or names nobody.")
        return
    table = tables.table("webhook", "host", "events", "pilots", "state")
    for webhook in found:
        pilots = "all" if webhook["pilots"] is None else ", ".join(webhook["pilots"])
        state = "told" if webhook["disabled"] is None else f"told nothing: {webhook['disabled']}"
        table.add_row(webhook["name"], webhook["host"], ", ".join(webhook["events"]), pilots, state)
    console.print(table)


def show_deliveries(console: Console, found: Sequence[Delivery]) -> None:
    """Deliveries, each with its last attempt."""
    if not found:
        console.print("Nothing was delivered yet, and nothing is to be.")
        return
    table = tables.table(
        "id", "webhook", "event", "pilot", "state", "attempts", "last (UTC)", "result", "next (UTC)",
        right=("id", "attempts"),
    )  # fmt: skip
    for delivery in found:
        last = delivery.log[-1] if delivery.log else None
        result = "–" if last is None else escape(last.error or f"{last.status} in {last.seconds:.2f} s")
        table.add_row(
            str(delivery.id),
            delivery.endpoint,
            delivery.type.removeprefix("pilotage."),
            delivery.pilot,
            tables.state(delivery.state.value),
            str(len(delivery.log)),
            tables.moment(last.at if last else None),
            result,
            tables.moment(delivery.next_at),
        )
    console.print(table)
