"""Kubeflow's recurring runs are what pilot.yaml says, once, and what they start is looked at like any run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pilotage.core import errors, pilots
from pilotage.core.artifacts import Usage
from pilotage.pipelines import tables
from pilotage.pipelines.journals import catalogues, outbox, usages
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.kubeflow import recurrences
from pilotage.pipelines.kubeflow.clients import Client
from pilotage.pipelines.retraining import schedules

HOUR = Usage(wall_seconds=3600, cpu_seconds=3600)


@pytest.fixture
def clock(cluster_with) -> Any:
    """An installation whose clock Kubeflow keeps, with one pilot that is due every Monday."""
    cluster = cluster_with(kubeflow_schedules=True, kubeflow_timeout_seconds=30)
    file = cluster.folder / "pilot.yaml"
    file.write_text(file.read_text() + 'retrain: {schedule: "0 3 * * 1"}\n')
    take_in(cluster)
    return cluster


def take_in(cluster: Any) -> None:
    found = pilots.load(cluster.folder)
    with cluster.records.engine.begin() as connection:
        catalogues.put(connection, found.spec, found.folder)
    schedules.sync(cluster.records.engine)


def sync(cluster: Any) -> Any:
    recurrences.sync(cluster.records.engine, cluster.settings, None)
    return cluster.kubeflow.recurring


def test_a_schedule_becomes_one_recurring_run_however_often_it_is_looked_at(clock):
    first = dict(sync(clock))
    assert sync(clock) == first
    (made,) = first.values()
    assert made["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * 1"
    assert (made["max_concurrency"], made["no_catchup"], made["mode"]) == ("1", True, "ENABLE")
    assert "run" not in made["runtime_config"]["parameters"], "Kubeflow's own id is the run's"


def test_a_change_of_the_pilot_or_its_code_replaces_it(clock):
    (before,) = sync(clock)
    (clock.folder / "code.py").write_text("x = 1\n")
    (after,) = sync(clock)
    assert after != before


def test_a_schedule_that_is_paused_or_taken_out_is_deleted(clock):
    assert len(sync(clock)) == 1
    schedules.pause(clock.records.engine, "small", "ann")
    assert sync(clock) == {}
    schedules.resume(clock.records.engine, "small", "ann")
    assert len(sync(clock)) == 1
    file = clock.folder / "pilot.yaml"
    file.write_text(file.read_text().replace("retrain:", "# retrain:"))
    take_in(clock)
    assert sync(clock) == {}


def test_the_clock_given_back_leaves_none_behind(clock):
    assert len(sync(clock)) == 1
    ours = clock.settings.model_copy(update={"kubeflow_schedules": False})
    recurrences.sync(clock.records.engine, ours, None)
    assert clock.kubeflow.recurring == {}


def test_none_is_left_while_the_budget_is_spent_and_it_comes_back_with_the_next_month(clock, monkeypatch):
    file = clock.folder / "pilot.yaml"
    file.write_text(file.read_text().replace('* * 1"}', '* * 1", monthly: {cpu_hours: 1}}'))
    take_in(clock)
    november = datetime(2026, 11, 15, tzinfo=UTC)
    monkeypatch.setattr(tables, "now", lambda: november)
    (recurring,) = sync(clock)
    experiment = Client(clock.settings).experiment("small")
    content = clock.kubeflow.recurring[recurring]["runtime_config"]
    body = {"display_name": "retrain", "experiment_id": experiment, "runtime_config": content}
    started = clock.kubeflow.start(body, recurring=recurring)
    with clock.records.engine.begin() as connection:
        usages.keep(connection, usages.Kind.RUN, "r", "train", "small", HOUR, at=november)
    assert sync(clock) == {}
    assert sync(clock) == {}
    assert [record.id for record in clock.records.runs()] == [started.id], "what it had started is followed"
    with clock.records.engine.begin() as connection:
        assert len(outbox.events(connection, "small", outbox.Kind.BUDGET_SPENT)) == 1
    monkeypatch.setattr(tables, "now", lambda: datetime(2026, 12, 1, tzinfo=UTC))
    assert len(sync(clock)) == 1


def test_only_one_clock_has_a_schedule(clock):
    row = tables.schedules
    with clock.records.engine.begin() as connection:
        connection.execute(row.update().values(next_at=tables.now()))
    assert schedules.fire(clock.records.engine, None, written=False) == []
    assert len(schedules.fire(clock.records.engine, None)) == 1


def test_what_the_clock_starts_is_taken_in_once_and_followed(clock):
    (recurring,) = sync(clock)
    experiment = Client(clock.settings).experiment("small")
    body = {
        "display_name": "Run of small retrain",
        "experiment_id": experiment,
        "runtime_config": clock.kubeflow.recurring[recurring]["runtime_config"],
    }
    clock.kubeflow.start({**body, "display_name": "of somebody else"})
    started = [clock.kubeflow.start(body, recurring=recurring) for _ in range(3)]
    sync(clock)
    sync(clock)
    found = clock.records.runs()
    assert {record.id for record in found} == {run.id for run in started}
    assert {(record.state, record.asked_by, record.schedule) for record in found} == {
        (State.PENDING, "kubeflow", "small")
    }
    clock.name = started[0].id
    clock.play(*clock.whole())
    from pilotage.pipelines.journals.events import Journal

    clock.carry_out(Journal(clock.records, clock.name))
    assert {step.state for step in clock.steps.values()} == {State.SUCCEEDED}
    assert clock.kubeflow.count("run_service_create_run") == 0


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("0 3 * * 1", "0 0 3 * * 1"),
        ("*/5 0-6 1,15 JUL *", "0 */5 0-6 1,15 JUL *"),
        ("0 3 * * 5-7", "0 0 3 * * 0,5,6"),
        ("0 3 * * WED", "0 0 3 * * 3"),
    ],
)
def test_cron_is_said_as_kubeflow_reads_it(ours: str, theirs: str):
    assert recurrences.cron_of(ours) == theirs


@pytest.mark.parametrize("expression", ["0 3 L * *", "0 3 * * 1#2", "0 3 * * 5L"])
def test_what_its_clock_cannot_say_is_refused(expression: str):
    with pytest.raises(errors.InputError, match="leave the clock with Pilotage"):
        recurrences.cron_of(expression)
