"""The ML Test Score of a real pilot: each of the 28 points is there with its evidence, and goes with it."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Table, delete, text, update
from tests.integration import readiness_homes
from tests.integration.readiness_commands import require_understood
from tests.integration.readiness_homes import NAME, Home

from pilotage.core import errors, pilots
from pilotage.core.registry.versions import SqlReader
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits
from pilotage.pipelines.readiness import fragments, histories, judgements, notes, rubrics
from pilotage.pipelines.readiness.scores import How, Means

IDS = [rule.id for rule in rubrics.RULES]
MANUAL_ONLY: frozenset[str] = frozenset()
"""None: each has evidence that gives a whole point."""
Remove = Callable[[Home], timedelta | None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    before = dict(os.environ)
    home = readiness_homes.make(tmp_path_factory.mktemp("ready"))
    yield home
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def home(made: Home) -> Iterator[Home]:
    """The installation, put back behind each test."""
    yield made
    made.restore()


def edit(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def sql(home: Home, statement: Any) -> None:
    with home.engine.begin() as connection:
        connection.execute(statement)


def empty(home: Home, table: Table) -> None:
    sql(home, delete(table))


def untag(home: Home, key: str) -> None:
    with sqlite3.connect(home.settings.home / "mlflow.db") as store:
        store.execute("DELETE FROM model_version_tags WHERE key = ?", (key,))


def without_proof(kind: str) -> Remove:
    table = tables.readiness_proofs
    return lambda home: sql(home, delete(table).where(table.c.kind == kind))


def without_gate(measure: str) -> Remove:
    def remove(home: Home) -> None:
        def change(card: dict[str, Any]) -> None:
            card["gates"] = [gate for gate in card["gates"] if not gate["gate"].startswith(measure)]

        edit(home.of_run(2, "scorecard.json"), change)

    return remove


def without_features(home: Home) -> None:
    spec = {**home.subject.run.spec}  # type: ignore[union-attr]
    spec["data"] = {name: value for name, value in spec["data"].items() if name != "features"}
    sql(home, update(tables.runs).values(spec=spec))


def without_calls(home: Home) -> None:
    table = tables.readiness_proofs
    details = dict(home.subject._proofs["tests"].details) | {"called": ["rows:load"]}  # type: ignore[index]
    sql(home, update(table).where(table.c.kind == "tests").values(details=details))


def without_drift(home: Home) -> None:
    for file in (home.settings.home / "windows").rglob("drift.json"):
        file.unlink()


def without_renewal(home: Home) -> None:
    empty(home, tables.schedules)
    empty(home, tables.windows)


REMOVALS: dict[str, Remove] = {
    "data-1": lambda home: home.of_run(2, "report.json").unlink(),
    "data-2": lambda home: edit(home.of_model(2, "profile.json"), lambda found: found.pop("importances")),
    "data-3": without_gate("latency_p99_ms"),
    "data-4": without_features,
    "data-5": lambda home: empty(home, tables.grants),
    "data-6": lambda home: home.of_run(1, "snapshot.json").unlink(),
    "data-7": without_proof("tests"),
    "model-1": lambda home: untag(home, "pilotage.revision"),
    "model-2": lambda home: sql(home, update(tables.windows).values(value=None)),
    "model-3": lambda home: edit(home.of_model(2, "model.json"), lambda found: found.update(trials=0)),
    "model-4": lambda home: edit(home.of_run(2, "scorecard.json"), lambda found: found.update(champion=None)),
    "model-5": without_proof("simple"),
    "model-6": without_gate("group_metric_difference"),
    "model-7": without_gate("demographic_parity_difference"),
    "infrastructure-1": without_proof("repeat"),
    "infrastructure-2": without_calls,
    "infrastructure-3": lambda home: empty(home, tables.schedules),
    "infrastructure-4": lambda home: home.of_run(2, "scorecard.json").unlink(),
    "infrastructure-5": lambda home: home.of_model(2, "form/form.json").unlink(),
    "infrastructure-6": lambda home: (home.settings.home / "rollouts" / NAME / "2.json").unlink(),
    "infrastructure-7": lambda home: timedelta(days=181),  # the audit cannot be removed, but gets old
    "monitoring-1": lambda home: empty(home, tables.deliveries),
    "monitoring-2": lambda home: empty(home, tables.windows),
    "monitoring-3": lambda home: untag(home, "pilotage.skew"),
    "monitoring-4": without_renewal,
    "monitoring-5": without_drift,
    "monitoring-6": lambda home: sql(home, delete(tables.steps).where(tables.steps.c.name == "train")),
    "monitoring-7": lambda home: sql(home, update(tables.windows).values(realized=None)),
}


def points(home: Home, **more: Any) -> dict[str, float]:
    return {test.id: test.points for test in home.assess(**more).tests}


def test_all_that_evidence_can_earn_is_earned_and_shows_its_evidence(home: Home):
    found = home.assess()
    left = {test.id: test.missing for test in found.tests if test.points < 1}
    assert set(left) == MANUAL_ONLY, left
    assert set(REMOVALS) == set(IDS) - MANUAL_ONLY
    for test in found.tests:
        if test.points:
            assert test.evidence, test.id
            assert all(item.link and item.text and item.at for item in test.evidence), test
    assert found.score == min(section.score for section in found.sections)
    assert found.band == rubrics.band(found.score)


@pytest.mark.parametrize("test", [test for test in IDS if test not in MANUAL_ONLY])
def test_a_point_goes_with_its_evidence(home: Home, test: str):
    later = REMOVALS[test](home)
    now = tables.now() + later if isinstance(later, timedelta) else None
    found = next(item for item in home.assess(now=now).tests if item.id == test)
    assert (found.points, found.how) == (0.0, How.NONE)
    assert found.missing
    assert found.next
    require_true(home, found.next, found.means)


def require_true(home: Home, following: str, means: Means) -> None:
    """What would earn a point is a command that is understood, or a fragment that pilot.yaml takes."""
    if means is Means.YAML:
        base = yaml.safe_load((home.folder / "pilot.yaml").read_text())
        pilots.parse(yaml.safe_dump(fragments.merged(base, yaml.safe_load(following))))
        return
    if means is Means.SETTING:
        assert following.startswith("PILOTAGE_")
        return
    require_understood(following)


def test_a_pilot_that_is_not_here_is_named(home: Home):
    with pytest.raises(errors.NotFound, match="no pilot `nobody`"):
        judgements.assess(home.settings, "nobody")


def test_a_score_gets_old_where_nothing_is_done_any_more(home: Home):
    late = points(home, now=tables.now() + timedelta(days=400))
    lost = {test for test in late if late[test] == 0}
    regular = {"infrastructure-1", "infrastructure-3", "infrastructure-7", "model-5", "data-7"}
    assert regular | {f"monitoring-{number}" for number in (1, 2, 3, 4, 5, 6, 7)} <= lost


def test_another_version_has_to_earn_its_own(home: Home):
    with sqlite3.connect(home.settings.home / "mlflow.db") as store:
        store.execute("UPDATE registered_model_aliases SET version = 1 WHERE alias = 'champion'")
    found = points(home)
    assert (found["infrastructure-6"], found["model-4"]) == (0, 0)


def test_a_note_is_half_a_point_of_a_named_person_and_ends(home: Home):
    empty(home, tables.grants)
    for test in ("data-5", "data-1"):
        notes.add(home.engine, NAME, test, "Bo and I went through it", who="ann")
    found = {test.id: test for test in home.assess().tests}
    assert (found["data-5"].points, found["data-5"].how) == (0.5, How.MANUAL)
    assert "ann: Bo and I went through it" in found["data-5"].evidence[0].text
    assert found["data-5"].next
    assert found["data-1"].points == 1.0  # evidence is more than a word
    assert points(home, now=tables.now() + notes.USUAL + timedelta(minutes=1))["data-5"] == 0.0
    [told] = [line for line in audits.read(home.engine, NAME) if line.details.get("test") == "data-5"]
    assert (told.action, told.who, told.why) == (notes.NOTED, "ann", "Bo and I went through it")


def test_a_withdrawn_note_counts_no_more(home: Home):
    empty(home, tables.grants)
    note = notes.add(home.engine, NAME, "data-5", "I looked", who="ann")
    notes.withdraw(home.engine, NAME, note.id, who="bo", why="it was not so")
    notes.withdraw(home.engine, NAME, note.id, who="eve", why="again")
    assert points(home)["data-5"] == 0.0
    told = [line.who for line in audits.read(home.engine, NAME) if line.action == notes.WITHDRAWN]
    assert told == ["bo"]
    with pytest.raises(errors.NotFound, match="no note `x`"):
        notes.withdraw(home.engine, NAME, "x", who="bo")


def test_history_has_an_entry_when_points_change_and_one_a_day(home: Home):
    first = home.assess()
    assert histories.record(home.engine, first)
    assert not histories.record(home.engine, home.assess())
    later = first.model_copy(update={"at": first.at + timedelta(days=1, minutes=1)})
    assert histories.record(home.engine, later)
    home.of_run(2, "report.json").unlink()
    changed = home.assess(now=later.at + timedelta(minutes=1))
    assert histories.record(home.engine, changed)
    entries = histories.listed(home.engine, NAME)
    assert [entry.points["data-1"] for entry in entries] == [1.0, 1.0, 0.0]
    assert entries[0].sections["data"] - entries[2].sections["data"] >= 1.0


def test_reading_looks_at_few_rows_however_many_runs_there_are(home: Home):
    with home.engine.begin() as connection:
        row = dict(connection.execute(text("SELECT * FROM runs LIMIT 1")).one()._mapping)
        names = ", ".join(f'"{name}"' for name in row)
        places = ", ".join(f":{name}" for name in row)
        rows = [
            {**row, "id": f"old-{number:05}", "asked_at": "2020-01-01 00:00:00.000000"}
            for number in range(3000)
        ]
        connection.execute(text(f"INSERT INTO runs ({names}) VALUES ({places})"), rows)
    about = home.subject
    assert len(about.runs) <= 20
    with home.engine.connect() as connection:
        plan = connection.execute(
            text(
                "EXPLAIN QUERY PLAN SELECT id FROM runs WHERE pilot = 'ready' ORDER BY asked_at DESC LIMIT 20"
            )
        ).all()
    assert "runs_by_pilot" in str(plan)
    assert home.assess().version == 2


def test_one_version_is_read_without_the_others(home: Home):
    reader = SqlReader(home.settings.tracking)
    listed = {item.version: item for item in reader.versions(NAME)}
    assert reader.version(NAME, 2) == listed[2]
    assert reader.version(NAME, 9) is None
