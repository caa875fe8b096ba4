"""`webhooks` at a console elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pilotage.console.commands import webhooks as here
from pilotage.console.remotes.clients import segment
from pilotage.console.sessions import Session
from pilotage.console.views import triggers as views
from pilotage.pipelines.webhooks import Attempt, Delivery, DeliveryState


def list_endpoints(session: Session) -> None:
    """Who is told of which events there."""
    found = session.remote.get("/webhooks")["items"]
    session.output.answer({"webhooks": found}, lambda console: views.show_endpoints(console, found))


def list_deliveries(
    session: Session, webhook: str | None = None, state: str | None = None, limit: int = 50
) -> None:
    """What was sent there, newest first."""
    _answer(session, list(session.remote.items("/webhooks/deliveries", limit, webhook=webhook, state=state)))


def replay(
    session: Session, delivery: int | None = None, failed: bool = False, webhook: str | None = None
) -> int:
    """Send a delivery again there."""
    here.require_one(delivery, failed=failed)
    remote = session.remote
    wanted = [] if delivery is None else [delivery]
    if failed:
        dead = remote.items("/webhooks/deliveries", 1000, webhook=webhook, state="dead")
        wanted = [item["id"] for item in dead][::-1]
    return _answer(session, [remote.post(f"/webhooks/deliveries/{item}/replay") for item in wanted])


def test(session: Session, name: str) -> int:
    """Send a test event to one webhook there."""
    found = _delivery(session.remote.post(f"/webhooks/{segment(name)}/test"))
    session.output.answer(here.document_of(found), lambda console: views.show_deliveries(console, [found]))
    return int(found.state is not DeliveryState.DELIVERED)


def _answer(session: Session, items: list[Mapping[str, Any]]) -> int:
    found = [_delivery(item) for item in items]
    session.output.answer(
        {"deliveries": [here.document_of(item) for item in found]},
        lambda console: views.show_deliveries(console, found),
    )
    return int(any(item.state is not DeliveryState.DELIVERED for item in found))


def _delivery(item: Mapping[str, Any]) -> Delivery:
    log = tuple(
        Attempt(datetime.fromisoformat(part["at"]), part["status"], part["seconds"], part["error"])
        for part in item["attempts"]
    )
    return Delivery(
        id=item["id"],
        event=item["event"],
        type=item["type"],
        pilot=item["pilot"],
        endpoint=item["webhook"],
        state=DeliveryState(item["state"]),
        attempts=len(log),
        next_at=None if item["next_at"] is None else datetime.fromisoformat(item["next_at"]),
        log=log,
    )
