"""What people and programs say to the console where releases are committed; real registry, real database."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.releases import installations
from tests.unit.console.desks import actor, client

from pilotage.console.access.actors import Role
from pilotage.console.operations.desks import Desk
from pilotage.core import errors, settings
from pilotage.core.artifacts import Alarm, Decision, DriftReport, TriggerState
from pilotage.core.registry import Registry
from pilotage.core.settings import ClusterAccess, Settings
from pilotage.core.specs import Cause
from pilotage.pipelines import tables
from pilotage.pipelines.decisions import promotions
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.queue import requests
from pilotage.pipelines.retraining import triggers
from pilotage.pipelines.transitions import reconcilers, rows
from pilotage.pipelines.transitions import requests as transitions
from pilotage.pipelines.transitions.stages import Stage

NAME = "flights"
END = datetime(2026, 3, 2, tzinfo=UTC)
API = f"/api/v1/pilots/{NAME}"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with three versions of a pilot, the first of which is champion and the third did not pass."""
    folder = tmp_path_factory.mktemp("first")
    found = settings.load(home=folder / "home")
    (folder / "pilot").mkdir()
    installations.add_pilot(found, NAME, folder / "pilot", versions=3)
    Registry(found).promote(NAME, 1)
    return folder / "home"


@pytest.fixture
def installation(first: Path, tmp_path: Path, home: Path) -> Settings:
    shutil.copytree(first, home)
    return settings.load(release_to=str(tmp_path / "git"), cluster="kubeconfig")


@pytest.fixture
def desk(installation: Settings) -> Desk:
    return Desk(installation)


def test_a_promotion_begins_a_release_and_moves_nothing_yet(installation: Settings, desk: Desk) -> None:
    ask = client(desk, actor(Role.APPROVER))
    said = ask.post(f"{API}/versions/2/promote", json={"why": "better"}).json()
    assert (said["releasing"], said["changed"], said["replaced"]) == (True, True, 1)
    assert Registry(installation).aliases(NAME)["champion"] == 1
    again = ask.post(f"{API}/versions/2/promote", json={}).json()
    assert (again["releasing"], again["changed"]) == (True, False)
    (found,) = client(desk, actor(Role.VIEWER)).get(f"{API}/transitions").json()["items"]
    assert (found["version"], found["stage"], found["who"]) == (2, "asked", "approver")
    assert found["told"] == "waits for its commit"
    refused = ask.post(f"{API}/versions/3/promote", json={})
    assert refused.status_code == 409, "its gates said no"
    assert "releasing version 2" in client(desk).get(f"/pilots/{NAME}").text


def test_a_rollback_takes_the_release_back_and_then_the_champion(installation: Settings, desk: Desk) -> None:
    ask = client(desk, actor(Role.APPROVER))
    ask.post(f"{API}/versions/2/promote", json={})
    said = ask.post(f"{API}/rollback", json={"why": "not now"}).json()
    assert (said["version"], said["replaced"]) == (1, 2)
    assert said["reason"] == "taken back by approver: not now"
    assert transitions.going(desk.engine, NAME, "production") is None
    assert ask.post(f"{API}/rollback", json={}).status_code == 404, "there is no champion before"
    Registry(installation).promote(NAME, 2)
    back = ask.post(f"{API}/rollback", json={}).json()
    assert (back["version"], back["releasing"]) == (1, True)
    going = transitions.going(desk.engine, NAME, "production")
    assert going is not None
    assert going.action == "rollback"


def test_a_rejection_takes_the_release_back_and_keeps_the_version_out(
    installation: Settings, desk: Desk
) -> None:
    ask = client(desk, actor(Role.APPROVER))
    ask.post(f"{API}/versions/2/promote", json={})
    assert ask.post(f"{API}/versions/2/reject", json={"why": "unfair"}).status_code == 200
    assert transitions.find(desk.engine, NAME)[0].stage is Stage.REVERTING
    assert ask.post(f"{API}/versions/2/promote", json={}).status_code == 409
    with pytest.raises(errors.PromotionRefused, match="was rejected by approver"):
        promotions.promote(installation, NAME, 2)


