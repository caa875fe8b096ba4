"""A real server process on loopback: every route, hostile inputs, swaps under load, and its end."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pyarrow.parquet as pq
import pytest
from tests.unit.serving import small_models

from pilotage.core import settings, window_files, windows
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.core.windows import Window

SCRIPT = """
import logging, sys
from pathlib import Path
from pilotage.core import pilots, settings
from pilotage.serving import limits, servers
logging.basicConfig(level=logging.INFO)
folder, url_file, body_bytes, rows = sys.argv[1:]
servers.run(
    pilots.load(Path(folder)),
    settings.load(),
    port=0,
    on_ready=Path(url_file).write_text,
    limits=limits.Limits(body_bytes=int(body_bytes), rows=int(rows)),
)
"""
ROWS = small_models.rows(6)


@dataclass
class Server:
    """A server process, and what it wrote."""

    process: subprocess.Popen[bytes]
    url: str
    settings: Settings
    log: Path
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=30)

    def predict(self, rows: list[dict[str, Any]] = ROWS) -> httpx.Response:
        return self.client.post("/predict", json={"rows": rows})

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.client.close()
        self.process.send_signal(number)
        return self.process.wait(30)

    def windows(self) -> list[Window]:
        storage = Storage(self.settings.storage)
        names = storage.names("windows/flights")
        return [
            window_files.decode(storage.read(name)).window()
            for name in names
            if name.endswith(windows.WINDOW_SUFFIX)
        ]

    def logged(self) -> list[str]:
        return self._column("/rows-", "id")

    def labels(self) -> list[str]:
        return self._column("/labels/", "id")

    def _column(self, part: str, column: str) -> list[str]:
        storage = Storage(self.settings.storage)
        names = [name for name in storage.names("windows/flights") if part in name]
        tables = [pq.read_table(io.BytesIO(storage.read(name))) for name in names]
        return [value for table in tables for value in table[column].to_pylist()]


def wait_for(claim: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def started_or_dead(url_file: Path, process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None or (url_file.exists() and url_file.read_text() != "")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with three versions; the first is champion, the last cannot be loaded."""
    home = tmp_path_factory.mktemp("template")
    found = settings.load(home=home)
    for seed in (1, 2, 3):
        small_models.register(found, small_models.predictor(seed=seed))
    registry = Registry(found)
    registry.promote(small_models.NAME, 1)
    (registry.folder(registry.version(small_models.NAME, 3)) / "model.skops").write_bytes(b"not a model")
    return home


@pytest.fixture
def installation(template: Path, home: Path) -> Settings:
    shutil.copytree(template, home)
    return settings.load(home=home)


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers, and ends those that the test left."""
    started: list[Server] = []

    def begin(
        installation: Settings, body_bytes: int = 2**24, rows: int = 10_000, **variables: str
    ) -> Server:
        small_models.pilot(tmp_path / "pilot")
        url_file = tmp_path / f"url-{len(started)}"
        log = tmp_path / f"log-{len(started)}"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    SCRIPT,
                    str(tmp_path / "pilot"),
                    str(url_file),
                    str(body_bytes),
                    str(rows),
                ],
                env={
                    **os.environ,
                    "PILOTAGE_HOME": str(installation.home),
                    "PILOTAGE_POLL_SECONDS": "0.1",
                    "PILOTAGE_FLUSH_SECONDS": "0.3",
                    **variables,
                },
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        wait_for(lambda: started_or_dead(url_file, process), 60)
        assert process.poll() is None, log.read_text()
        started.append(Server(process, url_file.read_text(), installation, log))
        return started[-1]

    yield begin
    for server in started:
        server.client.close()
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


@pytest.fixture(scope="module")
def shared(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests that change nothing."""
    folder = tmp_path_factory.mktemp("shared")
    shutil.copytree(template, folder / "home")
    small_models.pilot(folder / "pilot")
    found = settings.load(home=folder / "home")
    url_file, log = folder / "url", folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(folder / "pilot"), str(url_file), "200000", "50"],
            env={**os.environ, "PILOTAGE_HOME": str(found.home)},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    wait_for(lambda: started_or_dead(url_file, process), 60)
    assert process.poll() is None, log.read_text()
    server = Server(process, url_file.read_text(), found, log)
    yield server
    assert server.stop() == 0
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/health/live", {"status": "live"}, id="live"),
        pytest.param(
            "/health/ready",
            {
                "status": "ready",
                "versions": [{"model": "flights", "version": 1, "form": "trained", "champion": True}],
                "model": "flights",
                "version": 1,
            },
            id="ready",
        ),
        pytest.param("/v2/health/live", {"live": True}, id="v2-live"),
        pytest.param("/v2/health/ready", {"ready": True}, id="v2-ready"),
        pytest.param("/v2/models/flights/ready", {"name": "flights", "ready": True}, id="model-ready"),
        pytest.param(
            "/v2/models/flights/versions/1/ready", {"name": "flights", "ready": True}, id="version-ready"
        ),
    ],
)
def test_health_is_told_in_every_protocol(shared: Server, path: str, expected: dict[str, Any]) -> None:
    answer = shared.client.get(path)
    assert (answer.status_code, answer.json()) == (200, expected)


