"""The console's metrics for Prometheus, on a port of their own that people and ingresses never reach.

Nobody is asked who they are there, as Prometheus is not: names of pilots and counts are all there is to see.
Who may connect is a NetworkPolicy's matter. What the numbers are is in `operations.gauges`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError

from pilotage.console.operations import gauges
from pilotage.console.operations.desks import Desk
from pilotage.core import errors

logger = logging.getLogger(__name__)

_FRESH_SECONDS = 2.0
"""Who asks more often gets what was read before."""


class Gauges(Collector):
    """The installation's metrics as Prometheus' library collects them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._reading = threading.Lock()
        self._kept: dict[str, list[gauges.Sample]] = {}
        self._at = -_FRESH_SECONDS

    def describe(self) -> list[Metric]:
        """Nothing: names are known without asking the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read, and tell; a database that does not answer is told as such, and nothing else is."""
        with self._reading:
            up = self._read()
            found = self._kept
        yield GaugeMetricFamily("pilotage_database_up", "Whether the database answers", value=float(up))
        for name, samples in (found if up else {}).items():
            text, labels = gauges.METRICS[name]
            family = GaugeMetricFamily(name, text, labels=labels)
            for values, value in samples:
                family.add_metric(values, value)
            yield family

    def _read(self) -> bool:
        if time.monotonic() - self._at < _FRESH_SECONDS:
            return True
        try:
            self._kept = gauges.read(self._desk.engine)
        except (SQLAlchemyError, errors.PilotageError) as error:
            logger.warning("metrics cannot be read now: %s", error)
            return False
        self._at = time.monotonic()
        return True


@contextmanager
def serving(desk: Desk, host: str, port: int | None) -> Iterator[None]:
    """Answer Prometheus while the block runs; not at all where there is no port.

    Raises:
        Failure: the port cannot be listened on.
    """
    if port is None:
        yield
        return
    registry = CollectorRegistry()
    registry.register(Gauges(desk))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise errors.Failure(
            f"{host}:{port} cannot be listened on for metrics: {error}.",
            remedy="Name another port with `--metrics-port`.",
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
