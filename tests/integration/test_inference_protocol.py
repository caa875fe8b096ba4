"""The Open Inference Protocol against a real server process, spoken by a client that is not ours."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc.aio
import tritonclient.http
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.unit.serving import small_models
from tritonclient.utils import InferenceServerException

from pilotage.core import features, settings
from pilotage.core.models import Prediction
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings

SCRIPT = """
import json, logging, sys
from pathlib import Path
from pilotage.core import pilots, settings
from pilotage.serving import limits, servers
logging.basicConfig(level=logging.INFO)
folder, told, bounds = sys.argv[1:]
found = {}
def ready(url):
    found["url"] = url
    Path(told + ".draft").write_text(json.dumps(found))
    Path(told + ".draft").rename(told)
servers.run(
    pilots.load(Path(folder)),
    settings.load(),
    port=0,
    grpc_port=0,
    on_grpc=lambda address: found.update(grpc=address),
    on_ready=ready,
    limits=limits.Limits(**json.loads(bounds)),
)
"""
ROWS = small_models.rows(40)
KINDS = {"distance": "FP64", "carrier": "BYTES", "holiday": "BOOL", "bought": "BYTES", "flight": "BYTES"}
DTYPES = {"FP64": np.float64, "BOOL": np.bool_, "BYTES": np.object_}


@dataclass
class Server:
    """A server process and where it is reached."""

    process: subprocess.Popen[bytes]
    url: str
    grpc: str
    log: Path

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


Start = Callable[..., Server]


def wait_for(claim: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with two versions, the first of which is champion."""
    found = settings.load(home=tmp_path_factory.mktemp("installation") / "home")
    for seed in (1, 2):
        small_models.register(found, small_models.predictor(seed=seed))
    Registry(found).promote(small_models.NAME, 1)
    return found


def begin(folder: Path, home: Path, bounds: dict[str, Any], variables: dict[str, str]) -> Server:
    small_models.pilot(folder / "pilot")
    told, log = folder / "told", folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(folder / "pilot"), str(told), json.dumps(bounds)],
            env={**os.environ, "PILOTAGE_HOME": str(home), "PILOTAGE_POLL_SECONDS": "0.1", **variables},
            stdout=stream,
            stderr=stream,
        )
    wait_for(lambda: told.exists() or process.poll() is not None)
    assert told.exists(), log.read_text()
    return Server(process, log=log, **json.loads(told.read_text()))


