"""Passes of the real monitor and its retrainings, killed before any statement, in a process of their own.

A pass is forked, and forks the real `python -m pilotage.pipelines run --trigger`. A process that
is told so kills itself (SIGKILL) before the N-th line that it executes in the modules of the
trigger's way. What the steps do is replaced by a file that a run writes. `carry_out` begins from a
fresh interpreter: to fork a test process that has become large takes many times as long.
"""

from __future__ import annotations

import ast
import gc
import io
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from types import FrameType
from typing import Any

from pilotage.console import watches
from pilotage.core import pilots, settings
from pilotage.core.artifacts import Alarm, DriftReport, TriggerState
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import Cause
from pilotage.pipelines import __main__ as entry
from pilotage.pipelines import tables
from pilotage.pipelines.decisions import rollouts
from pilotage.pipelines.execution import executions
from pilotage.pipelines.journals import audits, outbox, records
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.queue import claims
from pilotage.pipelines.retraining import triggers, waits
from pilotage.serving.monitor import watches as monitor

TEXT = (
    "version: 1\npilot: small\ndata: {source: rows.csv, target: y}\ngoal: {metric: roc_auc}\n"
    "retrain: {on: [drift], cooldown: 2d, budget: {runs: 3, per: 10d}}\n"
)
MODULES = (watches, triggers, claims, waits, outbox, executions, records, audits, entry)
PLACES = {str(module.__file__) for module in MODULES}
END = datetime(2026, 3, 2, tzinfo=UTC)
PATIENCE_SECONDS = 120
SHARDS = 2
"""Parts that may run beside each other."""
NOTE = -1
"""In place of the number of a statement: kill nobody, note where a kill would make a difference."""


def statements() -> set[tuple[str, int]]:
    """Where each statement of the trigger's way begins."""
    return {
        (path, node.lineno)
        for path in PLACES
        for node in ast.walk(ast.parse(Path(path).read_text()))
        if isinstance(node, ast.stmt)
    }


STATEMENTS = statements()


def before_each(act: Callable[[int], None]) -> None:
    """Let this process `act` before each statement that it executes on the trigger's way, by number."""
    number = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal number
        if frame.f_code.co_filename not in PLACES:
            return None
        if event == "line" and (frame.f_code.co_filename, frame.f_lineno) in STATEMENTS:
            number += 1
            act(number)
        return trace

    sys.settrace(trace)


def kill_before(number: int, mark: Path) -> None:
    """Let this process die before the `number`-th statement that it executes on the trigger's way."""

    def die(current: int) -> None:
        if current == number:
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    before_each(die)


def _contents(folder: Path) -> dict[str, bytes]:
    """What whoever comes next finds below `folder`; SQLite makes its shared memory anew."""
    found = {}
    for file in folder.rglob("*"):
        if file.is_file() and not file.name.endswith("-shm"):
            with suppress(FileNotFoundError):  # another process removes files, too
                found[str(file)] = file.read_bytes()
    return found


def note_changes(folders: Sequence[Path], notes: Path) -> None:
    """Let this process note before which statements something is not as it was before the one before.

    What a killed process leaves behind are its files and the processes that it started, which here leave a
    file, too. Where none of them changed, a kill leaves what a kill one statement earlier does.
    """
    last: object = None

    def compare(number: int) -> None:
        nonlocal last
        seen = [_contents(folder) for folder in folders]
        if seen != last:
            with notes.open("a") as stream:
                stream.write(f"{number}\n")
        last = seen

    before_each(compare)


@dataclass
class Forked:
    """A forked process with the part of Popen's interface that the monitor uses."""

    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        while self.poll() is None:
            time.sleep(0.002)
        assert self.returncode is not None
        return self.returncode

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def fork(work: Callable[[], int]) -> Forked:
    """Do `work` in a forked process, which ends without cleaning up as a server would."""
    pid = os.fork()
    if pid:
        return Forked(pid)
    code = 70
    try:
        sys.settrace(None)
        code = work()
    finally:
        os._exit(code)


