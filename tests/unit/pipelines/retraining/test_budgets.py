"""What runs used is kept attempt by attempt; a month's budget holds retrainings back, and no person."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from tests.unit.pipelines.drift_reports import spec as pilot

from pilotage.core import pilots
from pilotage.core.artifacts import Alarm, TriggerState, Usage, Wait
from pilotage.core.settings import Settings
from pilotage.core.specs import Cause, PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import catalogues, usages
from pilotage.pipelines.journals.outbox import Kind
from pilotage.pipelines.retraining import budgets, schedules, triggers
from pilotage.pipelines.retraining.schedules import ScheduleState, Source

NOVEMBER = datetime(2026, 11, 15, 12, tzinfo=UTC)
HOUR = Usage(wall_seconds=3600, cpu_seconds=3600)
PRICES = json.dumps({"currency": "EUR", "cpu_hour": 2.0})


def limited(**limits: float) -> PilotSpec:
    content = pilot().model_dump(mode="json", exclude_unset=True)
    content["retrain"] = {**content["retrain"], "monthly": limits, "schedule": "0 3 * * *"}
    return PilotSpec.model_validate(content)


@pytest.fixture
def chosen(installation: Settings) -> Settings:
    return installation.model_copy(update={"prices": PRICES})


@pytest.fixture
def engine(chosen: Settings, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(tables, "now", lambda: NOVEMBER)
    return tables.connect(chosen)


def keep(engine: Engine, run: str, part: str = "train", at: datetime = NOVEMBER, **more) -> None:
    with engine.begin() as connection:
        usages.keep(connection, usages.Kind.RUN, run, part, "small", more.pop("usage", HOUR), at=at, **more)


def test_every_attempt_is_kept_and_one_that_is_told_again_is_not_counted_twice(engine: Engine):
    keep(engine, "r1")
    keep(engine, "r1")
    keep(engine, "r1", attempt=2, usage=HOUR.model_copy(update={"cpu_seconds": 1.0}))
    found = usages.of_subject(engine, "r1")
    assert [(record.attempt, record.usage.cpu_seconds) for record in found] == [(1, 3600.0), (2, 1.0)]
    assert usages.total([record.usage for record in found]).cpu_seconds == 3601.0


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"cost": 4.0}, "4 of 4 EUR"),
        ({"cpu_hours": 2}, "2 of 2 CPU hours"),
        ({"cost": 5.0, "cpu_hours": 1.5}, "2 of 1.5 CPU hours"),
        ({"cost": 5.0, "gpu_hours": 1}, ""),
    ],
)
def test_a_month_is_spent_when_one_of_its_limits_is_reached(
    engine: Engine, chosen: Settings, limits: dict[str, float], reason: str
):
    keep(engine, "r0", at=datetime(2026, 10, 31, 23, 59, tzinfo=UTC))
    keep(engine, "r1")
    keep(engine, "r2")
    with engine.begin() as connection:
        month = budgets.look(connection, chosen, limited(**limits), NOVEMBER)
    assert (reason in month.reason) if reason else month.reason == ""
    assert month.end == datetime(2026, 12, 1, tzinfo=UTC)


def test_the_installation_may_limit_every_pilot(engine: Engine, chosen: Settings):
    keep(engine, "r1")
    everyone = chosen.model_copy(update={"monthly_budget": 1.0})
    with engine.begin() as connection:
        assert budgets.look(connection, everyone, pilot(), NOVEMBER).reason
        assert not budgets.look(connection, chosen, pilot(), NOVEMBER).reason
        assert not budgets.look(connection, everyone, limited(cost=100), NOVEMBER).reason


def test_a_retraining_waits_for_the_next_month_and_that_is_told_once(engine: Engine, chosen: Settings):
    spec = limited(cpu_hours=1)
    alarm = Alarm(
        id="a1",
        pilot="small",
        version=1,
        cause=Cause.DRIFT,
        start=NOVEMBER,
        end=NOVEMBER,
        message="it drifts",
    )
    with engine.begin() as connection:
        catalogues.put(connection, spec, Path("/pilot"))
    keep(engine, "r1")
    triggers.open_triggers(chosen, spec, [alarm])
    for _ in range(2):
        assert triggers.dispatch(chosen, spec, Path("/pilot"), clock=NOVEMBER) is None
    (waiting,) = triggers.triggers(chosen, "small")
    assert (waiting.state, waiting.waits_for) == (TriggerState.WAITING, Wait.SPENT)
    assert waiting.until == datetime(2026, 12, 1, tzinfo=UTC)
    with engine.begin() as connection:
        told = connection.execute(
            select(tables.outbox.c.data).where(tables.outbox.c.type == Kind.BUDGET_SPENT)
        ).all()
        audited = connection.scalars(
            select(tables.audit.c.why).where(tables.audit.c.action == "budget-spent")
        )
        assert len(list(audited)) == 1
    assert len(told) == 1
    assert "1 of 1 CPU hours" in told[0].data["reason"]
    december = datetime(2026, 12, 1, 0, 1, tzinfo=UTC)
    started = []

    def launch(trigger: str):
        started.append(trigger)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        triggers.dispatch(chosen, spec, Path("/pilot"), clock=december, launch=launch)
    assert started == [waiting.id]


def test_a_schedule_lets_its_moment_pass_while_nothing_is_left(engine: Engine, chosen: Settings):
    with engine.begin() as connection:
        catalogues.put(connection, limited(cost=1.0), Path("/pilot"))
    schedules.sync(engine)
    keep(engine, "r1")
    table = tables.schedules
    with engine.begin() as connection:
        connection.execute(table.update().values(next_at=NOVEMBER))
    assert schedules.fire(engine, None, NOVEMBER, settings=chosen) == []
    with engine.begin() as connection:
        row = connection.execute(select(table)).one()
        assert (row.state, row.source, row.missed) == (ScheduleState.ACTIVE, Source.PILOT, 1)
        connection.execute(table.update().values(next_at=NOVEMBER))
    assert len(schedules.fire(engine, None, NOVEMBER)) == 1


@pytest.mark.parametrize("monthly", ["{}", "{cost: 0}", "{euros: 3}"])
def test_a_budget_that_says_nothing_is_refused(monthly: str):
    from pilotage.core import errors

    text = "version: 1\npilot: a\ngoal: {metric: r2}\ndata: {source: a.csv, target: y}\n"
    with pytest.raises(errors.SpecError, match="monthly"):
        pilots.parse(f"{text}retrain: {{monthly: {monthly}}}\n")
