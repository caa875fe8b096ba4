"""The port of metrics answers scrapes and nothing else, and is there only when it is asked for."""

from __future__ import annotations

import socket

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.console.desks import actor, client

from pilotage.console import applications
from pilotage.console.metrics import listeners
from pilotage.console.metrics.requests import Requests
from pilotage.console.operations.desks import Desk
from pilotage.core import errors, settings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_no_port_is_opened_unless_the_settings_name_one(desk: Desk) -> None:
    app = applications.create(desk, lambda request: actor())
    with listeners.serving(desk, app) as address:
        assert address is None


def test_a_scrape_is_answered_and_nothing_else(desk: Desk) -> None:
    there = Desk(settings.load(home=desk.settings.home, metrics_port=free_port()))
    app = applications.create(there, lambda request: actor())
    app.state.requests.note("GET", "/", 200, 0.02)
    with listeners.serving(there, app) as address:
        assert address is not None
        answer = httpx.get(address, timeout=30)
        assert answer.headers["content-type"].startswith("text/plain; version=")
        names = {family.name for family in text_string_to_metric_families(answer.text)}
        assert {"pilotage_database_up", "pilotage_console_requests", "process_resident_memory_bytes"} <= names
        base = address.removesuffix(listeners.PATH)
        assert httpx.get(base + "/").status_code == 404
        assert httpx.get(base + "/api/v1/pilots").status_code == 404
        assert httpx.post(address, content=b"{}").status_code == 405
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


def test_a_port_that_is_taken_is_said(desk: Desk) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        there = Desk(settings.load(home=desk.settings.home, metrics_port=taken.getsockname()[1]))
        app = applications.create(there, lambda request: actor())
        with (
            pytest.raises(errors.Failure, match="cannot be listened on for metrics"),
            listeners.serving(there, app),
        ):
            pass


def test_requests_are_counted_by_route_never_by_path(desk: Desk) -> None:
    browser = client(desk)
    for number in range(5):
        browser.get(f"/api/v1/pilots/nobody-{number}")
        browser.get(f"/nothing/{number}")
    browser.get("/api/v1/pilots", headers={"host": "evil.example"})
    found: Requests = browser.app.state.requests  # type: ignore[attr-defined]
    samples = {
        (sample.name, sample.labels.get("route"), sample.labels.get("status")): sample.value
        for family in found.collect()
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }
    assert samples["pilotage_console_requests_total", "/api/v1/pilots/{pilot}", "404"] == 5
    assert samples["pilotage_console_requests_total", "unmatched", "404"] == 5
    assert samples["pilotage_console_request_duration_seconds_count", "unmatched", None] >= 5
    assert sum(number for (name, *_), number in samples.items() if name.endswith("requests_total")) == 11
