"""The access log has a line for what it should, tells no secret, loses nothing silently and never waits."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pilotage.core import errors, settings
from pilotage.core.settings import AccessLogPolicy
from pilotage.serving.telemetry import accesses
from pilotage.serving.telemetry.accesses import AccessLog, request_id


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "access.jsonl"


def wait_for(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_line_says_who_asked_what_and_how_it_went(path: Path) -> None:
    log = AccessLog(AccessLogPolicy.ALL, path)
    log.note("POST", "/predict", 200, 0.0123456, b"abc-1", rows=3, version=7, principal="desk", trace="t1")
    log.note("GET", "/nothing", 404, 0.001, "abc-2")
    log.close()
    first, second = lines(path)
    assert datetime.fromisoformat(first.pop("time")).tzinfo is not None
    assert first == {
        "method": "POST",
        "path": "/predict",
        "status": 200,
        "ms": 12.346,
        "request_id": "abc-1",
        "rows": 3,
        "version": 7,
        "principal": "desk",
        "trace": "t1",
    }
    assert set(second) == {"time", "method", "path", "status", "ms", "request_id"}


def test_only_failures_have_lines_when_only_those_are_asked_for(path: Path) -> None:
    log = AccessLog(AccessLogPolicy.ERRORS, path)
    for status in (200, 302, 399, 400, 503):
        log.note("POST", "/predict", status, 0.001, b"1")
    log.close()
    assert [line["status"] for line in lines(path)] == [400, 503]


def test_what_is_hostile_stays_one_line_without_its_secrets(path: Path) -> None:
    log = AccessLog(AccessLogPolicy.ALL, path)
    log.note("GET", "/a?token=secret", 200, 0.001, b"1")
    log.note("GET", '/x"\n{"status": 200}\r\n\x00', 404, 0.001, b"2")
    log.note("BREW" * 1000, "/" + "a" * 100_000, 404, 0.001, b"3")
    log.note("GET", "/\udcff", 404, 0.001, b"\xff")
    log.close()
    assert "secret" not in path.read_text()
    assert len(lines(path)) == 4
    assert path.stat().st_size < 2000


def test_more_than_can_wait_is_dropped_counted_and_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accesses, "MOST_WAITING", 10)
    monkeypatch.setattr(accesses, "WRITE_SECONDS", 60)
    counted: list[int] = []
    log = AccessLog(AccessLogPolicy.ALL, path, counted.append)
    for _ in range(25):
        log.note("GET", "/", 200, 0.001, b"1")
    log.close()
    *written, told = lines(path)
    assert len(written) == 10
    assert told == {"dropped": 15}
    assert log.dropped == sum(counted) == 15


def test_a_sink_that_blocks_holds_neither_requests_nor_the_stop(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked, free = threading.Event(), threading.Event()

    def write(handle: int, data: bytes) -> None:
        blocked.set()
        free.wait(120)

    monkeypatch.setattr(accesses, "_write_all", write)
    monkeypatch.setattr(accesses, "CLOSE_SECONDS", 0.2)
    monkeypatch.setattr(accesses, "MOST_WAITING", 1000)
    log = AccessLog(AccessLogPolicy.ALL, path)
    log.note("GET", "/", 200, 0.001, b"1")
    assert blocked.wait(10)
    started = time.perf_counter()
    for _ in range(5000):
        log.note("GET", "/", 200, 0.001, b"1")
    log.close()
    assert time.perf_counter() - started < 60, "the sink blocks for two minutes"
    assert log.dropped == 4000
    free.set()
    log._thread.join(10)


def test_a_full_disk_is_counted_and_later_lines_are_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failed = accesses._write_all, threading.Event()

    def full(handle: int, data: bytes) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError(28, "No space left on device")
        real(handle, data)

    monkeypatch.setattr(accesses, "_write_all", full)
    log = AccessLog(AccessLogPolicy.ALL, path)
    log.note("GET", "/lost", 200, 0.001, b"1")
    assert failed.wait(10)
    log.note("GET", "/kept", 200, 0.001, b"2")
    log.close()
    written = lines(path)
    assert [line.get("path") for line in written] == ["/kept", None]
    assert written[-1] == {"dropped": 1}


def test_a_file_that_was_moved_away_is_begun_again(path: Path) -> None:
    log = AccessLog(AccessLogPolicy.ALL, path)
    log.note("GET", "/before", 200, 0.001, b"1")
    wait_for(lambda: path.stat().st_size > 0)
    path.rename(path.with_suffix(".1"))
    log.note("GET", "/after", 200, 0.001, b"2")
    log.close()
    assert [line["path"] for line in lines(path)] == ["/after"]
    assert [line["path"] for line in lines(path.with_suffix(".1"))] == ["/before"]


def test_two_logs_of_one_file_keep_lines_whole(path: Path) -> None:
    logs = [AccessLog(AccessLogPolicy.ALL, path) for _ in range(2)]

    def work(log: AccessLog) -> None:
        for number in range(2000):
            log.note("GET", f"/{number}", 200, 0.001, request_id(None))
        log.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, logs))
    written = lines(path)
    assert len(written) == 4000
    assert len({line["request_id"] for line in written}) == 4000


def test_a_place_that_cannot_be_written_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.SettingsError, match="PILOTAGE_ACCESS_LOG_FILE"):
        AccessLog(AccessLogPolicy.ALL, tmp_path / "file" / "access.jsonl")


def test_a_file_is_looked_at_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    wrong = tmp_path / "file" / "access.jsonl"
    accesses.check(settings.load(access_log="off", access_log_file=wrong))
    accesses.check(settings.load())
    with pytest.raises(errors.SettingsError, match="PILOTAGE_ACCESS_LOG_FILE"):
        accesses.check(settings.load(access_log_file=wrong))


def test_the_log_is_off_when_the_settings_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTAGE_ACCESS_LOG", "off")
    assert accesses.access_log(settings.load()) is None


def test_standard_error_is_where_lines_go_without_a_file(capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog(AccessLogPolicy.ERRORS)
    log.note("GET", "/", 500, 0.001, b"1")
    log.close()
    assert json.loads(capfd.readouterr().err)["status"] == 500


@pytest.mark.parametrize("given", [b"a", b"f81d4fae-7dec-11d0-a765-00a0c91e6bf6", b"!" * 128, b'~{}"\\'])
def test_an_id_that_can_be_kept_is_kept(given: bytes) -> None:
    assert request_id(given) == given


@pytest.mark.parametrize(
    "given",
    [None, b"", b"!" * 129, b"two words", b"a\nb", b"a\r\nset-cookie: x", b"\x00", b"\xc3\xa9", b"a\n"],
)
def test_an_id_that_cannot_be_kept_is_replaced_by_a_new_one(given: bytes | None) -> None:
    made = {request_id(given) for _ in range(100)}
    assert len(made) == 100
    assert all(request_id(one) == one for one in made)
