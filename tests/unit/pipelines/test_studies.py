"""Studies: one of a kind at a time, kept over crashes, noticed when their process is gone."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, update

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.pipelines import studies, tables
from pilotage.pipelines.journals import audits
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.machines import processes
from pilotage.pipelines.studies import Kind, Progress, records

pytestmark = pytest.mark.databases


@pytest.fixture
def engine(installation: Settings) -> Engine:
    return tables.connect(installation)


def carry_out(installation: Settings, study: str | None = None, pilot: str = "small", **more: Any) -> Any:
    return studies.carry_out(installation, pilot, Kind.FORECAST, {"seed": 1}, "ann", study=study, **more)


def finish(installation: Settings, study: str | None = None) -> str:
    with carry_out(installation, study) as work:
        work.finish({"forecast": [1, 2]}, {"verdict": "cannot tell"})
    return str(work.study.id)


def leave(engine: Engine, study: str, process: processes.Identity) -> None:
    """Make it that process's."""
    values = asdict(process)
    values["process_started"] = values.pop("started")
    with engine.begin() as connection:
        connection.execute(update(tables.studies).where(tables.studies.c.id == study), values)


def a_dead_process() -> processes.Identity:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = processes.of(child.pid)
    child.communicate(b"\n")
    assert found is not None
    return found


def test_what_was_found_is_in_the_storage_and_in_short_in_the_table(installation: Settings, engine: Engine):
    told: list[Progress] = []
    with carry_out(installation, on_progress=told.append) as work:
        work.progress(1, 2, "half")
        assert records.find(engine, work.study.id).progress == Progress(1, 2, "half")
        work.write("plot.svg", b"<svg/>")
        work.finish({"value": float("nan")}, {"verdict": "out of reach"})
    found = studies.latest(engine, "small", Kind.FORECAST)
    assert found is not None
    assert (found.state, found.result) == (State.SUCCEEDED, {"verdict": "out of reach"})
    assert json.loads(studies.read_file(installation, found)) == {"value": None}
    assert studies.read_file(installation, found, "plot.svg") == b"<svg/>"
    assert told == [Progress(1, 2, "half")]


def test_who_asked_is_in_the_audit(installation: Settings, engine: Engine):
    study = finish(installation)
    (record,) = audits.read(engine, "small")
    assert (record.action, record.who, record.details["study"]) == ("forecast", "ann", study)


def test_one_of_a_kind_goes_on_at_a_time(installation: Settings, engine: Engine):
    with carry_out(installation) as work:
        with pytest.raises(errors.RunActive, match=work.study.id):
            studies.ask(engine, "small", Kind.FORECAST, {}, "bob")
        studies.ask(engine, "small", Kind.SHRINK, {}, "bob")
        studies.ask(engine, "other", Kind.FORECAST, {}, "bob")
        work.finish({}, {})
    studies.ask(engine, "small", Kind.FORECAST, {}, "bob")


def test_a_failure_is_told_and_the_study_can_be_begun_again(installation: Settings, engine: Engine):
    def fail() -> None:
        with carry_out(installation) as work:
            work.keep({"rows": 10}, {"loss": 0.5})
            raise errors.DataError("no rows", remedy="bring some")

    with pytest.raises(errors.DataError):
        fail()
    found = studies.latest(engine, "small", Kind.FORECAST)
    assert found is not None
    assert (found.state, found.result) == (State.FAILED, None)
    assert found.error == {"type": "DataError", "message": "no rows", "remedy": "bring some"}
    with carry_out(installation, found.id) as again:
        assert again.study.options == {"seed": 1}
        assert again.kept({"rows": 10}) == {"loss": 0.5}
        assert again.kept({"rows": 20}) is None
        again.finish({}, {})
    assert studies.find(engine, found.id).state is State.SUCCEEDED
    with pytest.raises(errors.Conflict, match="succeeded"), carry_out(installation, found.id):
        pass


def test_an_unexpected_error_names_how_to_go_on(installation: Settings, engine: Engine):
    with pytest.raises(ZeroDivisionError), carry_out(installation) as work:
        raise ZeroDivisionError
    error = studies.find(engine, work.study.id).error
    assert error is not None
    assert error["type"] == "ZeroDivisionError"
    assert f"--study {work.study.id}" in error["remedy"]


