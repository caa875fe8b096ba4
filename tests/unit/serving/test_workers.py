"""The supervisor where workers do not even start, and what it hands them."""

from __future__ import annotations

import logging
import logging.config
from pathlib import Path

import pytest
from tests.unit.serving import small_models

from pilotage.core import errors, settings
from pilotage.serving import listeners, servers, workers
from pilotage.serving.limits import Limits
from pilotage.serving.plans import Plan


def plan(folder: Path) -> Plan:
    return Plan.of(
        [small_models.pilot(folder / "pilot")],
        settings.load(trusted_types=("a.B",)),
        Limits(rows=7),
        host="127.0.0.1",
        versions={"flights": (2, 3)},
        grpc_port=0,
    )


def test_a_plan_survives_being_handed_over(tmp_path: Path) -> None:
    given = plan(tmp_path)
    found = Plan.model_validate_json(given.model_dump_json())
    assert found == given
    assert found.pilots[0].spec == given.pilots[0].spec
    assert (found.limits.rows, found.settings.trusted_types) == (7, ("a.B",))


def supervise(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a supervisor whose workers are a shell script."""
    program = folder / "worker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(program))
    monkeypatch.setattr(workers, "_FIRST_WAIT_SECONDS", 0.001)
    with listeners.listening("127.0.0.1", 0) as listener:
        workers.Supervisor(plan(folder), listener, 2, lambda grpc: pytest.fail("nobody is ready")).run()


def test_a_server_whose_workers_die_at_once_gives_up_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(errors.Failure, match=r"ended 5 times in a row .* ended with exit code 7\."):
        supervise(tmp_path, f"echo >> {tmp_path}/starts; exit 7", monkeypatch)
    assert 5 <= len((tmp_path / "starts").read_text().splitlines()) <= 10


def test_a_worker_that_is_killed_is_told_by_its_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(errors.Failure, match="was killed by SIGKILL"):
        supervise(tmp_path, "kill -9 $$", monkeypatch)


def test_a_wrong_setting_ends_the_server_at_once_in_the_workers_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = '{"error": "The storage is odd.", "remedy": "Mend it."}'
    with pytest.raises(errors.SettingsError, match="The storage is odd") as caught:
        supervise(tmp_path, f"echo '{told}' > /proc/self/fd/$5; exit 2", monkeypatch)
    assert caught.value.remedy == "Mend it."


def test_workers_log_as_their_supervisor_does(monkeypatch: pytest.MonkeyPatch) -> None:
    from pilotage.core import logs

    handler = logging.StreamHandler()
    handler.setFormatter(logs.ShortJsonLines())
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [handler])
    document = workers._logging()
    logging.config.dictConfig(document)
    (made,) = root.handlers
    assert isinstance(made.formatter, logs.ShortJsonLines)


@pytest.mark.parametrize(
    ("count", "names", "message"),
    [(0, 1, "0 workers"), (257, 1, "257 workers"), (1, 2, "`flights` is named twice"), (1, 0, "No pilot")],
)
def test_what_cannot_be_served_is_refused(tmp_path: Path, count: int, names: int, message: str) -> None:
    pilots = [small_models.pilot(tmp_path / str(number)) for number in range(names)]
    with pytest.raises(errors.SettingsError, match=message):
        servers.run(pilots, settings.load(), port=0, workers=count)