class Harness:
    """A monitor of one pilot, restarted as often as it is killed."""

    def __init__(self, installation: Settings, folder: Path) -> None:
        self.settings = installation
        self.folder = folder
        self.spec = pilots.load(folder).spec
        self.effect = folder / "effect.json"
        self.killed = folder / "killed"
        self.launched = folder / "launched"
        self.marks = folder / "marks"
        self.marks.mkdir()
        self.notes = folder.with_name(f"{folder.name}-notes")

    def alarm(self) -> DriftReport:
        alarm = Alarm(
            id="small-1", pilot="small", version=1, cause=Cause.DRIFT, start=END - timedelta(days=1),
            end=END, message="drifted",
        )  # fmt: skip
        return DriftReport(
            pilot="small", version=1, start=alarm.start, end=END, rows=1, requests=1, errors=0,
            false_alarm_rate=0.01, threshold=0.01, method="m", features=(), alarms=(alarm,), evidence="e",
            created_at=END,
        )  # fmt: skip

    def watch(self, *_: Any, **__: Any) -> list[DriftReport]:
        """What the real watch does: store the report, and return it once."""
        stored = self.folder / "report.json"
        if stored.exists():
            return []
        stored.write_text(self.alarm().model_dump_json())
        return [self.alarm()]

    def reports(self, *_: Any) -> list[DriftReport]:
        stored = self.folder / "report.json"
        return [DriftReport.model_validate_json(stored.read_text())] if stored.exists() else []

    def carry_out(self, *arguments: Any) -> None:
        """In the place of the steps: as them, it gives the same result when it is repeated."""
        name = arguments[2].run
        (self.marks / f"{time.monotonic_ns()}-begin-{name}").touch()
        self.effect.write_text(json.dumps({"trained": True}))
        (self.marks / f"{time.monotonic_ns()}-end-{name}").touch()

    def launch(self, kill_child: int) -> Callable[[str], Forked]:
        def child(trigger: str) -> int:
            self.launched.touch()
            self.trace(kill_child)
            sys.stdout = io.StringIO()
            return entry.main(["run", "--trigger", trigger, str(self.folder)])

        return lambda trigger: fork(lambda: child(trigger))

    def trace(self, number: int) -> None:
        """Do to this process what `number` says: nothing for 0, else as `NOTE` or a statement's number."""
        if number == NOTE:
            note_changes((self.settings.home, self.folder), self.notes)
        elif number:
            kill_before(number, self.killed)

    def look(self, *, kill_parent: int = 0, kill_child: int = 0) -> int:
        """One monitor, in a process of its own; returns how it ended."""

        def work() -> int:
            triggers._launcher = lambda *_: self.launch(kill_child)  # type: ignore[assignment]
            watch = watches.Watch(self.spec, self.folder, self.settings)
            self.trace(kill_parent)
            watch.look()
            while watch.retraining and not watch.collect():
                time.sleep(0.002)
            return 0

        return fork(work).wait()

    def settle(self) -> None:
        """Restarted monitors until nothing is left to do."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.is_settled():
            assert time.monotonic() < deadline, "nothing ends the trigger"
            assert self.look() == 0
            time.sleep(0.02)
        self.wait_for_orphans()
        assert self.look() == 0, "another pass changes nothing"

    def is_settled(self) -> bool:
        found = triggers.triggers(self.settings, "small")
        return bool(found) and all(trigger.state in claims._ENDED for trigger in found)

    def wait_for_orphans(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.any_lives():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def any_lives(self) -> bool:
        rows = self.rows()
        with tables.connect(self.settings).begin() as connection:
            return any(claims._is_alive(connection, row) for row in rows)

    def rows(self) -> list[Any]:
        with tables.connect(self.settings).begin() as connection:
            return list(connection.execute(tables.triggers.select()).all())

    def check(self) -> None:
        """Exactly one trigger, one completed run, no two at once, and each change told of once."""
        (trigger,) = triggers.triggers(self.settings, "small")
        assert trigger.state is TriggerState.DONE, trigger
        runs = Records(tables.connect(self.settings)).runs("small")
        completed = [run for run in runs if run.state is State.SUCCEEDED]
        assert [run.id for run in completed] == [trigger.run]
        assert {run.trigger for run in runs} == {trigger.id}
        assert all(run.state in (State.SUCCEEDED, State.DIED) for run in runs)
        assert json.loads(self.effect.read_text()) == {"trained": True}
        self.check_events(len(runs))

    def check_events(self, runs: int) -> None:
        with tables.connect(self.settings).begin() as connection:
            told = [
                row.type for row in connection.execute(tables.outbox.select().order_by(tables.outbox.c.id))
            ]
        counts = {kind: told.count(kind) for kind in outbox.Kind}
        assert counts[outbox.Kind.ALARM_RAISED] == counts[outbox.Kind.TRIGGER_OPENED] == 1
        assert counts[outbox.Kind.TRIGGER_STARTED] == runs
        assert counts[outbox.Kind.TRIGGER_ENDED] == 1
        assert told[-1] == outbox.Kind.TRIGGER_ENDED


class Workshop:
    """Fresh homes below a folder, each with the same alarm to come; steps are replaced."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        tables.connect(settings.load(home=folder / "empty")).dispose()
        rollouts.settle("small", settings.load(home=folder / "empty"))  # imports what forks need
        Registry.kill_open_runs = lambda *_: 0  # type: ignore[method-assign]  # imports MLflow, for seconds

    def build(self) -> Harness:
        self._count += 1
        folder = self._folder / f"pilot-{self._count}"
        folder.mkdir()
        (folder / "pilot.yaml").write_text(TEXT)
        installation = settings.load(home=self._folder / f"home-{self._count}")
        os.environ["PILOTAGE_HOME"] = str(installation.home)
        shutil.copytree(self._folder / "empty", installation.home)
        harness = Harness(installation, folder)
        monitor.watch, monitor.reports = harness.watch, harness.reports  # type: ignore[assignment]
        executions._carry_out = lambda spec, folder, settings, journal, *_: harness.carry_out(
            spec, folder, journal
        )
        return harness

    def moments(self, whom: str) -> list[int]:
        """Before which statements to kill: the first, and each before which what a kill leaves has changed.

        Where processes wait for each other the numbers differ from pass to pass; several are taken together.
        """
        found: set[int] = set()
        for _ in range(3):
            harness = self.build()
            assert harness.look(**{whom: NOTE}) == 0
            harness.check()
            found |= {int(number) for number in harness.notes.read_text().split()}
        assert len(found) > 10, "the trigger's way has more that changes"
        return sorted(found)


