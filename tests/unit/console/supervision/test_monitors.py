"""All pilots' monitors in one process end together."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pilotage.console.supervision.monitors import Monitors
from pilotage.console.watches import Watch
from pilotage.core import pilots, settings
from pilotage.core.artifacts import Trigger, TriggerState
from pilotage.core.specs import Cause
from pilotage.pipelines.journals import catalogues
from pilotage.pipelines.queue import claims
from pilotage.pipelines.retraining.triggers import Dispatch

SPEC = "version: 1\npilot: small\ndata: {source: rows.csv, target: y}\ngoal: {metric: roc_auc}\n"
COUNT = 4
SLOW = f"""
import signal, sys, time
from pathlib import Path

folder, name = Path(sys.argv[1]), sys.argv[2]

def stop(*_):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    (folder / name).touch()
    while len(list(folder.iterdir())) < {COUNT}:
        time.sleep(0.02)
    time.sleep(0.2)
    sys.exit(7)

signal.signal(signal.SIGTERM, stop)
print(flush=True)
time.sleep(60)
"""


def _retraining(number: int, folder: Path) -> Dispatch:
    """A process that stops in order once all have been told to, and dies of a second signal."""
    words = [sys.executable, "-S", "-c", SLOW, str(folder), str(number)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    trigger = Trigger(
        id=str(number),
        pilot="small",
        cause=Cause.DRIFT,
        version=1,
        alarm="a",
        at=datetime.now(UTC),
        reason="",
        state=TriggerState.STARTED,
    )
    return Dispatch(trigger, process)


def test_retrainings_are_told_to_stop_together_and_once(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(claims, "withdraw", lambda *_: None)  # no trigger of these is in the database
    monitors = Monitors(settings.load(home=home))
    told = tmp_path / "told"
    told.mkdir()
    started = [_retraining(number, told) for number in range(COUNT)]
    for number, dispatch in enumerate(started):
        watch = Watch(pilots.parse(SPEC), home, settings.load(home=home))
        watch._active = dispatch
        entry = catalogues.Entry(str(number), home, pilots.parse(SPEC))
        monitors._watches[str(number)] = entry, watch
    monitors.stop()
    assert [dispatch.process.returncode for dispatch in started] == [7] * COUNT
