"""Several processes tell one set of numbers, which never goes back, whoever dies and whoever is asked."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pilotage.core import storage
from pilotage.serving.telemetry import readings, sharing
from pilotage.serving.telemetry.meters import Across, Meters
from pilotage.serving.telemetry.readings import Loaded, Reading
from pilotage.serving.telemetry.sharing import Share


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Meters]:
    def begin(worker: str) -> Meters:
        return Meters({"flights": 0.1}, Share(tmp_path / "run", worker))

    return begin


Make = Callable[[str], Meters]


def predicted(meters: Meters) -> int:
    return meters.total().counts["pilotage_rows"]


def test_whoever_is_asked_tells_the_sum(make: Make) -> None:
    one, two = make("0"), make("1")
    one.rows.inc(3)
    two.rows.inc(4)
    one.route("/predict", "POST").observe(200, 0.1)
    two.route("/predict", "POST").observe(200, 0.1)
    two.share.publish()  # type: ignore[union-attr]
    assert predicted(one) == 7
    assert predicted(two) == 7
    (route,) = two.total().routes
    assert route.statuses == {200: 2}
    assert one.total().processes == 2
    one.close()
    two.close()


def test_who_is_asked_next_never_tells_less(make: Make) -> None:
    one, two = make("0"), make("1")
    told = 0
    for number in range(60):
        (one, two)[number % 3 == 0].rows.inc(5)
        now = predicted((one, two)[number % 2])
        assert now >= told
        told = now
    one.close()
    two.close()


def test_counters_stay_when_a_process_ends_and_another_takes_its_name(make: Make) -> None:
    one, two = make("0"), make("1")
    one.rows.inc(3)
    one.watch(lambda: [Loaded("flights", 1, "onnx")])
    one.gauge("depth", "Depth", lambda: 5)
    one.close()
    assert predicted(two) == 3
    assert two.total().loaded == []
    assert "depth" not in two.total().gauges
    assert two.total().processes == 1
    again = make("0")
    again.rows.inc(2)
    again.share.publish()  # type: ignore[union-attr]
    assert predicted(two) == 5
    again.close()
    two.close()


def test_the_dead_are_folded_into_one_file_and_counted_once(make: Make, tmp_path: Path) -> None:
    for _ in range(12):
        one = make("0")
        one.rows.inc(1)
        one.version("flights", 3).answered(1, 2, 0.01)
        one.close()
    last = make("0")
    assert predicted(last) == 12
    (version,) = last.total().versions
    assert (version.requests, version.rows) == (12, 24)
    assert len(list((tmp_path / "run").glob("*.numbers"))) == 2
    assert len(list((tmp_path / "run").glob("*.alive"))) == 1
    last.close()


def test_a_crash_between_folding_and_deleting_counts_nothing_twice(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make("0")
    one.rows.inc(3)
    one.close()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        two = make("0")
        assert predicted(two) == 3
        two.close()
    three = make("0")
    assert predicted(three) == 3
    four = make("1")
    assert predicted(four) == 3
    assert len(list((tmp_path / "run").glob("*.numbers"))) == 3
    three.close()
    four.close()


def test_a_file_that_cannot_be_read_is_left_out(make: Make, tmp_path: Path) -> None:
    one = make("0")
    one.rows.inc(3)
    (tmp_path / "run" / "torn.numbers").write_bytes(b"\x81\xa5")
    assert predicted(one) == 3
    one.close()


def test_gauges_of_several_processes_become_one_as_they_say(make: Make) -> None:
    one, two = make("0"), make("1")
    for meters, value in ((one, 2), (two, 5)):
        for across in Across:
            meters.gauge(f"gauge_{across}", across, lambda value=value: value, across)  # type: ignore[misc]
        meters.share.publish()  # type: ignore[union-attr]
    text = one.text().decode()
    assert all(line in text for line in ("gauge_sum 7.0", "gauge_max 5.0", "gauge_min 2.0"))
    assert "pilotage_workers 2.0" in text
    one.close()
    two.close()


def test_a_folder_that_is_gone_at_the_end_fails_no_stop(make: Make, tmp_path: Path) -> None:
    one = make("0")
    for path in (tmp_path / "run").iterdir():
        path.unlink()
    (tmp_path / "run").rmdir()
    one.close()


def test_a_disk_that_takes_nothing_hides_no_number_of_ones_own(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = make("0")
    one.rows.inc(3)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_file", full)
        assert predicted(one) == 3
    assert "No space left" in caplog.text
    one.close()


def test_versions_of_processes_that_follow_differently_stay_bounded() -> None:
    def reading(versions: range) -> Reading:
        return Reading(versions=[readings.VersionMeter("flights", str(number), 1) for number in versions])

    whole = readings.merge([reading(range(1, 11)), reading(range(6, 16))])
    assert {version.version for version in whole.versions} == {str(number) for number in range(6, 16)}


def test_what_is_written_is_what_is_read() -> None:
    meters = Meters({"flights": 0.1})
    meters.route("/predict", "POST").observe(200, 0.1)
    meters.released("idle", 1, 3, 0.0, 0.1)
    meters.version("flights", 3).answered(1, 3, 0.1)
    meters.shed("overloaded")
    meters.watch(lambda: [Loaded("flights", 3, "onnx")])
    reading = meters.reading()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(reading), type=Reading) == reading


WORKER = """
import sys, time
from pathlib import Path
from pilotage.serving.telemetry.meters import Meters
from pilotage.serving.telemetry.sharing import Share
meters = Meters({"flights": 0.1}, Share(Path(sys.argv[1]), sys.argv[2]))
meters.watch(lambda: [])
while True:
    meters.rows.inc(10)
    meters.route("/predict", "POST").observe(200, 0.001)
    time.sleep(0.002)
"""


@pytest.mark.usefixtures("uncovered")
def test_counters_survive_a_process_that_is_killed(tmp_path: Path) -> None:
    """Real processes: what a dead one had told is told on, and its gauges are not."""
    folder = tmp_path / "run"
    asking = Meters({"flights": 0.1}, Share(folder, "asking"))
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(folder), str(number)]) for number in range(2)
    ]
    told = [0]

    def ask() -> int:
        told.append(predicted(asking))
        assert told[-1] >= told[-2]
        return told[-1]

    try:
        limit = time.monotonic() + 30
        while asking.total().processes < 3 or ask() < 500:
            assert time.monotonic() < limit
            time.sleep(0.05)
        workers[0].kill()
        workers[0].wait()
        assert workers[0].returncode == -signal.SIGKILL
        before = ask()
        assert asking.total().processes == 2
        time.sleep(2.2 * sharing.WRITE_SECONDS)
        assert ask() > before
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert asking.total().processes == 1
    rest = ask()
    assert ask() == rest
    asking.close()
