"""The CPU time of a server is put down for the rows that came meanwhile, and an idle server's for none."""

from __future__ import annotations

import time

import pytest
from tests.unit.serving import small_models
from tests.unit.serving.records.test_recorders import served, stored

from pilotage.core import windows
from pilotage.core.storage import Storage
from pilotage.serving.records.recorders import Recorder
from pilotage.serving.versions.lives import Live


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """CPU time that the process has used."""
    spent = [100.0]
    monkeypatch.setattr(time, "process_time", lambda: spent[-1])
    return spent


def test_rows_share_what_was_spent_while_they_came(
    clock: list[float], recorder: Recorder, live: Live, storage: Storage
) -> None:
    recorder._cpu_seconds = clock[-1]  # as when its thread starts
    recorder.record(served(live, small_models.rows(8)))
    clock.append(102.0)
    recorder.drain()
    clock.append(150.0)
    recorder.drain()  # nobody asked meanwhile
    recorder.record(served(live, small_models.rows(8)))
    clock.append(151.0)
    recorder.drain()
    recorder.flush()
    found = stored(storage)
    assert sum(window.cpu_seconds for window in found) == pytest.approx(3.0, abs=1e-5)
    for window in found:
        assert window.cpu_seconds == pytest.approx(3.0 * window.rows / 16, abs=1e-5)
        assert window.peak_memory_bytes > 1 << 20


def test_windows_add_their_cpu_time_and_keep_the_largest_memory(
    clock: list[float], recorder: Recorder, live: Live, storage: Storage
) -> None:
    recorder._cpu_seconds = clock[-1]
    recorder.record(served(live, small_models.rows(8)))
    clock.append(101.0)
    recorder.close()
    (*_, window) = stored(storage)
    other = window.model_copy(update={"peak_memory_bytes": 7, "cpu_seconds": 2.0})
    both = windows.merge([window, other])
    assert both.cpu_seconds == pytest.approx(window.cpu_seconds + 2.0)
    assert both.peak_memory_bytes == window.peak_memory_bytes


def test_a_repeated_flush_charges_nothing_twice(
    clock: list[float], recorder: Recorder, live: Live, storage: Storage
) -> None:
    recorder._cpu_seconds = clock[-1]
    recorder.record(served(live, small_models.rows(8)))
    clock.append(104.0)
    for _ in range(3):
        recorder.drain()
        recorder.flush()
    assert sum(window.cpu_seconds for window in stored(storage)) == pytest.approx(4.0, abs=1e-5)
