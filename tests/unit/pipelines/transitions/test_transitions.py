"""Versions on their way into a cluster: what follows from what git and the cluster say."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from tests.unit.pipelines.transitions.worlds import HOME, PILOT, Console

from pilotage.core import errors
from pilotage.pipelines import tables
from pilotage.pipelines.machines import leases
from pilotage.pipelines.transitions import requests, rows
from pilotage.pipelines.transitions.stages import Stage


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world in which nothing has happened, with a database that has its tables."""
    folder = tmp_path_factory.mktemp("first")
    Console(folder)
    return folder


@pytest.fixture
def console(first: Path, tmp_path: Path) -> Console:
    folder = tmp_path / "world"
    shutil.copytree(first, folder)
    return Console(folder)


def test_a_version_becomes_champion_when_the_cluster_runs_it(console: Console) -> None:
    console.world.set(held=[2])
    assert console.ask(2)
    console.tick(3)
    assert console.find().stage is Stage.COMMITTED
    assert console.world.champion == 1, "it does not run yet"
    assert console.world.tag_of(2) == "releasing"
    assert "Rollout `flights` is progressing" in console.find().told
    console.world.set(held=[])
    console.tick(2)
    done = console.find()
    assert (done.stage, done.replaced) == (Stage.DONE, 1)
    assert console.world.read()["aliases"] == {"champion": 2, "previous": 1}
    assert console.world.tag_of(2) == "promoted"
    assert console.told() == ["releasing", "promote"]
    assert console.told("outbox", "type") == ["pilotage.version.releasing", "pilotage.version.promoted"]
    console.tick(3)
    assert console.told() == ["releasing", "promote"], "what is done is left alone"


def test_a_version_that_the_cluster_gives_up_is_taken_back_and_kept_out(console: Console) -> None:
    console.world.set(ill=[2])
    console.ask(2)
    console.tick(4)
    ended = console.find()
    assert ended.stage is Stage.REVERTED
    assert "p99 beyond 50 ms" in ended.reason
    assert console.world.read()["main"] == 1
    assert console.world.champion == 1
    assert console.world.tag_of(2) == "rejected"
    assert "p99 beyond 50 ms" in console.world.reason_of(2)
    assert console.told() == ["releasing", "reject"]
    with console.engine.begin() as connection:
        held = connection.execute(tables.approvals.select()).one()
    assert (held.version, held.state, held.who) == (2, "rejected", "pilotage")


def test_a_rollout_that_does_not_move_is_taken_back(console: Console) -> None:
    console.world.set(held=[2])
    console.ask(2)
    console.tick(3)
    for _ in range(31):  # each look counts a minute at most
        _let_pass(console, 120)
        console.tick()
    assert console.find().stage in (Stage.REVERTING, Stage.REVERTED)
    console.tick()
    assert "nothing moved for 30 minutes" in console.find().reason
    assert console.world.champion == 1


def test_time_in_which_nobody_looked_counts_for_a_minute(console: Console) -> None:
    console.world.set(held=[2])
    console.ask(2)
    console.tick(4)
    _let_pass(console, 3600 * 5)
    console.tick(2)
    assert console.find().stage is Stage.COMMITTED
    assert console.find().stalled_seconds < 70


def test_a_cluster_that_cannot_be_seen_takes_nothing_back(console: Console) -> None:
    console.world.set(held=[2])
    console.ask(2)
    console.tick(4)
    console.world.down.add("cluster")
    for _ in range(12):
        _let_pass(console, 1200)
        console.tick()
    found = console.find()
    assert found.stage is Stage.COMMITTED
    assert found.attempts == 12
    assert found.trouble == "The cluster does not answer."
    assert "trouble since" in found.told
    assert found.next_at - tables.now() < timedelta(seconds=73)
    console.world.down.clear()
    console.world.set(held=[])
    console.tick(2)
    assert console.find().stage is Stage.DONE
    assert console.find().trouble is None


@pytest.mark.parametrize("what", ["git", "registry"])
def test_what_does_not_answer_for_long_loses_nothing(console: Console, what: str) -> None:
    console.ask(2)
    console.world.down.add(what)
    console.tick(20)
    found = console.find()
    assert found.stage is Stage.ASKED
    assert found.trouble == f"The {what} does not answer."
    console.world.down.clear()
    console.tick(3)
    assert console.world.champion == 2


def test_what_fails_is_tried_again_later_each_time(console: Console) -> None:
    console.ask(2)
    console.world.down.add("git")
    waits = []
    for _ in range(8):
        console.tick()
        waits.append((console.find().next_at - tables.now()).total_seconds())
    assert waits[0] < 1.3
    assert 40 < waits[-1] < 73
    console.reconciler.tick()
    assert console.find().attempts == 8, "it is not due"