@pytest.fixture(scope="module")
def server(installation: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = begin(tmp_path_factory.mktemp("server"), installation.home, {"rows": 100}, {})
    yield started
    assert started.stop() == 0
    assert "Traceback" not in started.log.read_text()


@pytest.fixture
def start(installation: Settings, tmp_path: Path) -> Iterator[Start]:
    """Starts servers with limits and variables of their own, and ends those that the test left."""
    started: list[Server] = []

    def make(bounds: dict[str, Any] | None = None, *, home: Path | None = None, **variables: str) -> Server:
        folder = tmp_path / str(len(started))
        started.append(begin(folder, home or installation.home, bounds or {}, variables))
        return started[-1]

    yield make
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@pytest.fixture
def http_client(server: Server) -> Iterator[Any]:
    with tritonclient.http.InferenceServerClient(server.url.removeprefix("http://")) as client:
        yield client


@pytest.fixture
def grpc_client(server: Server) -> Iterator[Any]:
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        yield client


def tensors(kind: Any, rows: list[dict[str, Any]] = ROWS, **options: Any) -> list[Any]:
    """The rows as a client's inputs; `kind` is its class."""
    made = []
    for name, datatype in KINDS.items():
        values = [row[name] for row in rows]
        if datatype == "FP64":
            values = [np.nan if value is None else value for value in values]
        tensor = kind(name, [len(rows)], datatype)
        tensor.set_data_from_numpy(np.array(values, dtype=DTYPES[datatype]), **options)
        made.append(tensor)
    return made


def expected(rows: list[dict[str, Any]] = ROWS) -> Prediction:
    return small_models.predictor(seed=1).predict(features.from_rows(small_models.FEATURES, rows))


def check(result: Any, rows: list[dict[str, Any]] = ROWS) -> None:
    said = expected(rows)
    assert said.probabilities is not None
    np.testing.assert_array_equal(result.as_numpy("prediction"), said.predictions)
    np.testing.assert_allclose(result.as_numpy("probabilities"), said.probabilities, atol=1e-6)


COMPLETE = [row for row in ROWS if row["distance"] is not None]


@pytest.mark.parametrize("sent", [True, False], ids=["binary-in", "json-in"])
@pytest.mark.parametrize("answered", [True, False, None], ids=["binary-out", "json-out", "any-out"])
def test_http_answers_the_way_that_is_asked(http_client: Any, sent: bool, answered: bool | None) -> None:
    rows = ROWS if sent else COMPLETE  # the client writes NaN in JSON, which is none
    given = tensors(tritonclient.http.InferInput, rows, binary_data=sent)
    asked = [
        tritonclient.http.InferRequestedOutput(name, binary_data=answered)
        for name in ("probabilities", "prediction")
    ]
    result = http_client.infer("flights", given, outputs=None if answered is None else asked, request_id="q")
    check(result, rows)
    assert (result.get_response()["id"], result.get_response()["model_version"]) == ("q", "1")


def test_http_tells_what_there_is(http_client: Any) -> None:
    assert http_client.is_server_live()
    assert http_client.is_server_ready()
    assert http_client.is_model_ready("flights")
    assert http_client.is_model_ready("flights", "1")
    assert not http_client.is_model_ready("trains")
    assert not http_client.is_model_ready("flights", "9")
    assert "binary_tensor_data" in http_client.get_server_metadata()["extensions"]
    found = http_client.get_model_metadata("flights")
    assert [tensor["name"] for tensor in found["inputs"]] == list(KINDS)[:4]
    index = http_client.get_model_repository_index()
    assert {"name": "flights", "version": "1", "state": "READY", "reason": ""} in index


def test_http_names_the_tensor_that_is_wrong(http_client: Any) -> None:
    with pytest.raises(InferenceServerException, match="Feature `distance` is missing") as caught:
        http_client.infer("flights", tensors(tritonclient.http.InferInput)[1:])
    assert caught.value.status() == "422"
    with pytest.raises(InferenceServerException, match="9"):
        http_client.infer("flights", tensors(tritonclient.http.InferInput), "9")


def test_a_binary_answer_says_so(server: Server) -> None:
    body, length = tritonclient.http.InferenceServerClient.generate_request_body(
        tensors(tritonclient.http.InferInput)
    )
    head = {"Inference-Header-Content-Length": str(length)}
    for path in ("infer", "versions/1/infer"):
        answer = httpx.post(f"{server.url}/v2/models/flights/{path}", content=body, headers=head)
        assert answer.headers["content-type"] == "application/octet-stream"
        document = json.loads(answer.content[: int(answer.headers["inference-header-content-length"])])
        sizes = [output["parameters"]["binary_data_size"] for output in document["outputs"]]
        assert int(answer.headers["inference-header-content-length"]) + sum(sizes) == len(answer.content)


@pytest.mark.parametrize("length", [b"0", b"-1", b"x", b"999999999999999999999999", b"50", b"\xff"])
def test_a_hostile_header_is_refused_and_the_next_request_is_answered(
    server: Server, http_client: Any, length: bytes
) -> None:
    body, _ = tritonclient.http.InferenceServerClient.generate_request_body(
        tensors(tritonclient.http.InferInput)
    )
    answer = httpx.post(
        f"{server.url}/v2/models/flights/infer",
        content=body,
        headers={b"Inference-Header-Content-Length": length},
    )
    assert 400 <= answer.status_code < 500
    check(http_client.infer("flights", tensors(tritonclient.http.InferInput)))


def test_grpc_answers_as_the_model_does(grpc_client: Any) -> None:
    result = grpc_client.infer("flights", tensors(tritonclient.grpc.InferInput), request_id="q")
    check(result)
    assert (result.get_response().id, result.get_response().model_version) == ("q", "1")
    asked = [tritonclient.grpc.InferRequestedOutput("probabilities")]
    only = grpc_client.infer("flights", tensors(tritonclient.grpc.InferInput), "1", outputs=asked)
    assert [output.name for output in only.get_response().outputs] == ["probabilities"]


def test_grpc_tells_what_there_is(grpc_client: Any) -> None:
    assert grpc_client.is_server_live()
    assert grpc_client.is_server_ready()
    assert grpc_client.is_model_ready("flights")
    assert not grpc_client.is_model_ready("flights", "9")
    metadata = grpc_client.get_server_metadata()
    assert (metadata.name, list(metadata.extensions)) == ("pilotage", ["binary_tensor_data"])
    model = grpc_client.get_model_metadata("flights")
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in model.outputs] == [
        ("prediction", "BOOL", [-1]),
        ("probabilities", "FP64", [-1, 2]),
    ]
    index = grpc_client.get_model_repository_index()
    assert ("flights", "1", "READY") in [(model.name, model.version, model.state) for model in index.models]


@pytest.mark.parametrize(
    ("model", "version", "rows", "status"),
    [
        ("trains", "", 1, "StatusCode.NOT_FOUND"),
        ("flights", "9", 1, "StatusCode.NOT_FOUND"),
        ("flights", "", 0, "StatusCode.INVALID_ARGUMENT"),
        ("flights", "", 101, "StatusCode.INVALID_ARGUMENT"),
    ],
)
def test_grpc_refuses_by_status(grpc_client: Any, model: str, version: str, rows: int, status: str) -> None:
    with pytest.raises(InferenceServerException) as caught:
        grpc_client.infer(model, tensors(tritonclient.grpc.InferInput, small_models.rows(rows)), version)
    assert caught.value.status() == status


def call(server: Server, body: bytes, method: str = "ModelInfer", **options: Any) -> bytes:
    with grpc.insecure_channel(server.grpc) as channel:
        answer: bytes = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(body, **options)
        return answer