def test_metadata_describes_server_and_model(shared: Server) -> None:
    assert shared.client.get("/v2").json()["name"] == "pilotage"
    model = shared.client.get("/v2/models/flights").json()
    assert model == shared.client.get("/v2/models/flights/versions/1").json()
    assert model["versions"] == ["1"]
    assert [tensor["datatype"] for tensor in model["inputs"]] == ["FP64", "BYTES", "BOOL", "BYTES"]
    assert shared.client.get("/ping").text == shared.client.get("/health").text == "\n"
    assert shared.client.get("/version").text.startswith("3.")


def test_all_prediction_routes_agree(shared: Server) -> None:
    said = shared.predict().json()
    assert (said["version"], len(said["predictions"])) == (1, 6)
    invoked = shared.client.post("/invocations", json={"dataframe_records": ROWS})
    assert invoked.json() == {"predictions": said["predictions"]}
    kinds = {"distance": "FP64", "carrier": "BYTES", "holiday": "BOOL", "bought": "BYTES"}
    inputs = [
        {"name": name, "datatype": kind, "shape": [6], "data": [row[name] for row in ROWS]}
        for name, kind in kinds.items()
    ]
    for path in ("/v2/models/flights/infer", "/v2/models/flights/versions/1/infer"):
        outputs = shared.client.post(path, json={"inputs": inputs}).json()["outputs"]
        assert outputs[0]["data"] == said["predictions"]


def test_the_openapi_document_is_sound_and_complete(shared: Server) -> None:
    document = shared.client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    referred = set(json.dumps(document).split("#/components/schemas/")[1:])
    assert {text.split('"')[0] for text in referred} <= set(schemas)
    of_pilots = {"/predict", "/invocations", "/explain", "/labels"}
    assert of_pilots | {f"/models/{{name}}{path}" for path in of_pilots} <= set(document["paths"])
    assert {
        "/metrics",
        "/health/live",
        "/health/ready",
        "/health",
        "/ping",
        "/version",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/{name}",
        "/v2/models/{name}/ready",
        "/v2/models/{name}/infer",
        "/v2/models/{name}/versions/{version}",
        "/v2/models/{name}/versions/{version}/ready",
        "/v2/models/{name}/versions/{version}/infer",
    } <= set(document["paths"])
    operations = [item["operationId"] for path in document["paths"].values() for item in path.values()]
    assert len(set(operations)) == len(operations)
    validator = jsonschema.Draft202012Validator({"$ref": "#/components/schemas/Predictions", **document})
    validator.validate(shared.predict().json())


def test_the_page_for_people_loads_nothing(shared: Server) -> None:
    answer = shared.client.get("/docs")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    assert "/v2/models/{name}/infer" in answer.text


HOSTILE = [
    pytest.param("/predict", b"", {}, 400, id="empty"),
    pytest.param("/predict", b'{"rows": [', {}, 400, id="cut"),
    pytest.param("/predict", b"\xff\xfe\x00", {}, 400, id="bytes"),
    pytest.param("/predict", b'{"rows": [{"distance": NaN}]}', {}, 400, id="nan"),
    pytest.param("/predict", b'{"rows": [{"distance": -Infinity}]}', {}, 400, id="infinity"),
    pytest.param("/predict", b'{"rows":' + b"[" * 90_000, {}, 400, id="deep"),
    pytest.param("/predict", b'{"rows": 1}', {}, 422, id="no-list"),
    pytest.param("/predict", b'{"rows": [1]}', {}, 422, id="no-object"),
    pytest.param("/predict", b"null", {}, 422, id="null"),
    pytest.param("/predict", b"{}", {"content-type": "text/plain"}, 415, id="text"),
    pytest.param("/predict", b"{}", {"content-type": "application/octet-stream"}, 415, id="binary"),
    pytest.param("/predict", b" " * 200_001, {}, 413, id="large"),
    pytest.param("/predict", json.dumps({"rows": [{}] * 51}).encode(), {}, 413, id="rows"),
    pytest.param("/invocations", b"a,b\n1", {"content-type": "text/csv"}, 422, id="short-csv"),
    pytest.param("/invocations", b"\xff", {"content-type": "text/csv"}, 400, id="csv-bytes"),
    pytest.param("/v2/models/flights/infer", b"{}", {}, 422, id="no-tensors"),
    pytest.param("/v2/models/other/infer", b"{}", {}, 404, id="other-model"),
    pytest.param("/v2/models/flights/versions/2/infer", b"{}", {}, 404, id="other-version"),
    pytest.param("/v2/models/flights/versions/%00/infer", b"{}", {}, 404, id="no-version"),
    pytest.param("/labels", b'{"ids": ["a"]}', {}, 422, id="no-labels"),
    pytest.param("/labels", b'{"ids": ["a"], "labels": [null]}', {}, 422, id="null-label"),
    pytest.param("/labels", b'{"ids": ["../../x"], "labels": []}', {}, 422, id="uneven"),
    pytest.param("/explained", b"{}", {}, 404, id="no-route"),
    pytest.param("/health/live", b"{}", {}, 405, id="no-method"),
]