def test_one_pilots_trouble_holds_up_no_other(console: Console) -> None:
    with console.engine.begin() as connection:
        requests.ask(connection, requests.Wish("another", 9, HOME, "promote", "ada", ""))
    console.ask(2)
    console.tick(3)  # version 9 of the other is not in the registry
    assert console.find().stage is Stage.DONE
    (other,) = requests.find(console.engine, "another")
    assert other.trouble is not None


def test_the_newest_of_several_wins(console: Console) -> None:
    console.world.set(held=[2, 3])
    console.ask(2)
    console.tick(2)
    console.ask(3)
    console.ask(4)
    console.tick(4)
    stages = {item.version: item.stage for item in requests.find(console.engine, PILOT)}
    assert stages == {2: Stage.SUPERSEDED, 3: Stage.SUPERSEDED, 4: Stage.DONE}
    assert console.world.champion == 4
    assert [console.world.tag_of(number) for number in (2, 3, 4)] == ["superseded", "superseded", "promoted"]
    assert console.find(2).reason == "version 3 took its place"


def test_a_newer_one_that_fails_brings_back_the_champion_and_not_what_gave_way(console: Console) -> None:
    console.world.set(held=[2], ill=[3])
    console.ask(2)
    console.tick(3)
    console.ask(3)
    console.tick(6)
    assert console.find(3).stage is Stage.REVERTED
    assert console.world.read()["main"] == 1, "nobody knows whether version 2 works"
    assert console.world.champion == 1


def test_an_older_one_that_nobody_asked_for_gives_way(console: Console) -> None:
    console.world.set(held=[3])
    console.ask(3)
    console.tick()
    assert console.ask(2, action=requests.PROMOTED)
    console.tick(2)
    assert console.find(2).stage is Stage.SUPERSEDED
    assert console.find(3).stage is Stage.COMMITTED
    assert console.ask(2), "a person's word goes before"
    console.tick(4)
    assert console.world.champion == 2


def test_asking_again_changes_nothing(console: Console) -> None:
    assert console.ask(2)
    assert not console.ask(2)
    console.tick(4)
    assert len(requests.find(console.engine, PILOT)) == 1


def test_what_steps_decided_without_a_database_is_found(console: Console) -> None:
    state = console.world.read()
    state["tags"]["2"] = {
        "pilotage.decision": "releasing",
        "pilotage.reason": "every gate passed",
        "pilotage.run": "r",
    }
    console.world.write(state)
    console.tick(4)
    found = console.find()
    assert (found.version, found.who, found.action, found.run) == (2, "pilotage", "promoted", "r")
    assert console.world.champion == 2
    assert console.told() == ["releasing", "promoted"]
    console.tick(2)
    assert len(requests.find(console.engine, PILOT)) == 1


def test_somebody_takes_a_release_back(console: Console) -> None:
    console.world.set(held=[2])
    console.ask(2)
    console.tick(2)
    said = {"who": "bob", "why": "not today", "outcome": "refused"}
    assert requests.withdraw(console.engine, PILOT, HOME, None, **said) is not None
    console.tick(2)
    found = console.find()
    assert (found.stage, found.ended_by) == (Stage.REVERTED, "bob")
    assert found.reason == "taken back by bob: not today"
    assert console.world.read()["main"] == 1
    assert console.world.tag_of(2) == "refused"
    assert console.told() == ["releasing", "withdraw", "halt"]
    assert requests.withdraw(console.engine, PILOT, HOME, None, **said) is None


def test_what_is_becoming_champion_is_not_taken_back(console: Console) -> None:
    console.ask(2)
    console.tick(2)
    assert console.find().stage is Stage.LIVE
    with pytest.raises(errors.Conflict, match="becomes champion at this moment"):
        requests.withdraw(console.engine, PILOT, HOME, 2, who="bob", why="", outcome="refused")


def test_a_release_that_is_taken_back_before_its_commit_leaves_git_alone(console: Console) -> None:
    console.ask(2)
    requests.withdraw(console.engine, PILOT, HOME, 2, who="bob", why="", outcome="refused")
    console.tick(2)
    assert console.find().stage is Stage.REVERTED
    assert console.world.read()["commits"] == [1]


def test_a_rollback_leaves_none_to_go_back_to(console: Console) -> None:
    console.ask(2)
    console.tick(4)
    console.ask(1, action="rollback")
    console.tick(4)
    assert console.world.read()["aliases"] == {"champion": 1}
    assert console.told()[-2:] == ["releasing", "rollback"]
    assert console.told("outbox", "type")[-1] == "pilotage.version.rolled-back"