def test_a_study_whose_process_is_gone_has_died_and_frees_the_place(installation: Settings, engine: Engine):
    study = studies.ask(engine, "small", Kind.FORECAST, {}, "ann")
    records.claim(engine, study)
    leave(engine, study, a_dead_process())
    found = studies.find(engine, study)
    assert found.state is State.DIED
    assert found.error is not None
    assert found.error["type"] == "ProcessDied"
    assert finish(installation, study) == study


def test_a_study_elsewhere_lives_while_it_says_so(installation: Settings, engine: Engine):
    study = studies.ask(engine, "small", Kind.FORECAST, {}, "ann")
    records.claim(engine, study)
    leave(engine, study, processes.Identity("elsewhere", "boot", 1, 1.0))
    assert studies.find(engine, study).state is State.RUNNING
    assert not records.see(engine, study)  # it is not this process's
    silent = tables.now() - records.SILENT - timedelta(seconds=1)
    with engine.begin() as connection:
        connection.execute(update(tables.studies), {"seen_at": silent})
    assert studies.find(engine, study).state is State.DIED


def test_told_to_stop_it_ends_at_the_next_step(installation: Settings, engine: Engine):
    def be_stopped() -> None:
        with carry_out(installation) as work:
            work.progress(0, 2, "first")
            studies.cancel(engine, work.study.id, "bob", "too long")
            studies.cancel(engine, work.study.id, "bob")
            work.progress(1, 2, "second")

    with pytest.raises(errors.Stopped, match="told to stop"):
        be_stopped()
    found = studies.latest(engine, "small", Kind.FORECAST)
    assert found is not None
    assert found.state is State.CANCELLED
    studies.cancel(engine, found.id, "bob")


def test_one_that_has_not_begun_is_cancelled_at_once(installation: Settings, engine: Engine):
    study = studies.ask(engine, "small", Kind.FORECAST, {}, "ann")
    studies.cancel(engine, study, "bob")
    assert studies.find(engine, study).state is State.CANCELLED
    done = finish(installation)
    with pytest.raises(errors.Conflict, match="succeeded"):
        studies.cancel(engine, done, "bob")


def test_studies_are_listed_newest_first(installation: Settings, engine: Engine):
    names = [finish(installation) for _ in range(3)]
    found = studies.listed(engine, "small", limit=2)
    assert [study.id for study in found] == names[:0:-1]
    last = found[-1]
    rest = studies.listed(engine, "small", before=(last.asked_at, last.id))
    assert [study.id for study in rest] == names[:1]
    assert studies.listed(engine, "small", Kind.SHRINK) == []
    assert studies.latest(engine, "other", Kind.FORECAST) is None


def test_another_pilots_study_is_refused(installation: Settings, engine: Engine):
    study = studies.ask(engine, "small", Kind.FORECAST, {}, "ann")
    with (
        pytest.raises(errors.Conflict, match="not a forecast of `other`"),
        carry_out(installation, study, pilot="other"),
    ):
        pass
    with pytest.raises(errors.NotFound, match="no study `x`"), carry_out(installation, "x"):
        pass


def test_a_launched_process_has_the_study_until_it_is_gone(
    installation: Settings, engine: Engine, tmp_path: Path
):
    study = studies.find(engine, studies.ask(engine, "small", Kind.FORECAST, {}, "ann"))
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    studies.launch(engine, installation, study, tmp_path, lambda *_: child)
    assert studies.find(engine, study.id).state is State.PENDING
    child.communicate(b"\n")
    assert studies.find(engine, study.id).state is State.DIED


def test_where_no_process_can_be_started_the_study_ends(
    installation: Settings, engine: Engine, tmp_path: Path
):
    def fail(*_: object) -> subprocess.Popen[Any]:
        raise OSError(11, "Resource temporarily unavailable")

    study = studies.find(engine, studies.ask(engine, "small", Kind.FORECAST, {}, "ann"))
    with pytest.raises(errors.Unavailable, match="temporarily"):
        studies.launch(engine, installation, study, tmp_path, fail)
    assert studies.find(engine, study.id).ended


def test_one_that_ends_while_it_is_looked_at_is_not_taken_for_dead(
    installation: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    with carry_out(installation) as work:
        work.finish({"forecast": []}, {"verdict": "cannot tell"})
        name = work.study.id
        with tables.reading(engine) as connection:
            seen = connection.execute(tables.studies.select().where(tables.studies.c.id == name)).one()
    monkeypatch.setattr(records, "_lives", lambda row: False)  # its process has ended by now
    with engine.begin() as connection:
        records._bury(connection, [seen])
    assert studies.find(engine, name).state is State.SUCCEEDED
