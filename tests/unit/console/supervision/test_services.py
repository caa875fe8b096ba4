"""One service through its states, with real processes: back-off, ports, logs, ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pilotage.console.supervision import instances, ports, registers
from pilotage.console.supervision.backoffs import Backoff
from pilotage.console.supervision.children import Child
from pilotage.console.supervision.rotations import RotatingLog
from pilotage.console.supervision.services import Definition, Service
from pilotage.console.supervision.states import ServiceKind, ServiceState
from pilotage.console.supervision.supervisors import Supervisor
from pilotage.core import errors, settings
from pilotage.core.settings import Settings
from pilotage.pipelines import tables

READY = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text('{}'); print('ready', flush=True); "
RUNS = READY + "time.sleep(60)"


@pytest.fixture
def installation(home: Path) -> Settings:
    return settings.load(home=home)


@pytest.fixture
def make(installation: Settings) -> Iterator[Callable[..., Service]]:
    made: list[Service] = []

    def build(
        code: str,
        name: str = "one",
        first_port: int | None = None,
        port: int | None = None,
        taken: set[int] | None = None,
    ) -> Service:
        definition = Definition(
            name, ServiceKind.SERVER, lambda _, ready: ["-S", "-c", code, str(ready)], first_port=first_port
        )
        made.append(Service(definition, installation, os.environ, port, set() if taken is None else taken))
        return made[-1]

    yield build
    for service in made:
        service.terminate()
        service.finish(5.0)


def until(service: Service, state: ServiceState) -> None:
    deadline = time.monotonic() + 30
    while service.state is not state:
        assert time.monotonic() < deadline, service.entry
        service.look()
        time.sleep(0.01)


def test_a_service_is_ready_when_it_says_so_and_stops_when_told(make: Callable[..., Service]):
    service = make(RUNS)
    service.start()
    assert service.state is ServiceState.STARTING
    until(service, ServiceState.RUNNING)
    pid = service.entry.pid
    assert pid is not None
    service.terminate()
    service.finish(10.0)
    assert (service.state, service.entry.pid, service.entry.detail) == (ServiceState.STOPPED, None, "")
    assert not psutil.pid_exists(pid)


def test_one_that_ends_is_started_again_after_a_while(make: Callable[..., Service], installation: Settings):
    service = make(READY + "sys.exit(7)")
    service.start()
    until(service, ServiceState.WAITING)
    assert "exit code 7" in service.entry.detail
    until(service, ServiceState.STARTING)
    assert service.entry.restarts == 1
    until(service, ServiceState.WAITING)
    assert (installation.logs / "one.log").read_text() == "ready\nready\n"


def test_a_child_of_a_service_does_not_outlive_it(make: Callable[..., Service], tmp_path: Path):
    grandchild = tmp_path / "pid"
    code = (
        "import subprocess, sys; "
        "p = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)']); "
        f"open({str(grandchild)!r}, 'w').write(str(p.pid)); sys.exit(1)"
    )
    service = make(code)
    service.start()
    until(service, ServiceState.WAITING)
    pid = int(grandchild.read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_one_that_does_not_stop_is_killed_in_time(make: Callable[..., Service]):
    service = make("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + RUNS)
    service.start()
    until(service, ServiceState.RUNNING)
    service.terminate()
    began = time.monotonic()
    service.finish(0.3)
    assert time.monotonic() - began < 30, "it would run for a minute"
    assert "killed" in service.entry.detail


def test_children_end_with_their_parent(tmp_path: Path):
    code = (
        "import os; from pathlib import Path; from pilotage.console.supervision.children import Child; "
        "sleeps = ['-S', '-c', 'import time; time.sleep(60)']; "
        f"child = Child(sleeps, Path({str(tmp_path / 'log')!r}), os.environ); "
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid)); os.kill(os.getpid(), 9)"
    )
    parent = Child(["-c", code], tmp_path / "parent.log", os.environ)
    assert not parent.finish(30.0) or parent.code == -signal.SIGKILL
    pid, deadline = int((tmp_path / "pid").read_text()), time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells of a parent's end on Linux alone")
def test_a_child_whose_parent_went_before_it_could_ask_does_not_begin():
    start = (
        "from pilotage.console.supervision.children import dying_with_parent; start = dying_with_parent(); "
    )
    code = start + "start(); print('began')"  # its parent is not itself
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr


def test_a_port_is_kept_while_it_is_free(make: Callable[..., Service]):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        used = other.getsockname()[1]
        service = make(RUNS, first_port=used, port=used)
        service.start()
        assert service.url != f"http://127.0.0.1:{used}"
    assert ports.choose("127.0.0.1", used, 20000) == used
    assert ports.choose("127.0.0.1", used, 20000, {used}) >= 20000


def test_a_port_that_two_had_once_is_of_the_first_and_stays_so(make: Callable[..., Service]):
    taken: set[int] = set()
    used = ports.choose("127.0.0.1", None, 20200)
    one, two = (make(RUNS, name=name, first_port=used, port=used, taken=taken) for name in ("one", "two"))
    for service in (one, two):  # neither listens yet
        service.start()
    assert one.url == f"http://127.0.0.1:{used}"
    assert two.url not in (one.url, None)
    addresses = one.url, two.url
    for service in (one, two):
        service.terminate()
        service.finish(5.0)
        service.start()
    assert (one.url, two.url) == addresses


def test_a_console_is_where_it_is_asked_for_and_others_where_they_were(
    installation: Settings,
):
    engine = tables.connect(installation)
    definitions, used = [], 20400
    for name, kind in (("console", ServiceKind.CONSOLE), ("mlflow", ServiceKind.MLFLOW)):
        url, since = f"http://127.0.0.1:{used}", tables.now()
        entry = registers.Entry(name, kind, None, ServiceState.STOPPED, url, None, 0, since, "")
        registers.write(engine, [entry])
        definitions.append(
            Definition(name, kind, lambda _, ready: ["-S", "-c", RUNS, str(ready)], first_port=20410)
        )
        used += 1
    supervisor = Supervisor(installation, definitions)
    found: list[Service] = []

    def stopped(seconds: float) -> bool:
        time.sleep(seconds)
        return found != []

    supervisor.run(stopped, found.extend)
    console, mlflow = (service.url for service in found)
    assert (console, mlflow) == ("http://127.0.0.1:20410", "http://127.0.0.1:20401")


def test_what_cannot_be_started_is_tried_again_less_and_less_often(
    make: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
):
    tried = []

    def refuse(*_: object) -> int:
        tried.append(time.monotonic())
        raise errors.SettingsError("No port is free.", remedy="")

    with monkeypatch.context() as patch:
        patch.setattr(ports, "choose", refuse)
        service = make(RUNS, first_port=20300)
        service.start_or_wait()
        assert service.state is ServiceState.WAITING
        while time.monotonic() < tried[0] + 1.3:
            service.look()
            time.sleep(0.01)
    assert 2 <= len(tried) <= 3
    assert "No port is free" in service.entry.detail
    until(service, ServiceState.RUNNING)


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(errors.SettingsError, match=r"No port of `203\.0\.113\.7`"):
        ports.choose("203.0.113.7", None, 8400)


def test_waits_double_up_to_a_limit_and_begin_anew():
    backoff = Backoff(1.0, 8.0, jitter=0.0)
    assert [backoff.next() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    backoff.reset()
    assert backoff.next() == 1.0
    spread = {Backoff(1.0, 8.0, jitter=0.2).next() for _ in range(50)}
    assert len(spread) > 10
    assert all(0.8 <= wait <= 1.2 for wait in spread)
    for _ in range(5000):
        backoff.next()


def test_a_log_that_is_full_makes_room(tmp_path: Path):
    log = RotatingLog(tmp_path / "x.log", most_bytes=30, kept=2)
    for number in range(12):
        log.write(f"line {number:03}\n".encode())
    log.close()
    kept = {path.name: path.read_text().split("\n")[0] for path in tmp_path.iterdir()}
    assert kept == {"x.log": "line 009", "x.log.1": "line 006", "x.log.2": "line 003"}
    again = RotatingLog(tmp_path / "x.log", most_bytes=30, kept=2)
    again.write(b"more\n")
    again.close()
    assert (tmp_path / "x.log").read_text() == "more\n"


def test_one_a_home(installation: Settings):
    with instances.only_one(installation) as tell:
        tell({"console": "http://127.0.0.1:8400"})
        with (
            pytest.raises(errors.Failure, match=f"process {os.getpid()} on .*8400"),
            instances.only_one(installation),
        ):
            pass
    with instances.only_one(installation):
        pass


def test_what_is_known_of_services_is_written_and_ports_are_remembered(
    installation: Settings, make: Callable[..., Service]
):
    engine = tables.connect(installation)
    service = make(RUNS, name="server/small", first_port=20100)
    service.start()
    until(service, ServiceState.RUNNING)
    for _ in range(2):
        registers.write(engine, [service.entry])
    port = int((service.url or "").rsplit(":", 1)[1])
    assert registers.ports(engine) == {"server/small": port}
    service.terminate()
    service.finish(5.0)
    registers.write(engine, [service.entry])
    assert registers.ports(engine) == {"server/small": port}
    with engine.connect() as connection:
        row = connection.execute(tables.services.select()).one()
    assert (row.state, row.pid, row.host) == ("stopped", None, socket.gethostname())
