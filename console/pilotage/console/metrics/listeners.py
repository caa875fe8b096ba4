"""Where Prometheus asks: `GET /metrics` on a port of its own, on loopback unless the settings say otherwise.

Not on the console's port: that is behind names, sessions and an ingress, and
takes no request for a pod's address. Who reaches this port is for the network to
say. It tells names of pilots, features and webhooks, and no secrets.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app

from pilotage.console.metrics.installations import Installation
from pilotage.console.operations.desks import Desk
from pilotage.console.supervision import ports
from pilotage.core import errors

logger = logging.getLogger(__name__)

PATH = "/metrics"
_SLOW_SECONDS = 10.0
"""After which a connection that sends nothing is closed."""


def registry(desk: Desk, app: FastAPI) -> CollectorRegistry:
    """All that one console tells: of its installation, of its requests, of its process."""
    found = CollectorRegistry(auto_describe=False)
    found.register(Installation(desk))
    found.register(app.state.requests)
    ProcessCollector(registry=found)
    return found


@contextmanager
def serving(desk: Desk, app: FastAPI) -> Iterator[str | None]:
    """Answer scrapes meanwhile; gives the address, or None where the settings name no port.

    Raises:
        Failure: the address cannot be listened on.
    """
    host, port = desk.settings.metrics_host, desk.settings.metrics_port
    if port == 0:
        yield None
        return
    try:
        server = make_server(host, port, _only(registry(desk, app)), _server_of(host), _Handler)
    except OSError as error:
        raise errors.Failure(
            f"{host}:{port} cannot be listened on for metrics: {error.strerror}.",
            remedy="Name another with PILOTAGE_METRICS_HOST and PILOTAGE_METRICS_PORT; port 0 is for none.",
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    address = f"http://{ports.written(host)}:{port}{PATH}"
    logger.info("metrics are at %s", address)
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _only(found: CollectorRegistry) -> Any:
    """The WSGI application: one path, and nothing else."""
    metrics = make_wsgi_app(found)

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start_response("405 Method Not Allowed", [("Allow", "GET"), ("Content-Length", "0")])
            return [b""]
        if environ["PATH_INFO"] != PATH:
            start_response("404 Not Found", [("Content-Length", "0")])
            return [b""]
        found_body: Iterable[bytes] = metrics(environ, start_response)
        return found_body

    return answer


class _Handler(WSGIRequestHandler):
    timeout = _SLOW_SECONDS

    def log_message(self, *message: Any) -> None:
        logger.debug(*message)


def _server_of(host: str) -> type[ThreadingWSGIServer]:
    import socket

    class Server(ThreadingWSGIServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    return Server