def test_force_takes_a_persons_word_that_it_is_live(installation: Settings, desk: Desk) -> None:
    promotions.promote(installation, NAME, 2, who="ada")
    item = transitions.find(desk.engine, NAME)[0]
    with desk.engine.begin() as connection:
        rows.change(connection, item, Stage.COMMITTED)
    said = promotions.promote(installation, NAME, 2, who="bob", force=True)
    assert said.releasing
    assert transitions.find(desk.engine, NAME)[0].stage is Stage.LIVE
    reconcilers.Reconciler(installation, lambda: None).tick()
    assert Registry(installation).aliases(NAME)["champion"] == 1, "who does not lead moves nothing"
    with pytest.raises(errors.Conflict, match="becomes champion at this moment"):
        promotions.rollback(installation, NAME)


def commit(desk: Desk) -> None:
    """As if the leader had made the newest release's commit."""
    with desk.engine.begin() as connection:
        rows.change(connection, transitions.find(desk.engine, NAME)[0], Stage.COMMITTED)


def test_a_rollback_that_is_sent_twice_goes_on(installation: Settings, desk: Desk) -> None:
    Registry(installation).promote(NAME, 2)
    ask = client(desk, actor(Role.APPROVER))
    assert ask.post(f"{API}/rollback", json={}).json()["changed"]
    again = ask.post(f"{API}/rollback", json={}).json()
    assert (again["version"], again["releasing"], again["changed"]) == (1, True, False)
    going = transitions.going(desk.engine, NAME, "production")
    assert going is not None
    assert going.action == "rollback"
    promotions.reject(installation, NAME, 1, who="ada", why="it is worse")
    assert transitions.going(desk.engine, NAME, "production") is None, "by its name it is taken back"


def test_an_approval_that_is_sent_twice_says_of_no_version_that_it_is_live(
    installation: Settings, desk: Desk
) -> None:
    unwatched = installation.model_copy(update={"cluster": ClusterAccess.NONE})
    promotions.record_decision(desk.engine, NAME, 2, Decision.PENDING, "run", "", None)
    assert promotions.approve(unwatched, NAME, who="ada").releasing
    commit(desk)
    assert not promotions.approve(unwatched, NAME, 2, who="ada").changed
    assert transitions.find(desk.engine, NAME)[0].stage is Stage.COMMITTED
    promotions.promote(unwatched, NAME, 2, who="ada")
    assert transitions.find(desk.engine, NAME)[0].stage is Stage.LIVE, "that is what a promotion says"


def test_who_is_not_told_where_releases_go_moves_no_alias_beside_one(
    installation: Settings, desk: Desk
) -> None:
    elsewhere = installation.model_copy(update={"release_to": ""})
    promotions.record_decision(desk.engine, NAME, 2, Decision.PENDING, "run", "", None)
    promotions.promote(installation, NAME, 2, who="ada")
    commit(desk)
    with pytest.raises(errors.Conflict, match="PILOTAGE_RELEASE_TO is not set here"):
        promotions.promote(elsewhere, NAME, 3, who="bob", force=True)
    with pytest.raises(errors.Conflict, match="Version 2 of `flights` is being released to production"):
        promotions.approve(elsewhere, NAME, 2, who="bob")
    assert promotions.rollback(elsewhere, NAME, who="bob").replaced == 2
    assert transitions.find(desk.engine, NAME)[0].stage is Stage.REVERTING
    assert Registry(installation).aliases(NAME)["champion"] == 1


def test_a_page_says_of_a_version_on_its_way_that_it_is_on_its_way(desk: Desk) -> None:
    ask = client(desk, actor(Role.APPROVER))
    begun = ask.post(f"/pilots/{NAME}/models/2/promote", data={})
    assert "is champion now" not in begun.text
    assert "Version 2 of flights is on its way" in begun.text
    back = ask.post(f"/pilots/{NAME}/rollback", data={})
    assert "Version 2 of flights is taken back; version 1 stays champion." in back.text