@pytest.mark.parametrize(
    "body", [b"\xff\xff", b"\x0a\x02\xc3\x28", b"", b"\x3a\xff\xff\xff\xff\x0f", b"\x00" * 1000]
)
def test_bytes_that_are_no_request_are_the_clients_error(
    server: Server, grpc_client: Any, body: bytes
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(server, body)
    assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    check(grpc_client.infer("flights", tensors(tritonclient.grpc.InferInput)))


def test_a_method_that_is_not_spoken_is_said_to_be_so(server: Server) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(server, b"", "ModelStreamInfer")
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_many_calls_at_once_are_answered_each_with_its_own_rows(server: Server) -> None:
    async def ask() -> list[Any]:
        turns = asyncio.Semaphore(8)
        async with tritonclient.grpc.aio.InferenceServerClient(server.grpc) as client:

            async def one(position: int) -> Any:
                given = tensors(tritonclient.grpc.InferInput, [ROWS[position % 40]])
                async with turns:
                    return await client.infer("flights", given, request_id=str(position))

            return await asyncio.gather(*(one(position) for position in range(120)))

    said = expected()
    for position, result in enumerate(asyncio.run(ask())):
        assert result.get_response().id == str(position)
        assert result.as_numpy("prediction")[0] == said.predictions[position % 40]


def test_health_is_told_to_probes(server: Server) -> None:
    with grpc.insecure_channel(server.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", "inference.GRPCInferenceService", "flights"):
            found = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
            assert found.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            health.Check(health_pb2.HealthCheckRequest(service="trains"), timeout=10)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        watch = health.Watch(health_pb2.HealthCheckRequest(service="trains"), timeout=10)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()


def test_calls_are_counted(server: Server, grpc_client: Any) -> None:
    grpc_client.infer("flights", tensors(tritonclient.grpc.InferInput))
    text = httpx.get(f"{server.url}/metrics").text
    assert "/inference.GRPCInferenceService/ModelInfer" in text


@pytest.mark.usefixtures("home")
def test_without_a_champion_nothing_is_ready(start: Start, tmp_path: Path) -> None:
    empty = start({"first_load_seconds": 0.1}, home=tmp_path / "empty")
    with tritonclient.grpc.InferenceServerClient(empty.grpc) as client:
        assert client.is_server_live()
        assert not client.is_server_ready()
        assert not client.is_model_ready("flights")
        (only,) = client.get_model_repository_index().models
        assert (only.name, only.state) == ("flights", "UNAVAILABLE")
        with pytest.raises(InferenceServerException) as caught:
            client.infer("flights", tensors(tritonclient.grpc.InferInput))
        assert caught.value.status() == "StatusCode.UNAVAILABLE"
    with grpc.insecure_channel(empty.grpc) as channel:
        found = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert found.status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_a_message_beyond_the_limit_is_refused_before_it_is_held(start: Start) -> None:
    small = start({"body_bytes": 20_000})
    with tritonclient.grpc.InferenceServerClient(small.grpc) as client:
        with pytest.raises(InferenceServerException) as caught:
            client.infer("flights", tensors(tritonclient.grpc.InferInput, small_models.rows(1000)))
        assert caught.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
        check(client.infer("flights", tensors(tritonclient.grpc.InferInput)))


def test_a_deadline_that_passes_is_told_by_its_status(server: Server) -> None:
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        with pytest.raises(InferenceServerException) as caught:
            client.infer("flights", tensors(tritonclient.grpc.InferInput), client_timeout=0.000_01)
        assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"
        check(client.infer("flights", tensors(tritonclient.grpc.InferInput), client_timeout=20))


def test_a_stop_answers_the_calls_that_came(start: Start) -> None:
    """Calls in progress over the stop end well, or are refused as not taken, which clients repeat."""
    ending = start()
    outcomes: list[str] = []

    def ask() -> None:
        with tritonclient.grpc.InferenceServerClient(ending.grpc) as client:
            while True:
                try:
                    check(client.infer("flights", tensors(tritonclient.grpc.InferInput)))
                    outcomes.append("answered")
                except InferenceServerException as error:
                    outcomes.append(str(error.status()))
                    return

    with ThreadPoolExecutor(4) as callers:
        for _ in range(4):
            callers.submit(ask)
        wait_for(lambda: len(outcomes) > 50)
        assert ending.stop() == 0
    assert set(outcomes) == {"answered", "StatusCode.UNAVAILABLE"}
    assert "Traceback" not in ending.log.read_text()


def test_two_servers_do_not_share_a_port_unasked(
    start: Start, installation: Settings, tmp_path: Path
) -> None:
    port = start().grpc.rpartition(":")[2]
    script = SCRIPT.replace("grpc_port=0", f"grpc_port={port}")
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "0" / "pilot"), str(tmp_path / "never"), "{}"],
        env={**os.environ, "PILOTAGE_HOME": str(installation.home)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert b"SettingsError" in done.stderr
    assert port.encode() in done.stderr
