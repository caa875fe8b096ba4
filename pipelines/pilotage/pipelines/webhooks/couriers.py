"""Sends what is due: in bounded time, one thread an endpoint, so that none waits for another.

It runs beside the monitor's passes and never inside one. What went wrong is in
the log of deliveries; nothing raised here ends a monitor.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version

from sqlalchemy import Engine

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import outbox
from pilotage.pipelines.journals.outbox import Kind
from pilotage.pipelines.webhooks import deliveries, endpoints, senders, signatures
from pilotage.pipelines.webhooks.deliveries import Delivery, DeliveryState, Leased
from pilotage.pipelines.webhooks.endpoints import Endpoint

logger = logging.getLogger(__name__)

_EVERY_SECONDS = 1.0
_PASS_SECONDS = 5.0
"""After which no further attempt begins."""
_GONE = 410
_MOST_THREADS = 16


def send_due(settings: Settings, seconds: float = _PASS_SECONDS) -> int:
    """Send what is due, beginning no attempt after `seconds`; returns how many were accepted.

    Raises:
        SettingsError: the file of webhooks or a secret is wrong.
        Unavailable: the database does not answer.
    """
    known = endpoints.load(settings).all
    engine = tables.connect(settings)
    deliveries.relay(engine, known)
    gone = deliveries.disabled(engine)
    due = [endpoint for endpoint in known if (endpoint.name, endpoint.url_digest) not in gone]
    if not due:
        return 0
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(min(len(due), _MOST_THREADS), thread_name_prefix="webhook") as threads:
        return sum(threads.map(lambda endpoint: _send_all(engine, settings, endpoint, until), due))


@contextmanager
def delivering(settings: Settings) -> Iterator[None]:
    """Send what becomes due while the block runs, and once more at its end.

    Raises:
        SettingsError: the file of webhooks or a secret is wrong, at the start.
    """
    if settings.webhooks_file is None:
        yield
        return
    endpoints.load(settings)
    stopped = threading.Event()
    thread = threading.Thread(target=_deliver, args=(settings, stopped), name="courier", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(timeout=_PASS_SECONDS + senders.TIMEOUT_SECONDS)


def test(settings: Settings, name: str) -> Delivery:
    """Tell one endpoint of a test, once and now; success makes a disabled one wanted again.

    Raises:
        NotFound: there is no such endpoint.
        SettingsError: see `send_due`.
    """
    endpoint = endpoints.load(settings).named(name)
    engine = tables.connect(settings)
    with engine.begin() as connection:
        told = {"message": f"A test of the webhook {name}."}
        event = outbox.emit(connection, Kind.WEBHOOK_TEST, "test", f"webhook/{name}", told)
        delivery = deliveries.add(connection, event, name)
    leased = deliveries.lease_next(engine, name, delivery)
    if leased is not None and _send(engine, settings, endpoint, leased, last=True) is DeliveryState.DELIVERED:
        deliveries.enable(engine, endpoint)
    return deliveries.get(engine, delivery)


def replay(settings: Settings, wanted: Sequence[int]) -> list[Delivery]:
    """Send deliveries again; what fails, and what else is for that endpoint, is tried for another day.

    Raises:
        NotFound: one of them does not exist, or its endpoint no longer does.
    """
    engine = tables.connect(settings)
    known = endpoints.load(settings)
    named = {item: known.named(deliveries.get(engine, item).endpoint) for item in wanted}
    deliveries.replay(engine, wanted)
    failed: set[str] = set()
    for item, endpoint in named.items():
        leased = None if endpoint.name in failed else deliveries.lease_next(engine, endpoint.name, item)
        if leased is not None and _send(engine, settings, endpoint, leased) is not DeliveryState.DELIVERED:
            failed.add(endpoint.name)
    return [deliveries.get(engine, item) for item in wanted]


def _deliver(settings: Settings, stopped: threading.Event) -> None:
    told = ""
    while True:
        last = stopped.wait(_EVERY_SECONDS)
        try:
            send_due(settings)
            told = ""
        except errors.PilotageError as error:
            if str(error) != told:
                logger.warning("webhooks are not sent: %s", error)
            told = str(error)
        except Exception:
            logger.exception("webhooks are not sent")
        if last:
            return


def _send_all(engine: Engine, settings: Settings, endpoint: Endpoint, until: float) -> int:
    """Send what is due for one endpoint; stops at the first that fails, as the next would."""
    accepted = 0
    while time.monotonic() < until:
        leased = deliveries.lease_next(engine, endpoint.name)
        if leased is None or _send(engine, settings, endpoint, leased) is not DeliveryState.DELIVERED:
            break
        accepted += 1
    return accepted


def _send(
    engine: Engine, settings: Settings, endpoint: Endpoint, leased: Leased, *, last: bool = False
) -> DeliveryState:
    body = outbox.body(leased.event)
    headers = {
        "Content-Type": f"{outbox.CONTENT_TYPE}; charset=utf-8",
        "User-Agent": f"pilotage/{version('pilotage')}",
        **signatures.headers(endpoint.keys(), leased.event.event, tables.now(), body),
    }
    answer = senders.post(endpoint.parts, body, headers, settings.webhook_private_hosts)
    gone = answer.status == _GONE
    state = deliveries.settle(engine, leased, answer, last=last or gone)
    if gone:
        deliveries.disable(engine, endpoint, "it answered 410 Gone")
    if not answer.is_accepted:
        logger.warning(
            "webhook %s has not taken %s (%s): %s",
            endpoint.name, leased.event.event, leased.event.type, answer.error,
        )  # fmt: skip
    return state
