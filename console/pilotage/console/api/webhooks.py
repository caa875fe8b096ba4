"""`/api/v1/webhooks`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from pilotage.console.api.parameters import ActorParameter, CursorParameter, DeskParameter, LimitParameter
from pilotage.console.operations import webhooks
from pilotage.console.operations.listings import Listing
from pilotage.console.operations.webhooks import Delivery, Webhook
from pilotage.pipelines.webhooks import DeliveryState

router = APIRouter(prefix="/webhooks", tags=["webhooks"])


@router.get("")
def list_webhooks(desk: DeskParameter, actor: ActorParameter) -> Listing[Webhook]:
    """Who is told of which events."""
    return Listing(items=tuple(webhooks.list_webhooks(desk, actor)))


@router.get("/deliveries")
def list_deliveries(
    desk: DeskParameter,
    actor: ActorParameter,
    webhook: Annotated[str | None, Query(max_length=63)] = None,
    state: DeliveryState | None = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[Delivery]:
    """What was sent, or is to be, newest first."""
    return webhooks.list_deliveries(desk, actor, webhook=webhook, state=state, cursor=cursor, limit=limit)


@router.post("/deliveries/{delivery}/replay")
def replay_delivery(
    desk: DeskParameter, actor: ActorParameter, delivery: Annotated[int, Path(ge=1, lt=2**31)]
) -> Delivery:
    """Send a delivery again, now."""
    return webhooks.replay_delivery(desk, actor, delivery)


@router.post("/{webhook}/test")
def send_test(desk: DeskParameter, actor: ActorParameter, webhook: str) -> Delivery:
    """Tell one webhook of a test, now."""
    return webhooks.send_test(desk, actor, webhook)