def report(alarm: str = "drift-1", pilot: str = NAME) -> dict[str, Any]:
    start = END - timedelta(hours=1)
    raised = Alarm(
        id=alarm, pilot=pilot, version=1, cause=Cause.DRIFT, start=start, end=END, message="distance drifted"
    )
    return DriftReport(
        pilot=pilot, version=1, start=start, end=END, rows=900, requests=900, errors=0,
        false_alarm_rate=0.01, threshold=0.01, method="m", features=(), alarms=(raised,), evidence="e",
        created_at=END,
    ).model_dump(mode="json")  # fmt: skip


def test_a_monitor_elsewhere_tells_what_it_found_once(installation: Settings, desk: Desk) -> None:
    ask = client(desk, actor(Role.MONITOR, NAME, "monitor"))
    place = f"{API}/observations"
    assert ask.get(place).json()["reports"] == []
    first = ask.post(place, json={"reports": [report()]}).json()
    assert [item["cause"] for item in first["triggers"]] == ["drift"]
    assert ask.post(place, json={"reports": [report()]}).json()["triggers"] == []
    (known,) = ask.get(place).json()["reports"]
    assert datetime.fromisoformat(known["created_at"]) == END
    assert [item["state"] for item in ask.get(f"{API}/triggers").json()["items"]] == ["open"]


@pytest.mark.parametrize("role", [role for role in Role if role not in (Role.MONITOR, Role.ADMIN)])
def test_nobody_else_tells_what_monitors_found(desk: Desk, role: Role) -> None:
    said = client(desk, actor(role)).post(f"{API}/observations", json={"reports": [report()]})
    assert said.status_code == 403


def test_a_monitor_may_do_nothing_else(desk: Desk) -> None:
    ask = client(desk, actor(Role.MONITOR, NAME, "monitor"))
    assert ask.post(f"{API}/runs", json={}).status_code == 403
    assert ask.post(f"{API}/versions/2/promote", json={}).status_code == 403
    assert ask.post("/api/v1/pilots/another/observations", json={"reports": [report()]}).status_code == 404
    strange = ask.post(f"{API}/observations", json={"reports": [report(pilot="another")]})
    assert strange.status_code == 422
    assert "about `another`" in strange.json()["detail"]


def test_a_trigger_from_elsewhere_becomes_one_run(installation: Settings, desk: Desk) -> None:
    client(desk, actor(Role.MONITOR, NAME, "m")).post(f"{API}/observations", json={"reports": [report()]})
    assert triggers.told_elsewhere(desk.engine) == [NAME]
    run = triggers.ask(installation, NAME, None)
    assert run is not None
    assert [triggers.ask(installation, NAME, None) for _ in range(3)] == [None, None, None]
    (trigger,) = triggers.triggers(installation, NAME)
    assert (trigger.state, trigger.run) == (TriggerState.STARTED, run)
    assert requests.claim(desk.engine, run) == trigger.id
    requests.requeue(desk.engine, run)
    assert triggers.ask(installation, NAME, None) is None, "it waits in line again"


def test_who_cancels_the_run_of_a_trigger_does_not_want_another(installation: Settings, desk: Desk) -> None:
    client(desk, actor(Role.MONITOR, NAME, "m")).post(f"{API}/observations", json={"reports": [report()]})
    run = triggers.ask(installation, NAME, None)
    assert run is not None
    assert requests.cancel(desk.engine, run, "ada") is State.CANCELLED
    assert triggers.ask(installation, NAME, None) is None
    (trigger,) = triggers.triggers(installation, NAME)
    assert trigger.state is TriggerState.FAILED
    assert triggers.told_elsewhere(desk.engine) == []


def test_a_run_whose_process_dies_is_asked_for_again_but_not_for_ever(
    installation: Settings, desk: Desk
) -> None:
    client(desk, actor(Role.MONITOR, NAME, "m")).post(f"{API}/observations", json={"reports": [report()]})
    asked = []
    for _ in range(6):
        run = triggers.ask(installation, NAME, None)
        if run is None:
            continue
        asked.append(run)
        table = tables.runs
        with desk.engine.begin() as connection:
            connection.execute(table.update().where(table.c.id == run), {"state": State.DIED})
    assert len(asked) == 3
    assert triggers.triggers(installation, NAME)[0].state is TriggerState.FAILED