@pytest.mark.parametrize(("path", "body", "headers", "status"), HOSTILE)
def test_hostile_requests_end_in_a_problem_document(
    shared: Server, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = shared.client.post(path, content=body, headers={"content-type": "application/json", **headers})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:pilotage:problem:")
    assert problem["title"]
    assert problem["detail"]
    assert "Traceback" not in answer.text
    assert shared.predict().status_code == 200


def test_a_wrong_row_is_named_and_others_are_undisturbed(shared: Server) -> None:
    rows = [*ROWS[:3], {**ROWS[3], "distance": "far"}]
    answer = shared.predict(rows)
    assert answer.status_code == 422
    assert (answer.json()["row"], answer.json()["feature"]) == (3, "distance")
    assert "`distance` is 'far', expected a finite number or null" in answer.json()["detail"]


def test_a_body_that_grows_past_the_limit_is_cut_off(shared: Server) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(30):
            yield b" " * 10_000

    answer = shared.client.post("/predict", content=chunks(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_bytes_that_are_not_http_disturb_nothing(shared: Server) -> None:
    host, port = shared.url.removeprefix("http://").split(":")
    for nonsense in (
        b"\x00" * 100,
        b"GET / HTTP/9\r\n\r\n",
        b"POST /predict HTTP/1.1\r\ncontent-length: 9\r\n\r\n{",
    ):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(nonsense)
    assert shared.predict().status_code == 200


def test_metrics_count_by_route_and_keep_their_labels_bounded(shared: Server) -> None:
    for position in range(5):
        shared.client.get(f"/nothing/{position}")
    shared.client.request("BREW", "/health/live")
    text = shared.client.get("/metrics").text
    assert 'route="unmatched",status="404"' in text
    assert "/nothing" not in text
    assert "BREW" not in text
    assert 'pilotage_model_version{pilot="flights"} 1.0' in text
    assert "pilotage_requests_in_flight 1.0" in text


def serves(server: Server, version: int) -> bool:
    return bool(server.client.get("/health/ready").json()["version"] == version)


def longer_than(answers: list[Any], count: int) -> bool:
    return len(answers) > count


def test_a_swap_under_load_fails_no_request(start: Start, installation: Settings) -> None:
    server = start(installation)
    stop, answers, failures = threading.Event(), [], []

    def hammer(seed: int) -> None:
        rows = small_models.rows(2, seed)
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while not stop.is_set():
                try:
                    answer = client.post("/predict", json={"rows": rows})
                    answers.append((answer.status_code, answer.json().get("version")))
                except httpx.HTTPError as error:
                    failures.append(error)

    registry = Registry(installation)
    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(hammer, seed) for seed in range(4)]
        for version in (2, 1, 2):
            registry.promote(small_models.NAME, version)
            wait_for(partial(serves, server, version))
            wait_for(partial(longer_than, answers, len(answers) + 20))
        stop.set()
        for worker in workers:
            worker.result()
    assert failures == []
    assert {status for status, _ in answers} == {200}
    assert {version for _, version in answers} == {1, 2}
    assert server.stop() == 0
    counted = windows.merge(window for window in server.windows() if window.version == 2)
    assert counted.rows == 2 * sum(version == 2 for _, version in answers)


def test_a_champion_that_cannot_be_loaded_is_reported_and_the_old_one_stays(
    start: Start, installation: Settings
) -> None:
    server = start(installation)
    Registry(installation).promote(small_models.NAME, 3)
    wait_for(lambda: "pilotage_swap_failures_total 0.0" not in server.client.get("/metrics").text)
    ready = server.client.get("/health/ready")
    assert ready.status_code == 200
    assert (ready.json()["version"], ready.json()["warning"][:9]) == (1, "Version 3")
    assert str(installation.home) not in ready.text
    assert server.predict().json()["version"] == 1


def test_a_server_without_a_champion_waits_for_one(start: Start, home: Path, template: Path) -> None:
    empty = settings.load(home=home)
    server = start(empty)
    assert server.client.get("/health/live").status_code == 200
    for path in ("/health/ready", "/v2/health/ready", "/ping", "/v2/models/flights"):
        answer = server.client.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "no champion yet" in answer.json()["detail"]
    assert server.predict().status_code == 503
    early = server.client.post("/labels", json={"ids": ["early"], "labels": ["whatever"]}).json()
    assert (early["stored"], early["version"], early["unknown"]) == (1, None, 0)
    shutil.copytree(template, home, dirs_exist_ok=True)
    wait_for(lambda: server.client.get("/health/ready").status_code == 200)
    assert server.predict().json()["version"] == 1


def test_sigterm_answers_what_is_in_progress_and_writes_everything(
    start: Start, installation: Settings
) -> None:
    server = start(installation, PILOTAGE_FLUSH_SECONDS="600")
    server.predict()
    many = [{**row, "at": ROWS[0]["at"]} for row in small_models.rows(10_000, seed=9)]
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(
            httpx.post,
            f"{server.url}/predict",
            content=json.dumps({"rows": many}),
            timeout=60,
            headers={"content-type": "application/json"},
        )
        wait_for(lambda: "pilotage_requests_in_flight 2.0" in server.client.get("/metrics").text)
        assert server.stop() == 0
        assert late.result().status_code == 200
    assert windows.merge(server.windows()).rows == 10_006
    assert len(server.logged()) == 10_006


def test_sigkill_loses_at_most_the_last_flush_and_corrupts_nothing(
    start: Start, installation: Settings
) -> None:
    server = start(installation, PILOTAGE_FLUSH_SECONDS="0.3")
    sent = {"ids": ["a", "b", "c", "d"], "labels": [True, False, "ture", "ture"]}
    answer = server.client.post("/labels", json=sent).json()
    assert (answer["stored"], answer["version"], answer["unknown"]) == (4, 1, 2)
    assert answer["unknown_labels"] == [{"label": "ture", "rows": 2, "first": 2}]
    assert "tells `False`, `True`; the first is `ture` in row 2" in answer["detail"]
    for _ in range(20):
        server.predict()
    wait_for(lambda: server.windows() and windows.merge(server.windows()).rows == 120)
    stop = threading.Event()

    def hammer() -> None:
        with httpx.Client(base_url=server.url) as client:
            while not stop.is_set():
                try:
                    client.post("/predict", json={"rows": ROWS})
                except httpx.HTTPError:
                    return

    thread = threading.Thread(target=hammer)
    thread.start()
    time.sleep(0.7)
    server.stop(signal.SIGKILL)
    stop.set()
    thread.join()
    before = windows.merge(server.windows()).rows
    assert before >= 120
    assert len(server.logged()) >= 120
    assert sorted(server.labels()) == ["a", "b", "c", "d"]
    again = start(installation)
    assert again.predict().status_code == 200
    assert again.stop() == 0
    assert windows.merge(again.windows()).rows == before + 6


def test_labels_from_many_clients_are_all_kept_and_repeats_once(start: Start, installation: Settings) -> None:
    server = start(installation)
    batches = [{"ids": [f"{batch}-{row}" for row in range(10)], "labels": [1] * 10} for batch in range(20)]

    def send(batch: dict[str, Any]) -> int:
        return httpx.post(f"{server.url}/labels", json=batch, timeout=30).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, batches * 2)) == {200}
    assert len(server.labels()) == 200


def test_health_answers_while_a_large_request_is_predicted(start: Start, installation: Settings) -> None:
    server = start(installation)
    many = json.dumps({"rows": ROWS[:1] * 10_000}).encode()
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(
            httpx.post,
            f"{server.url}/predict",
            content=many,
            timeout=60,
            headers={"content-type": "application/json"},
        )
        while not late.done():
            assert server.client.get("/health/live", timeout=5).status_code == 200
        assert late.result().status_code == 200


def test_a_port_that_is_taken_is_said_in_words(installation: Settings, tmp_path: Path) -> None:
    from pilotage.core import errors
    from pilotage.serving import servers

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(errors.SettingsError, match=f"127.0.0.1 port {port}: Address already in use"):
            servers.run(small_models.pilot(tmp_path / "pilot"), installation, port=port)
