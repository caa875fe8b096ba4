"""Webhooks: who is told of what, without their secrets; what was sent, and sending it again."""

from __future__ import annotations

from datetime import datetime

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.operations import positions
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model, cursor_of
from pilotage.pipelines.journals import audits
from pilotage.pipelines.webhooks import Delivery as Sent
from pilotage.pipelines.webhooks import DeliveryState, couriers, deliveries, endpoints


class Webhook(Model):
    """Somebody who is told of events."""

    name: str
    host: str
    """The URL without its path, which may be a secret."""
    events: tuple[str, ...]
    pilots: tuple[str, ...] | None
    """Null for all."""
    disabled: str | None
    """Why nothing is sent."""


class Attempt(Model):
    """One POST to a webhook."""

    at: datetime
    status: int | None
    """Of HTTP; null where there was no answer."""
    seconds: float
    error: str | None


class Delivery(Model):
    """One event for one webhook."""

    id: int
    event: str
    type: str
    pilot: str
    webhook: str
    state: DeliveryState
    attempts: tuple[Attempt, ...]
    next_at: datetime | None
    """Null where no attempt is to come."""


def list_webhooks(desk: Desk, actor: Actor) -> list[Webhook]:
    """Who is told of which events.

    Raises:
        SettingsError: the file of webhooks is wrong.
    """
    actor.require(Permission.ADMINISTER)
    gone = deliveries.disabled(desk.engine)
    return [
        Webhook(
            name=endpoint.name,
            host=endpoint.origin,
            events=endpoint.events,
            pilots=endpoint.pilots,
            disabled=gone.get((endpoint.name, endpoint.url_digest)),
        )
        for endpoint in endpoints.load(desk.settings).all
    ]


def list_deliveries(
    desk: Desk,
    actor: Actor,
    *,
    webhook: str | None = None,
    state: DeliveryState | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Listing[Delivery]:
    """What was sent, or is to be, newest first."""
    actor.require(Permission.ADMINISTER)
    before = None if cursor is None else positions.read(cursor, (positions.number,))[0]
    found = deliveries.find(desk.engine, endpoint=webhook, state=state, before=before, limit=limit + 1)
    following = cursor_of(found[limit - 1].id) if len(found) > limit else None
    return Listing(items=tuple(_delivery(item) for item in found[:limit]), next=following)


def replay_delivery(desk: Desk, actor: Actor, delivery: int, why: str = "") -> Delivery:
    """Send a delivery again, now, with the id and the event that it had.

    Raises:
        NotFound: there is no such delivery, or its webhook is no more.
        SettingsError: the file of webhooks is wrong.
    """
    actor.require(Permission.ADMINISTER)
    known = deliveries.get(desk.engine, delivery)
    endpoints.load(desk.settings).named(known.endpoint)
    with desk.engine.begin() as connection:
        audits.write(connection, "replay", None, actor.name, why, delivery=delivery, webhook=known.endpoint)
    return _delivery(couriers.replay(desk.settings, [delivery])[0])


def send_test(desk: Desk, actor: Actor, webhook: str, why: str = "") -> Delivery:
    """Tell one webhook of a test, now.

    Raises:
        NotFound: there is no such webhook.
        SettingsError: the file of webhooks is wrong.
    """
    actor.require(Permission.ADMINISTER)
    endpoints.load(desk.settings).named(webhook)
    with desk.engine.begin() as connection:
        audits.write(connection, "test_webhook", None, actor.name, why, webhook=webhook)
    return _delivery(couriers.test(desk.settings, webhook))


def _delivery(sent: Sent) -> Delivery:
    return Delivery(
        id=sent.id,
        event=sent.event,
        type=sent.type,
        pilot=sent.pilot,
        webhook=sent.endpoint,
        state=sent.state,
        attempts=tuple(
            Attempt(at=item.at, status=item.status, seconds=round(item.seconds, 3), error=item.error)
            for item in sent.log
        ),
        next_at=sent.next_at,
    )
