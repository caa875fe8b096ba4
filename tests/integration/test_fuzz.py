"""Whatever is sent to whichever route: no 5xx, no traceback, and the next valid request is right."""

from __future__ import annotations

import http.client
import json
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.test_connections import serving
from tests.unit.serving import small_models

from pilotage.core import settings
from pilotage.core.registry import Registry
from pilotage.serving.limits import Limits

ROWS = small_models.rows(3)
KINDS = {"distance": "FP64", "carrier": "BYTES", "holiday": "BOOL", "bought": "BYTES"}
TENSORS = {
    "id": "q",
    "inputs": [
        {"name": name, "datatype": kind, "shape": [3], "data": [row[name] for row in ROWS]}
        for name, kind in KINDS.items()
    ],
    "outputs": [{"name": "prediction"}],
}
COLUMNS = {name: [row[name] for row in ROWS] for name in KINDS}
SPLIT = {"columns": list(KINDS), "index": [0, 1, 2], "data": [[row[name] for name in KINDS] for row in ROWS]}


def binary() -> tuple[bytes, int]:
    """A request in the binary tensor extension, and the length of its JSON."""
    texts = {
        name: b"".join(struct.pack("<I", len(row[name])) + row[name].encode() for row in ROWS)
        for name in ("carrier", "bought")
    }
    raw = {
        "distance": struct.pack("<3d", *(row["distance"] or 0 for row in ROWS)),
        "holiday": bytes(row["holiday"] for row in ROWS),
        **texts,
    }
    inputs = [
        {
            "name": name,
            "datatype": kind,
            "shape": [3],
            "parameters": {"binary_data_size": len(raw[name])},
        }
        for name, kind in KINDS.items()
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return head + b"".join(raw[name] for name in KINDS), len(head)


BINARY, HEADER_LENGTH = binary()
VALID: list[tuple[str, dict[str, str], bytes]] = [
    ("/predict", {}, json.dumps({"rows": ROWS, "ids": ["a", 1, None]}).encode()),
    ("/models/flights/predict", {}, json.dumps({"rows": ROWS}).encode()),
    ("/invocations", {}, json.dumps({"dataframe_records": ROWS}).encode()),
    ("/invocations", {}, json.dumps({"dataframe_split": SPLIT, "params": {}}).encode()),
    (
        "/invocations",
        {},
        json.dumps({"inputs": COLUMNS}).encode(),
    ),
    ("/invocations", {"content-type": "text/csv"}, b"distance,carrier,holiday,bought\n1,AA,true,\n,,,\n"),
    ("/v2/models/flights/infer", {}, json.dumps(TENSORS).encode()),
    ("/v2/models/flights/versions/1/infer", {}, json.dumps(TENSORS).encode()),
    (
        "/v2/models/flights/infer",
        {"content-type": "application/octet-stream", "inference-header-content-length": str(HEADER_LENGTH)},
        BINARY,
    ),
    ("/labels", {}, json.dumps({"ids": ["a"], "labels": [True]}).encode()),
]
TOKENS = [b"-", b"1e308", b"null", b'"', b"{", b"\x00", b"9" * 40]
TYPES = ["", "text/csv", "application/x+json", "a/b; charset=x"]
LENGTHS = ["-1", "0", "x", "99999999999", "7"]
HOSTILE: list[bytes] = [
    b"",
    b"null",
    b"[]",
    b'"',
    b"{" * 50_000,
    b"[" * 50_000,
    b'{"rows":' * 20_000,
    b"\xff\xfe\x00",
    b"\xef\xbb\xbf{}",
    b'{"rows": [{"distance": 1e999}]}',
    b'{"rows": [{"distance": ' + b"9" * 5000 + b"}]}",
    b'{"rows": [{"carrier": "\\ud800"}]}',
    b'{"rows": [{"carrier": "\xc3\x28"}]}',
    b'{"rows": {"__proto__": 1}}',
    b'{"inputs": [{"name": "distance", "datatype": "FP64", "shape": [9223372036854775807], "data": []}]}',
    b'{"inputs": [{"name": "distance", "datatype": "FP64", "shape": [-1], "data": [1]}]}',
    b'{"inputs": [{"name": "distance", "datatype": "FP64", "shape": [3, 3], "data": [[1]]}]}',
    b'{"inputs": [{"name": "distance", "datatype": "INT8", "shape": [1], "data": [1000]}]}',
    b'{"inputs": [{"name": "carrier", "datatype": "BYTES", "shape": [1],'
    b' "parameters": {"binary_data_size": 99999999999}}]}',
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    found = settings.load(home=tmp_path_factory.mktemp("home"))
    small_models.register(found, small_models.predictor())
    Registry(found).promote(small_models.NAME, 1)
    pilot = small_models.pilot(tmp_path_factory.mktemp("pilot"))
    with serving([pilot], found, Limits(body_bytes=300_000, rows=200)) as (port, _):
        yield f"http://127.0.0.1:{port}"


def assert_right(client: httpx.Client) -> None:
    """A valid request of each kind is answered as it should be."""
    for path, headers, body in VALID:
        answer = client.post(path, content=body, headers={"content-type": "application/json", **headers})
        assert answer.status_code == 200, (path, answer.text)
    predictions = [
        client.post(path, content=body, headers={"content-type": "application/json"}).json()["predictions"]
        for path, _, body in (VALID[0], VALID[2], VALID[3], VALID[4])
    ]
    assert predictions[1:] == predictions[:1] * 3


def mutated(body: bytes, chance: random.Random) -> bytes:
    """The body cut, with bytes changed, put in twice or taken out."""
    found = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(found) + 1)
        match chance.randrange(5):
            case 0:
                del found[place:]
            case 1:
                found[place:place] = bytes([chance.randrange(256)])
            case 2:
                del found[place : place + chance.randint(1, 20)]
            case 3:
                found[place:place] = found[max(0, place - 30) : place]
            case _:
                found[place : place + 1] = chance.choice(
                    [b"-", b"1e308", b"null", b'"', b"{", b"\x00", b"9" * 40]
                )
        if not found:
            break
    return bytes(found)


def test_no_mutation_of_a_valid_request_breaks_the_server(url: str, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(7)
    with httpx.Client(base_url=url, timeout=30) as client:
        assert_right(client)
        for _ in range(120):
            for path, headers, body in VALID:
                sent = {"content-type": "application/json", **headers}
                if chance.random() < 0.05:
                    sent["content-type"] = chance.choice(
                        ["", "text/csv", "application/x+json", "a/b; charset=x"]
                    )
                if "inference-header-content-length" in sent and chance.random() < 0.3:
                    sent["inference-header-content-length"] = chance.choice(
                        ["-1", "0", "x", "99999999999", "7"]
                    )
                answer = client.post(path, content=mutated(body, chance), headers=sent)
                assert answer.status_code < 500, (path, answer.text)
        assert_right(client)
    assert "Traceback" not in caplog.text


def test_hostile_bodies_end_in_refusals(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with httpx.Client(base_url=url, timeout=30) as client:
        for path in {"/explain", *(path for path, _, _ in VALID)}:
            for kind in ("application/json", "text/csv", "application/octet-stream", ""):
                for body in HOSTILE:
                    answer = client.post(path, content=body, headers={"content-type": kind})
                    assert 400 <= answer.status_code < 500, (path, kind, body[:80], answer.text)
                    document: dict[str, Any] = answer.json()
                    assert document["status"] == answer.status_code
        assert_right(client)
    assert "Traceback" not in caplog.text


def test_a_body_that_ends_too_early_disturbs_nobody(url: str) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    for path, headers, body in VALID:
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        connection.putrequest("POST", path)
        for name, value in {"content-type": "application/json", **headers}.items():
            connection.putheader(name, value)
        connection.putheader("content-length", str(len(body)))
        connection.endheaders()
        connection.send(body[: len(body) // 2])
        connection.close()
    with httpx.Client(base_url=url, timeout=30) as client:
        assert_right(client)


@pytest.mark.slow
def test_schemathesis_finds_nothing(url: str, tmp_path: Path) -> None:
    """Every operation of the API's own description, with data within it and beside it."""
    result = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            f"{url}/openapi.json",
            "--phases=coverage,fuzzing",
            "--max-examples=15",
            "--max-time=40",
            "--seed=1",
            "--continue-on-failure",
            "--warnings=off",
            "--checks=not_a_server_error,status_code_conformance,content_type_conformance,"
            "response_schema_conformance,unsupported_method",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=200,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:]
    assert "No issues found" in result.stdout
    with httpx.Client(base_url=url, timeout=30) as client:
        assert_right(client)
