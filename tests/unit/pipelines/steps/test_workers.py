"""Steps that end in every bad way: the caller learns why and lives on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pilotage.core.costs import usages
from pilotage.pipelines.steps.workers import Group, Job, Limits, Worker, Workers

ROOMY = Limits(timeout_seconds=30, memory_bytes=4 << 30)
Build = Callable[[str], Job]


def _gone(pid: int, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def test_a_component_runs_and_its_lines_arrive_while_it_runs(worker: Worker, job: Build):
    lines: list[tuple[float, str]] = []
    ending = worker.run(
        job("import time\nprint('first', flush=True)\ntime.sleep(0.5)\nprint('last')"),
        ROOMY,
        lambda line: lines.append((time.monotonic(), line)),
    )
    assert ending.code == 0
    assert [line for _, line in lines] == ["first", "last"]
    assert lines[1][0] - lines[0][0] > 0.2


def test_standard_error_and_the_environment_reach_the_step(worker: Worker, job: Build):
    lines: list[str] = []
    worker.run(job("import os, sys\nprint(os.environ['FROM_CALLER'], file=sys.stderr)"), ROOMY, lines.append)
    assert lines == ["yes"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param("import os; os._exit(7)", 7, id="exit"),
        pytest.param("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV, id="segfault"),
        pytest.param("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, id="kill"),
        pytest.param("raise SystemExit(3)", 3, id="system-exit"),
        pytest.param("raise ValueError('no')", 1, id="exception"),
    ],
)
def test_a_crash_is_an_ending_with_its_code_and_the_next_job_runs(
    worker: Worker, job: Build, body: str, code: int
):
    assert worker.run(job(body), ROOMY, lambda line: None).code == code
    assert worker.run(job("pass"), ROOMY, lambda line: None).code == 0


def test_an_error_is_described_beside_the_log_and_in_it(worker: Worker, job: Build):
    work = job("from pilotage.core import errors\nraise errors.DataError('Bad.', remedy='Mend it.', rows=3)")
    assert worker.run(work, ROOMY, lambda line: None).code == 2
    assert work.error.read_text().startswith('{"type": "DataError", "message": "Bad.", "remedy": "Mend it."')
    assert work.log.read_text().endswith("DataError: Bad. Mend it.\n")
    assert "Traceback" not in work.log.read_text()


def test_what_was_not_meant_leaves_its_traceback_in_the_log(worker: Worker, job: Build):
    work = job("raise ValueError('no')")
    assert worker.run(work, ROOMY, lambda line: None).code == 1
    assert "Traceback" in work.log.read_text()


def test_a_hang_is_killed_after_its_timeout_with_all_that_it_started(
    worker: Worker, job: Build, tmp_path: Path
):
    note = tmp_path / "pid"
    body = f"""
    import subprocess, time
    child = subprocess.Popen(['sleep', '60'])
    open({str(note)!r}, 'w').write(str(child.pid))
    time.sleep(60)
    """
    began = time.monotonic()
    ending = worker.run(job(body), Limits(timeout_seconds=0.5, memory_bytes=4 << 30), lambda line: None)
    assert time.monotonic() - began < 30, "the child alone would sleep for a minute"
    assert "timeout of 0.5 s" in ending.killed_because
    assert _gone(int(note.read_text()))


def test_a_step_that_takes_too_much_memory_is_killed(worker: Worker, job: Build):
    limits = Limits(timeout_seconds=30, memory_bytes=200 << 20)
    body = "import time\nheld = bytearray(400 << 20)\nheld[::4096] = b'x' * len(held[::4096])\ntime.sleep(20)"
    ending = worker.run(job(body), limits, lambda line: None)
    assert "its limit is 200 MB" in ending.killed_because
    assert ending.peak_bytes > limits.memory_bytes


def test_memory_of_a_steps_children_counts(worker: Worker, job: Build):
    limits = Limits(timeout_seconds=30, memory_bytes=200 << 20)
    hog = "held = b'x' * (400 << 20); import time; time.sleep(20)"
    ending = worker.run(
        job(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {hog!r}])"),
        limits,
        lambda line: None,
    )
    assert "its limit is 200 MB" in ending.killed_because


def test_a_zygote_that_dies_fails_its_step_and_is_replaced(tmp_path: Path, job: Build):
    workers = Workers(tmp_path / "logs", {}, (Group("only", ("work",)),))
    try:
        ending = workers.run(
            job("import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(20)"),
            ROOMY,
            lambda line: None,
        )
        assert "zygote-only.log" in ending.killed_because
        assert workers.run(job("pass"), ROOMY, lambda line: None).code == 0
    finally:
        workers.stop()


def test_what_steps_used_is_not_counted_again_when_their_zygote_dies(tmp_path: Path, job: Build):
    burn = "import time\nend = time.process_time() + 1.5\nwhile time.process_time() < end: pass"
    workers = Workers(tmp_path / "logs", {}, (Group("only", ("work",)),))
    before = usages.cpu_seconds()
    try:
        told = workers.run(job(burn), ROOMY, lambda line: None).cpu_seconds
        kill = "import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(20)"
        workers.run(job(kill), ROOMY, lambda line: None)
        used = usages.cpu_seconds() - before
        beside = used + workers.cpu_seconds()
    finally:
        workers.stop()
    assert told >= 1.5
    assert told + beside == pytest.approx(used)


def test_a_module_that_cannot_be_imported_is_left_for_the_step_to_fail_on(tmp_path: Path, job: Build):
    worker = Worker(Group("broken", (), extra=("no_such_module",)), tmp_path / "zygote.log", {})
    try:
        assert worker.run(job("pass"), ROOMY, lambda line: None).code == 0
        assert "No module named 'no_such_module'" in (tmp_path / "zygote.log").read_text()
    finally:
        worker.stop()


def test_an_interrupted_wait_kills_the_step(worker: Worker, job: Build, tmp_path: Path):
    note = tmp_path / "pid"

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    body = f"""
    import os, time
    open({str(note)!r}, 'w').write(str(os.getpid()))
    print('on', flush=True)
    time.sleep(60)
    """
    with pytest.raises(KeyboardInterrupt):
        worker.run(job(body), ROOMY, interrupt)
    assert _gone(int(note.read_text()))


def test_nothing_survives_a_caller_that_is_killed(tmp_path: Path):
    script = f"""
