"""All pilots' monitors in one process end together."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pilotage.console.supervision.monitors import Monitors
from pilotage.console.watches import Watch
from pilotage.core import pilots, settings
from pilotage.core.artifacts import Trigger, TriggerState
from pilotage.core.specs import Cause
from pilotage.pipelines import catalogues, claims
from pilotage.pipelines.triggers import Dispatch

SPEC = "version: 1\npilot: small\ndata: {source: rows.csv, target: y}\ngoal: {metric: roc_auc}\n"
SLOW = (
    "import signal, sys, time; "
    "signal.signal(signal.SIGTERM, lambda *_: (signal.signal(signal.SIGTERM, signal.SIG_DFL), "
    "time.sleep(0.7), sys.exit(7))); print(flush=True); time.sleep(60)"
)


def _retraining(number: int) -> Dispatch:
    """A process that takes a while to stop in order, and dies of a second signal."""
    process = subprocess.Popen([sys.executable, "-S", "-c", SLOW], stdout=subprocess.PIPE)
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


def test_retrainings_are_told_to_stop_together_and_once(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(claims, "withdraw", lambda *_: None)  # no trigger of these is in the database
    monitors = Monitors(settings.load(home=home))
    started = [_retraining(number) for number in range(4)]
    for number, dispatch in enumerate(started):
        watch = Watch(pilots.parse(SPEC), home, settings.load(home=home))
        watch._active = dispatch
        entry = catalogues.Entry(str(number), home, pilots.parse(SPEC))
        monitors._watches[str(number)] = entry, watch
    began = time.monotonic()
    monitors.stop()
    assert time.monotonic() - began < 2.0
    assert [dispatch.process.returncode for dispatch in started] == [7] * 4