def kill_monitors(folder: Path, shard: int) -> None:
    """The monitor, killed before each statement of the shard that leaves something else behind."""
    workshop = Workshop(folder)
    for number in workshop.moments("kill_parent")[shard::SHARDS]:
        harness = workshop.build()
        harness.look(kill_parent=number)
        harness.settle()  # beside the orphan, where there is one
        harness.check()
        if harness.killed.exists() and harness.launched.exists():
            harness = workshop.build()
            harness.look(kill_parent=number)
            harness.wait_for_orphans()
            harness.settle()
            harness.check()


def kill_retrainings(folder: Path, shard: int) -> None:
    """The retraining, killed before each statement of the shard that leaves something else behind."""
    workshop = Workshop(folder)
    for number in workshop.moments("kill_child")[shard::SHARDS]:
        harness = workshop.build()
        harness.look(kill_child=number)
        harness.settle()
        harness.check()


def kill_both(folder: Path) -> None:
    """Monitor and retraining, killed again and again anywhere."""
    workshop, draw = Workshop(folder), random.Random(7)
    for _ in range(40):
        harness = workshop.build()
        for _ in range(2):
            harness.look(kill_parent=draw.randint(1, 200), kill_child=draw.randint(1, 200))
        harness.settle()
        harness.check()


def kill_nobody(folder: Path) -> None:
    """One monitor that is left alone."""
    harness = Workshop(folder).build()
    harness.settle()
    harness.check()


def run_several(folder: Path) -> None:
    """Several monitors at once."""
    workshop = Workshop(folder)
    harness = workshop.build()
    for _ in range(3):
        monitors = [fork(lambda: harness.look() or harness.look()) for _ in range(3)]
        assert [monitor.wait() for monitor in monitors] == [0, 0, 0]
    harness.settle()
    harness.check()


def in_fresh_process(scenario: Callable[..., None], *arguments: Any) -> None:
    """Carry `scenario` out in an interpreter of its own; what it raises is raised here."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=gc.freeze) as pool:
        pool.submit(scenario, *arguments).result()