from pathlib import Path
from pilotage.core.costs import usages
from pilotage.pipelines.steps.workers import Group, Job, Limits, Worker
folder = Path({str(tmp_path)!r})
worker = Worker(Group("light", ()), folder / "zygote.log", {{}})
(folder / "zygote.pid").write_text(str(worker.process.pid))
source = "import os, subprocess, time\\ndef work():\\n"
source += f"    child = subprocess.Popen(['sleep', '60'])\\n"
source += f"    open('{{folder}}/grandchild.pid', 'w').write(str(child.pid))\\n"
source += f"    open('{{folder}}/child.pid', 'w').write(str(os.getpid()))\\n    time.sleep(60)\\n"
executor_input = {{"inputs": {{}}, "outputs": {{"outputFile": str(folder / "out.json")}}}}
job = Job("work", source, "work", executor_input, {{}}, folder / "log", folder / "error.json")
worker.run(job, Limits(60, 4 << 30), lambda line: None)
"""
    caller = subprocess.Popen([sys.executable, "-c", script], env=os.environ.copy())
    note = tmp_path / "child.pid"
    deadline = time.monotonic() + 20
    while not (note.exists() and note.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    caller.kill()
    caller.wait()
    for name in ("zygote.pid", "child.pid", "grandchild.pid"):
        assert _gone(int((tmp_path / name).read_text())), name


def test_imports_are_lazy_or_first_as_the_group_says(tmp_path: Path, job: Build, uncovered: None):
    group = Group("made", (), lazy=("wave",), first=("colorsys",), extra=("wave",))
    worker = Worker(group, tmp_path / "zygote.log", {})
    lines: list[str] = []
    body = """
    import sys
    print(next(iter(sys.modules)), type(sys.modules['wave']).__name__)
    import wave
    print(callable(wave.open), type(wave).__name__)
    """
    try:
        assert worker.run(job(body), ROOMY, lines.append).code == 0
    finally:
        worker.stop()
    assert lines == ["colorsys _LazyModule", "True module"]


def test_the_list_of_types_that_skops_trusts_does_not_depend_on_the_order(tmp_path: Path, job: Build):
    pytest.importorskip("skops")
    body = """
    from skops.io import _trusted_types as found
    names = [found.NUMPY_UFUNC_TYPE_NAMES, found.SCIPY_UFUNC_TYPE_NAMES, found.SKLEARN_ESTIMATOR_TYPE_NAMES]
    print(names)
    """
    first = Worker(
        Group("first", (), first=("numpy", "scipy.special"), extra=("skops.io",)), tmp_path / "a.log", {}
    )
    plain = Worker(Group("plain", (), extra=("skops.io",)), tmp_path / "b.log", {})
    seen: list[list[str]] = []
    for worker in (first, plain):
        lines: list[str] = []
        try:
            assert worker.run(job(body), ROOMY, lines.append).code == 0
        finally:
            worker.stop()
        seen.append(lines)
    assert seen[0] == seen[1]
    assert "numpy.add" in seen[0][0]
