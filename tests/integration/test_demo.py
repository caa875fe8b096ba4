"""The demonstration, with one month of traffic: real processes, real drift, a real retraining under load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

KEYS = {"months", "versions", "retrainings", "promotions", "reports", "seconds"}
MONTH = {"month", "requests", "failed", "p99_ms", "drifted", "auc_first", "auc_live"}


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the demo in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "pilotage.console", "demo", "--folder", str(folder), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def left_over(folder: Path) -> list[str]:
    """Processes that still work in `folder`."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(str(folder) in word for word in words):
            found.append(" ".join(words))
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_loop_closes_under_load_without_a_failed_request(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    process = start(folder, "--months", "1", "--json")
    out, err = process.communicate(timeout=500)
    result: dict[str, Any] = json.loads(out)
    assert process.returncode in (0, 1), err  # a month is too short to promise a better AUC
    assert set(result) >= KEYS
    [april] = result["months"]
    assert set(april) >= MONTH
    assert (april["month"], april["requests"], april["failed"]) == ("2013-04", 570, 0)
    assert 0.6 < april["auc_first"] < 0.8
    assert april["p99_ms"] > 0
    [first, *_] = result["retrainings"]
    assert first["cause"] in ("drift", "performance")
    assert first["promoted"] is True
    [promotion, *_] = result["promotions"]
    assert promotion["version"] == first["version"]
    assert promotion["replaced"] == 1
    answered = {item["version"]: item["requests"] for item in result["versions"]}
    assert sum(answered.values()) == 570
    assert all(Path(page).is_file() for page in result["reports"])
    assert result["reports"]
    assert left_over(folder) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_it_takes_its_processes_along_when_it_is_stopped(tmp_path: Path, number: int) -> None:
    folder = tmp_path / "demo"
    process = start(folder, "--months", "1")
    assert process.stderr is not None
    for line in process.stderr:
        if "April onwards" in line:
            break
    assert process.poll() is None, "the demo ended before its traffic began"
    time.sleep(3)
    assert len(left_over(folder)) >= 3, "the demo, the server and the monitor"
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    deadline = time.monotonic() + 40
    while left_over(folder) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left_over(folder) == []


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    process = start(tmp_path, "--json")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "is not empty" in json.loads(out)["error"]["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