def test_a_request_waits_for_its_merge_as_long_as_it_takes(console: Console) -> None:
    console.world.set(proposed=True)
    console.ask(2)
    for _ in range(8):
        console.tick()
        _let_pass(console, 3600)
    found = console.find()
    assert found.stage is Stage.COMMITTED
    assert found.told == "waits for the merge of https://forge/1; the cluster runs version 1"
    console.world.set(main=2)
    console.tick(3)
    assert console.world.champion == 2


def test_a_commit_that_the_cluster_does_not_take_up_is_waited_for(console: Console) -> None:
    console.world.set(pinned=1)
    console.ask(2)
    for _ in range(10):
        console.tick()
        _let_pass(console, 3600)
    assert console.find().stage is Stage.COMMITTED
    assert "waits to be synced" in console.find().told
    console.world.set(pinned=None)
    console.tick(3)
    assert console.world.champion == 2


def test_who_changes_git_by_hand_has_the_last_word(console: Console) -> None:
    console.world.set(held=[2])
    console.ask(2)
    console.tick(2)
    console.world.set(main=4)
    console.tick(3)
    found = console.find()
    assert found.stage is Stage.SUPERSEDED
    assert found.reason == "somebody changed git, which says version 4"
    assert console.world.read()["main"] == 4


def test_what_a_leader_of_before_pushes_late_is_put_right(console: Console) -> None:
    console.world.set(held=[2, 3])
    console.ask(2)
    console.tick(2)
    console.ask(3)
    console.tick(2)
    console.world.set(main=2, commits=[1, 2, 3, 2])  # its push of version 2 took minutes
    console.tick(4)
    assert console.world.read()["main"] == 3
    console.world.set(held=[])
    console.tick(2)
    assert console.world.champion == 3


def test_who_does_not_lead_any_more_changes_nothing(console: Console) -> None:
    console.ask(2)
    old = console.reconciler
    with console.engine.begin() as connection:  # it was paused, and another took over
        connection.execute(update(tables.leases), {"expires_at": tables.now() - timedelta(hours=1)})
    lease = leases.acquire(console.engine, leases.LEADER, "another", 600)
    assert lease is not None
    before = console.find()
    old.tick()
    assert console.find() == before
    assert console.told() == ["releasing"]
    console.reconciler = console.start(lease)
    console.tick(3)
    assert console.world.champion == 2
    assert console.told() == ["releasing", "promote"]


def test_without_a_cluster_a_person_confirms(tmp_path: Path) -> None:
    console = Console(tmp_path, watches=False)
    console.ask(2)
    console.tick(5)
    assert console.find().stage is Stage.COMMITTED
    assert "`pilotage promote flights 2` is to confirm" in console.find().told
    assert requests.confirm(console.engine, PILOT, HOME, 2, who="bob", replaced=1)
    assert not requests.confirm(console.engine, PILOT, HOME, 3, who="bob")
    console.tick()
    assert console.world.champion == 2
    assert console.told() == ["releasing", "confirm", "promote"]
    assert "bob confirmed" in console.find().reason


def _let_pass(console: Console, seconds: float) -> None:
    """The last look was so long ago."""
    found = console.find()
    if found.looked_at is not None:
        before = {"looked_at": tables.now() - timedelta(seconds=seconds)}
        with console.engine.begin() as connection:
            connection.execute(update(tables.transitions), before)


def test_a_release_to_an_environment_of_before_is_not_committed_to_another(console: Console) -> None:
    console.ask(2)
    moved = Console(console.folder, options={"release_environment": "elsewhere"})
    moved.tick(3)
    assert moved.find().stage is Stage.ASKED
    assert moved.world.read()["main"] == 1
    console.tick(3)
    assert console.find().stage is Stage.DONE, "where it was asked for it goes on"


def test_what_a_cluster_or_a_server_says_is_kept_on_one_line_that_every_database_takes(
    console: Console,
) -> None:
    console.ask(2)
    item = console.find()
    said = "back-off\x00 \x1b[31mpulling\nimage" + "x" * 10_000
    with console.engine.begin() as connection:
        rows.fail(connection, item, errors.Unavailable(said))
    trouble = console.find().trouble or ""
    assert trouble.startswith("back-off [31mpulling imagexxx")
    assert len(trouble) == 2000
    with console.engine.begin() as connection:
        rows.change(connection, item, Stage.COMMITTED, standing=said)
        requests.take_back(connection, item.id, said, outcome="rejected", who=None)
    found = console.find()
    assert found.reason == trouble
    assert found.standing.isprintable()
