"""Pilots at a glance: every fact of the right pilot, few questions however many pilots, nothing of others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import event, insert, update
from tests import populations
from tests.unit.console.desks import actor

from pilotage.console.access.actors import Role
from pilotage.console.operations import marks, overviews
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.execution import comparisons
from pilotage.console.operations.execution.comparisons import Section
from pilotage.console.operations.monitoring import chronicles
from pilotage.console.operations.overviews import Ground
from pilotage.console.pages import advices
from pilotage.core import errors
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits

VIEWER = actor(Role.VIEWER)
LAST, LAST_OF_THIRD = "20260101-000009-abcdef", "20260101-000011-abcdef"


@pytest.fixture
def full(desk: Desk) -> Iterator[Desk]:
    """Three pilots with twelve runs and thirty windows each."""
    populations.fill(desk.engine, populations.Size())
    yield desk
    desk.engine.dispose()


@pytest.mark.databases
def test_a_row_tells_where_the_pilot_stands(full: Desk):
    first, second, third = overviews.list_overviews(full, VIEWER).items
    assert [first.name, second.name, third.name] == ["pilot-000", "pilot-001", "pilot-002"]
    assert (first.standing.metric, first.standing.target, first.standing.ground) == (
        "roc_auc",
        0.72,
        Ground.LABELS,
    )
    assert first.standing.value == first.windows[-4].metric, "the last three have no labels yet"
    assert first.standing.value is not None
    assert first.standing.met is (first.standing.value >= 0.72)
    assert (first.worry.count if first.worry else 0, first.waiting) == (1, ())
    assert (second.worry, second.waiting) == (None, (3,))
    assert first.health is not None
    assert (first.health.state, second.health) == ("running", None)
    assert first.last_run is not None
    assert first.last_run.id == LAST
    assert (first.next_at is None, second.next_at is None) == (False, True)
    assert first.value is not None
    assert first.value.gain == pytest.approx(27 * 250.0)


def test_windows_are_the_latest_oldest_first(full: Desk):
    pilot = overviews.get_overview(full, VIEWER, "pilot-001")
    starts = [window.start for window in pilot.windows]
    assert len(starts) == overviews.WINDOWS
    assert starts == sorted(starts)
    assert [window.realized for window in pilot.windows[-4:]] == [True, False, False, False]


def test_more_pilots_are_no_more_questions(desk: Desk):
    populations.fill(desk.engine, populations.Size(pilots=40, runs=80, windows=5))
    asked: list[str] = []
    event.listen(
        desk.engine, "before_cursor_execute", lambda *arguments: asked.append(str(arguments[2])[:80])
    )
    counts = []
    for limit in (1, 40):
        asked.clear()
        assert len(overviews.list_overviews(desk, VIEWER, limit=limit).items) == limit
        counts.append(len([line for line in asked if line.startswith("SELECT")]))
    assert counts[0] == counts[1]


def test_estimates_and_the_test_stand_in_where_labels_have_not_come(full: Desk):
    with full.engine.begin() as connection:
        connection.execute(update(tables.windows), {"realized": None})
    pilot = overviews.get_overview(full, VIEWER, "pilot-000")
    assert (pilot.standing.ground, pilot.standing.value) == (Ground.ESTIMATE, pilot.windows[-1].metric)
    with full.engine.begin() as connection:
        connection.execute(update(tables.windows), {"metric": "accuracy"})
    standing = overviews.get_overview(full, VIEWER, "pilot-000").standing
    assert (standing.ground, standing.value, standing.met) == (None, None, None)


def test_a_pilot_of_others_is_told_of_nowhere(full: Desk):
    stranger = actor(Role.ADMIN, pilot="pilot-001")
    assert [item.name for item in overviews.list_overviews(full, stranger).items] == ["pilot-001"]
    assert overviews.list_names(full, stranger) == ["pilot-001"]
    for ask in (overviews.get_overview, chronicles.get_chronicle):
        with pytest.raises(errors.NotFound):
            ask(full, stranger, "pilot-000")
    with pytest.raises(errors.NotFound):
        comparisons.compare_runs(full, stranger, LAST, LAST_OF_THIRD)


@pytest.mark.databases
def test_the_past_has_events_of_all_kinds_newest_first(full: Desk):
    past = chronicles.get_chronicle(full, VIEWER, "pilot-000")
    assert {event.kind for event in past.events} == set(chronicles.Kind)
    moments = [event.at for event in past.events]
    assert moments == sorted(moments, reverse=True)
    assert [span.version for span in past.spans] == [1, 2]
    [release] = [event for event in past.events if event.kind is chronicles.Kind.RELEASE]
    assert release.at == past.spans[0].start, "a version stands where it began to serve"
    assert past.last_trigger is not None


def test_a_rollback_stands_when_somebody_decided_it(full: Desk):
    with full.engine.begin() as connection:
        audits.write(connection, "rollback", "pilot-000", "olivia", "it drifted", version=1, replaced=2)
    events = chronicles.get_chronicle(full, VIEWER, "pilot-000").events
    [found] = [event for event in events if event.state == "rollback"]
    assert found.on_the_clock
    assert (found.who, found.what) == (
        "olivia",
        "Version 1 came back by a rollback in place of 2: it drifted",
    )


def test_two_runs_differ_in_what_differs(full: Desk):
    found = comparisons.compare_runs(full, VIEWER, "20260101-000003-abcdef", LAST)
    assert found.before.pilot == found.after.pilot == "pilot-000"
    [line] = found.sections[Section.PARAMETERS]
    assert (line.name, line.before, line.after, line.difference) == (
        "overrides.train.params.max_iter",
        3,
        9,
        6,
    )
    assert found.sections[Section.PILOT] == ()
    metrics = {line.name: line for line in found.sections[Section.METRICS]}
    assert metrics["accuracy"].same
    auc = metrics["roc_auc"]
    assert auc.difference == pytest.approx(auc.after - auc.before)
    same = comparisons.compare_runs(full, VIEWER, LAST, LAST)
    assert all(line.same for lines in same.sections.values() for line in lines)


def test_what_only_one_run_tells_is_told_of_it_alone(full: Desk):
    found = comparisons.compare_runs(full, VIEWER, "20260101-000006-abcdef", LAST)
    lines = {line.name: line for line in found.sections[Section.METRICS]}
    assert (lines["roc_auc"].before, lines["roc_auc"].difference) == (None, None)


@pytest.mark.databases
def test_marks_differ_when_what_they_stand_for_does(full: Desk):
    with full.engine.begin() as connection:
        connection.execute(
            update(tables.runs).where(tables.runs.c.id == LAST), {"state": "running", "ended_at": None}
        )
    before = marks.of_run(full, LAST), marks.of_runs(full), marks.of_pilots(full)
    assert before == (marks.of_run(full, LAST), marks.of_runs(full), marks.of_pilots(full))
    with full.engine.begin() as connection:
        connection.execute(
            update(tables.steps).where(tables.steps.c.run == LAST, tables.steps.c.name == "train"),
            {"state": "failed"},
        )
        connection.execute(update(tables.alarms), {"state": "acknowledged"})
    after = marks.of_run(full, LAST), marks.of_runs(full), marks.of_pilots(full)
    assert [one != other for one, other in zip(before, after, strict=True)] == [True, True, True]
    assert marks.of_run(full, "nothing") == (None,)


def test_advice_names_what_waits_for_somebody_most_urgent_first(full: Desk):
    told = {
        pilot.name: [item.address for item in advices.advise(pilot)]
        for pilot in overviews.list_overviews(full, VIEWER).items
    }
    assert told["pilot-000"][0] == "/pilots/pilot-000/monitoring"
    assert told["pilot-001"][0] == "/pilots/pilot-001/models"
    with full.engine.begin() as connection:
        connection.execute(update(tables.alarms), {"state": "acknowledged"})
        connection.execute(
            update(tables.runs).where(tables.runs.c.id == LAST),
            {"state": "failed", "error": {"message": "no rows"}},
        )
    advice = advices.advise(overviews.get_overview(full, VIEWER, "pilot-000"))[0]
    assert (advice.address, "no rows" in advice.text) == (f"/runs/{LAST}", True)


def test_a_pilot_that_nobody_ran_is_no_error(desk: Desk):
    populations.fill(desk.engine, populations.Size(pilots=1, runs=0, windows=0))
    pilot = overviews.get_overview(desk, VIEWER, "pilot-000")
    assert (pilot.last_run, pilot.windows, pilot.version, pilot.value) == (None, (), None, None)
    assert "Start the first run" in [item.label for item in advices.advise(pilot)]


def test_a_snooze_is_told_while_it_lasts(full: Desk):
    now = tables.now()
    rows = [
        {"pilot": "pilot-000", "until": now + timedelta(hours=1), "who": "o", "why": "", "at": now},
        {"pilot": "pilot-001", "until": now - timedelta(hours=1), "who": "o", "why": "", "at": now},
    ]
    with full.engine.begin() as connection:
        connection.execute(insert(tables.snoozes), rows)
    first, second, _ = overviews.list_overviews(full, VIEWER).items
    assert (first.snoozed_until, second.snoozed_until) == (now + timedelta(hours=1), None)
