"""Real server processes tell what they do: numbers of all of them, lines, traces, statistics."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.serving import small_models

from pilotage.core import settings
from pilotage.core.registry import Registry
from pilotage.serving.web import schemas

SCRIPT = """
import logging, sys
from pathlib import Path
from pilotage.core import pilots, settings
from pilotage.serving import servers
logging.basicConfig(level=logging.INFO)
if __name__ == "__main__":
    folder, url_file, workers = sys.argv[1:]
    servers.run(
        pilots.load(Path(folder)),
        settings.load(),
        port=0,
        workers=int(workers),
        on_ready=Path(url_file).write_text,
    )
"""
TRACE = "0af7651916cd43dd8448eb211c80319c"
Start = Callable[..., tuple[str, subprocess.Popen[bytes]]]


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.fixture
def start(tmp_path: Path, home: Path) -> Iterator[Start]:
    """Starts a server of one version; gives its URL and process."""
    found = settings.load(home=home)
    small_models.register(found, small_models.predictor(seed=1))
    Registry(found).promote(small_models.NAME, 1)
    small_models.pilot(tmp_path / "pilot")
    started: list[subprocess.Popen[bytes]] = []

    def begin(workers: int = 1, **variables: str) -> tuple[str, subprocess.Popen[bytes]]:
        url_file, log = tmp_path / "url", tmp_path / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, str(tmp_path / "pilot"), str(url_file), str(workers)],
                env={**os.environ, "PILOTAGE_HOME": str(home), **variables},
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        wait_for(lambda: process.poll() is not None or (url_file.exists() and url_file.read_text() != ""))
        assert process.poll() is None, log.read_text()
        return url_file.read_text(), process

    yield begin
    for process in started:
        process.terminate()
        process.wait(30)


def numbers(url: str) -> dict[tuple[str, str], float]:
    """Samples by name and labels; on a connection of its own, so that any worker may answer."""
    answer = httpx.get(f"{url}/metrics", timeout=30)
    return {
        (sample.name, json.dumps(sample.labels, sort_keys=True)): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def total(url: str, name: str) -> float:
    return sum(value for (found, _), value in numbers(url).items() if found == name)


def predict(url: str, rows: int = 2, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.post(f"{url}/predict", json={"rows": small_models.rows(rows)}, headers=headers, timeout=30)


def test_a_server_tells_what_it_did(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "access.jsonl"
    url, process = start(PILOTAGE_ACCESS_LOG="all", PILOTAGE_ACCESS_LOG_FILE=str(log))
    kept = predict(url, headers={"x-request-id": "mine-1"})
    assert (kept.status_code, kept.headers["x-request-id"]) == (200, "mine-1")
    assert "traceparent" not in kept.headers
    made = predict(url, headers={"x-request-id": "not mine"}).headers["x-request-id"]
    assert " " not in made
    assert httpx.post(f"{url}/predict", content=b"{", headers={"content-type": "application/json"}).is_error
    for number in range(20):
        httpx.get(f"{url}/nothing/{number}?token=secret")

    found = numbers(url)
    route = '"method": "POST", "route": "/predict", "status"'
    assert found["pilotage_requests_total", f'{{{route}: "200"}}'] == 2
    assert found["pilotage_requests_total", f'{{{route}: "400"}}'] == 1
    assert found["pilotage_rows_total", "{}"] == 4
    assert found["pilotage_version_rows_total", '{"pilot": "flights", "version": "1"}'] == 4
    wait_for(lambda: total(url, "pilotage_version_scores_total") == 4)
    assert found["pilotage_model_version", '{"pilot": "flights"}'] == 1
    assert found["pilotage_ready", "{}"] == 1
    of_pilot = '{"pilot": "flights"}'
    assert found["pilotage_pilot_requests_total", of_pilot] == 3
    assert found["pilotage_pilot_errors_total", of_pilot] == 0
    assert 0 < time.time() - found["pilotage_model_loaded_timestamp_seconds", of_pilot] < 120
    assert (found["pilotage_registry_outage", "{}"], found["pilotage_failing_loads", "{}"]) == (0, 0)
    assert found["pilotage_workers", "{}"] == 1
    assert total(url, "pilotage_batches_total") == 2
    assert not [labels for _, labels in found if "/nothing" in labels]

    process.terminate()
    assert process.wait(30) == 0
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    by_id = {line["request_id"]: line for line in lines}
    assert {by_id[one]["rows"] for one in ("mine-1", made)} == {2}
    assert by_id["mine-1"]["version"] == 1
    assert sum(line["path"].startswith("/nothing/") for line in lines) == 20
    assert "secret" not in log.read_text()


def test_statistics_are_those_that_the_documentation_describes(start: Start) -> None:
    url, _ = start()
    predict(url, 3)
    predict(url, 1)
    for path in ("/v2/models/stats", "/v2/models/flights/stats", "/v2/models/flights/versions/1/stats"):
        document = httpx.get(url + path).raise_for_status().json()
        (found,) = schemas.Statistics.model_validate(document).model_stats
        assert (found.name, found.version, found.inference_count, found.execution_count) == (
            "flights", "1", 4, 2,
        )  # fmt: skip
        assert found.inference_stats.success.count == 2
        assert found.inference_stats.compute_infer.ns > 0
        assert {one.batch_size: one.compute_infer.count for one in found.batch_stats} == {1: 1, 4: 1}
        assert abs(found.last_inference / 1000 - time.time()) < 60
    for path in ("/v2/models/other/stats", "/v2/models/flights/versions/9/stats"):
        assert httpx.get(url + path).status_code == 404
    assert "/v2/models/{name}/stats" in httpx.get(f"{url}/openapi.json").json()["paths"]


def test_an_independent_client_reads_the_statistics(start: Start) -> None:
    import tritonclient.http as client

    url, _ = start()
    predict(url, 3)
    with client.InferenceServerClient(url.removeprefix("http://")) as asking:
        (found,) = asking.get_inference_statistics("flights")["model_stats"]
    assert (found["inference_count"], found["inference_stats"]["success"]["count"]) == (3, 1)


class _Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def test_a_traced_request_is_seen_by_its_collector(start: Start) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Collector) as collector:
        collector.bodies = []  # type: ignore[attr-defined]
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{collector.server_port}"
        url, process = start(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, PILOTAGE_TRACES_RATIO="0")
        assert "traceparent" not in predict(url).headers
        answer = predict(url, headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
        assert answer.headers["traceparent"].startswith(f"00-{TRACE}-")
        process.terminate()
        assert process.wait(30) == 0
        collector.shutdown()
        bodies: list[bytes] = collector.bodies  # type: ignore[attr-defined]
    spans: list[Any] = [
        span
        for body in bodies
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert sorted(span.name for span in spans) == ["POST /predict", "model", "queue", "read"]
    (whole,) = [span for span in spans if span.name.startswith("POST")]
    assert whole.span_id.hex() in answer.headers["traceparent"]
    told = {one.key: one.value for one in whole.attributes}
    assert (told["pilotage.rows"].int_value, told["http.response.status_code"].int_value) == (2, 200)
    assert {span.parent_span_id for span in spans if span is not whole} == {whole.span_id}


@pytest.mark.usefixtures("uncovered")
def test_several_processes_tell_one_set_of_numbers_though_one_is_killed(start: Start) -> None:
    url, process = start(workers=2)
    wait_for(lambda: total(url, "pilotage_workers") == 2)
    told = 0.0
    sent = 0
    for _ in range(40):
        assert predict(url, 5).status_code == 200
        sent += 5
        now = total(url, "pilotage_rows_total")
        assert told <= now <= sent
        told = now
    wait_for(lambda: total(url, "pilotage_rows_total") == sent)  # each process writes every second
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    wait_for(lambda: total(url, "pilotage_workers") == 2)
    assert total(url, "pilotage_rows_total") == sent
    for _ in range(10):
        predict(url, 5)
    wait_for(lambda: total(url, "pilotage_rows_total") == sent + 50)
    (found,) = httpx.get(f"{url}/v2/models/flights/stats").json()["model_stats"]
    assert found["inference_count"] == sent + 50
