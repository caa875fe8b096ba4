"""`webhooks`: who is told of events, what was sent to them, and sending it again."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from pilotage.pipelines.webhooks import Delivery


_FAR = "pilotage.console.remotes.webhooks"


class Outcome(StrEnum):
    """What became of a delivery: the states of `pilotage.pipelines.webhooks.DeliveryState`."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class _ListsByDefault(TyperGroup):
    """`pilotage webhooks` and `pilotage webhooks --json` list."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing and (
            not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names)
        ):
            args = ["list", *args]
        return super().parse_args(ctx, args)


_WebhookOption = Annotated[str | None, typer.Option("--webhook", help="Only those of this one.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(
        cls=_ListsByDefault, help="Who is told of events over HTTP, and what was sent.", rich_markup_mode=None
    )
    command(group, "list", f"{_FAR}:list_endpoints")(list_endpoints)
    command(group, "deliveries", f"{_FAR}:list_deliveries")(list_deliveries)
    command(group, "replay", f"{_FAR}:replay")(replay)
    command(group, "test", f"{_FAR}:test")(test)
    command(group, "secret")(secret)
    app.add_typer(group, name="webhooks")


def list_endpoints(session: Session) -> None:
    """Who is told of which events. URLs are shown without their path, which may be a secret."""
    from pilotage.console.views import triggers as views
    from pilotage.pipelines import tables
    from pilotage.pipelines.webhooks import deliveries, endpoints

    known = endpoints.load(session.settings).all
    gone = deliveries.disabled(tables.connect(session.settings))
    found = [
        {
            "name": endpoint.name,
            "host": endpoint.origin,
            "events": list(endpoint.events),
            "pilots": None if endpoint.pilots is None else list(endpoint.pilots),
            "disabled": gone.get((endpoint.name, endpoint.url_digest)),
        }
        for endpoint in known
    ]
    session.output.answer({"webhooks": found}, lambda console: views.show_endpoints(console, found))


def list_deliveries(
    session: Session,
    webhook: _WebhookOption = None,
    state: Annotated[Outcome | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
) -> None:
    """What was sent, or is to be, newest first.

    With --json every attempt is told.
    """
    from pilotage.console.views import triggers as views
    from pilotage.pipelines import tables
    from pilotage.pipelines.webhooks import DeliveryState, deliveries

    wanted = None if state is None else DeliveryState(state)
    engine = tables.connect(session.settings)
    found = deliveries.find(engine, endpoint=webhook, state=wanted, limit=limit)
    session.output.answer(
        {"deliveries": [document_of(delivery) for delivery in found]},
        lambda console: views.show_deliveries(console, found),
    )


def replay(
    session: Session,
    delivery: Annotated[int | None, typer.Argument(metavar="[ID]", help="Id of a delivery.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that were given up.")] = False,
    webhook: _WebhookOption = None,
) -> int:
    """Send a delivery again, with the id and the event that it had.

    What fails again is tried for another day by the monitor. Ends with 1 if something was not taken.
    """
    from pilotage.console.views import triggers as views
    from pilotage.pipelines import tables
    from pilotage.pipelines.webhooks import DeliveryState, couriers, deliveries

    require_one(delivery, failed=failed)
    wanted = [delivery] if delivery is not None else []
    if failed:
        engine = tables.connect(session.settings)
        dead = deliveries.find(engine, endpoint=webhook, state=DeliveryState.DEAD, limit=1000)
        wanted = [item.id for item in reversed(dead)]
    found = couriers.replay(session.settings, wanted)
    session.output.answer(
        {"deliveries": [document_of(item) for item in found]},
        lambda console: views.show_deliveries(console, found),
    )
    return int(any(item.state is not DeliveryState.DELIVERED for item in found))


def require_one(delivery: int | None, *, failed: bool) -> None:
    """Do nothing if either one delivery is named or all that failed.

    Raises:
        SettingsError: neither is, or both are.
    """
    from pilotage.core import errors

    if failed == (delivery is not None):
        raise errors.SettingsError(
            "Either one delivery or all that failed are sent again.",
            remedy="Write `pilotage webhooks replay ID`, or `pilotage webhooks replay --failed`.",
        )


def test(
    session: Session, name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the webhook.")]
) -> int:
    """Send a test event to one webhook, once.

    Success ends its being told nothing, where it once answered 410. Ends with 1 if it was not taken.
    """
    from pilotage.console.views import triggers as views
    from pilotage.pipelines.webhooks import DeliveryState, couriers

    found = couriers.test(session.settings, name)
    session.output.answer(document_of(found), lambda console: views.show_deliveries(console, [found]))
    return int(found.state is not DeliveryState.DELIVERED)


def secret(session: Session) -> None:
    """Make a secret for a webhook.

    It is to be put where the `secret` of its endpoint points, and is shown only now.
    """
    from pilotage.pipelines.webhooks import signatures

    made = signatures.new_secret()
    session.output.answer({"secret": made}, lambda console: console.print(made, soft_wrap=True, markup=False))


def document_of(delivery: Delivery) -> dict[str, Any]:
    """A delivery as `--json` prints it."""
    return {
        "id": delivery.id,
        "event": delivery.event,
        "type": delivery.type,
        "pilot": delivery.pilot,
        "webhook": delivery.endpoint,
        "state": delivery.state.value,
        "attempts": [
            {
                "at": attempt.at.isoformat(),
                "status": attempt.status,
                "seconds": round(attempt.seconds, 3),
                "error": attempt.error,
            }
            for attempt in delivery.log
        ],
        "next_at": delivery.next_at.isoformat() if delivery.next_at else None,
    }
