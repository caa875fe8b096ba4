"""Costs of a pilot: what runs used and what was served, priced, by month and step, and what to change."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.console.desks import actor, client
from tests.unit.console.monitored import know
from tests.unit.pipelines.drift_reports import HOUR, START, report, spec

from pilotage.console.access.actors import Role
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.execution import costs, savings
from pilotage.console.operations.execution.savings import Served
from pilotage.core.artifacts import Usage
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import usages
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.journals.states import STEPS
from pilotage.pipelines.retraining import observations

PRICES = {"currency": "EUR", "cpu_hour": 3.6, "watts_per_cpu": 36.0, "carbon_kg_per_kwh": 0.5}
USED = Usage(wall_seconds=20, cpu_seconds=10, peak_memory_bytes=10**8)


@pytest.fixture
def priced(desk: Desk) -> Desk:
    """Two runs, of two months, and three hours of traffic."""
    priced = replace(desk, settings=desk.settings.model_copy(update={"prices": json.dumps(PRICES)}))
    know(priced, spec())
    served = [
        report(hour).model_copy(update={"cpu_seconds": 2.0, "peak_memory_bytes": 10**8}) for hour in range(3)
    ]
    observations.observe(priced.settings, spec(), served)
    records = Records(tables.connect(priced.settings))
    for run, month in (("r1", 2), ("r2", 3)):
        records.begin_run(run, spec(), priced.settings.home, STEPS)
        for part in ("train", "train", usages.BESIDE):
            at = datetime(2026, month, 5, tzinfo=UTC)
            records.keep_usage(run, part, USED, at=at)
        records.end_run(run, "succeeded", 0)  # type: ignore[arg-type]
    return priced


def test_a_run_is_told_by_step_with_all_attempts(priced: Desk):
    found = costs.get_run_cost(priced, actor(), "r1")
    assert {part.part: (part.attempts, part.bill.cpu_seconds) for part in found.parts} == {
        "train": (2, 20.0),
        usages.BESIDE: (1, 10.0),
    }
    assert found.total is not None
    assert found.total.wall_seconds == 20  # of the process that carried it out: steps ran within it
    assert found.total.cost is not None
    assert found.total.cost.total == pytest.approx(30 * 0.001)
    assert found.total.energy is not None
    assert found.total.energy.kwh == pytest.approx(30 * 36 / 3.6e6)


def test_a_study_is_no_run_of_its_month_but_costs(priced: Desk):
    with tables.connect(priced.settings).begin() as connection:
        at = datetime(2026, 3, 6, tzinfo=UTC)
        usages.keep(connection, usages.Kind.STUDY, "s1", "forecast", "small", USED, at=at)
    month = costs.get_costs(priced, actor(), "small").by_month[0]
    assert (month.month, month.runs) == ("2026-03", 1)
    assert month.training is not None
    assert month.training.cpu_seconds == 40.0


def test_a_pilot_is_told_by_month_step_and_prediction(priced: Desk):
    found = costs.get_costs(priced, actor(), "small")
    assert [(month.month, month.runs) for month in found.by_month] == [("2026-03", 1), ("2026-02", 1)]
    assert [(group.name, group.count, group.bill.cpu_seconds) for group in found.by_part] == [
        ("train", 2, 40.0),
        (usages.BESIDE, 2, 20.0),
    ]
    assert [(group.name, group.count) for group in found.by_kind] == [("run", 2)]
    assert found.serving is not None
    assert found.serving.per_thousand is not None
    rows = report(0).rows
    assert found.serving.per_thousand.cpu_seconds == pytest.approx(1000 * 2.0 / rows)
    assert found.serving.per_thousand.cost is not None
    assert found.serving.per_thousand.cost.total == pytest.approx(2.0 / rows)
    assert costs.get_costs(priced, actor(), "small", since=START + 2 * HOUR).serving.rows == rows  # type: ignore[union-attr]


def test_the_api_and_the_pages_tell_the_same(priced: Desk):
    browser = client(priced, actor(Role.VIEWER))
    told = browser.get("/api/v1/pilots/small/costs")
    assert told.status_code == 200
    assert told.json()["total"]["cost"]["currency"] == "EUR"
    assert browser.get("/api/v1/runs/r2/costs").json()["total"]["cpu_seconds"] == 30.0
    assert browser.get("/api/v1/runs/none/costs").status_code == 404
    page = browser.get("/pilots/small/costs").text
    for words in ("2026-02", "0.06 EUR", "A thousand predictions", "asks for too much", "memory: 128Mi"):
        assert words in page
    assert "What it cost" in browser.get("/runs/r1").text


def test_nothing_is_known_of_a_pilot_without_runs(desk: Desk):
    know(desk, spec())
    found = costs.get_costs(desk, actor(), "small")
    assert (found.total, found.by_month, found.serving, found.budget, found.advice) == (
        None,
        (),
        None,
        None,
        (),
    )


def served(busy: float, peak: int = 300 << 20, count: int = 5) -> list[Served]:
    """Hours in which all servers together kept `busy` CPUs busy."""
    return [
        Served(
            START + hour * HOUR, START + (hour + 1) * HOUR, 100, 100, busy * 3600 / (2 if hour else 1), peak
        )
        for hour in range(count)
    ]


def serving(**serve: object) -> PilotSpec:
    content = spec().model_dump(mode="json", exclude_unset=True)
    return PilotSpec.model_validate({**content, "serve": serve})


@pytest.mark.parametrize(
    ("serve", "windows", "fragments"),
    [
        ({"replicas": {"min": 4, "max": 8}, "cpu": "1"}, served(0.9), ["replicas: {min: 2, max: 8}"]),
        ({"replicas": {"min": 1, "max": 3}, "cpu": "1"}, served(0.1), ["cpu: 200m"]),
        ({"replicas": {"min": 1, "max": 3}, "cpu": "200m"}, served(0.19), ["cpu: 400m"]),
        ({"cpu": "200m", "memory": "2Gi"}, served(0.1), ["memory: 448Mi"]),
        ({"cpu": "200m", "memory": "320Mi"}, served(0.1), ["memory: 448Mi"]),
        ({"cpu": "200m", "memory": "512Mi"}, served(0.1), []),
        ({"replicas": {"min": 4, "max": 8}, "memory": "9Gi"}, served(0.1, count=2), []),
    ],
)
def test_advice_says_what_to_write(serve: dict[str, object], windows: list[Served], fragments: list[str]):
    found = savings.find(serving(**serve), windows)
    assert [advice.fragment.splitlines()[-1].strip() for advice in found] == fragments
    for advice in found:
        PilotSpec.model_validate({**spec().model_dump(mode="json", exclude_unset=True)})
        assert "%" in advice.seen


def test_versions_that_serve_at_once_are_one_load():
    twice = [*served(0.6), *served(0.6)]
    (advice,) = savings.find(serving(replicas={"min": 5, "max": 9}, cpu="1"), twice)
    assert advice.fragment == "serve:\n  replicas: {min: 3, max: 9}\n"
    assert timedelta(hours=1) == HOUR
