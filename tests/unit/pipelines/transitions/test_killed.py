"""A leader that is killed (SIGKILL) before any of its acts: the next one ends what it began, once.

An act is a change outside (a tag, a commit, an alias) or of the database. The
leader is a forked process; what it leaves is all that its successor has.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event
from tests.unit.pipelines.transitions.worlds import Console

from pilotage.pipelines.transitions.stages import OPEN, Stage

MOST = 40


def begin_good(console: Console) -> None:
    """A version that nobody but a step has decided about, and that the cluster runs well."""
    _decide(console, 2)


def begin_ill(console: Console) -> None:
    """One that the cluster gives up."""
    console.world.set(ill=[2])
    _decide(console, 2)


def begin_newer(console: Console) -> None:
    """One that is under way when a newer one comes, which the cluster gives up."""
    console.world.set(held=[2], ill=[3])
    _decide(console, 2)
    console.tick(2)
    _decide(console, 3)


def _decide(console: Console, version: int) -> None:
    state = console.world.read()
    state["tags"][str(version)] = {"pilotage.decision": "releasing", "pilotage.reason": "passed"}
    console.world.write(state)


def check_good(console: Console) -> None:
    assert console.world.read()["aliases"] == {"champion": 2, "previous": 1}
    assert console.world.read()["commits"] == [1, 2]
    assert console.world.tag_of(2) == "promoted"
    assert console.told() == ["releasing", "promoted"]
    assert console.find().replaced == 1


def check_ill(console: Console) -> None:
    assert console.world.read()["aliases"] == {"champion": 1}
    assert console.world.read()["commits"] == [1, 2, 1]
    assert console.world.tag_of(2) == "rejected"
    assert console.told() == ["releasing", "reject"]


def check_newer(console: Console) -> None:
    assert console.world.read()["main"] == 1
    assert console.world.champion == 1
    assert (console.world.tag_of(2), console.world.tag_of(3)) == ("superseded", "rejected")
    assert console.find(2).stage is Stage.SUPERSEDED
    assert sorted(console.told()) == ["reject", "releasing", "releasing", "supersede"]


@pytest.mark.parametrize(
    ("begin", "check"),
    [
        pytest.param(begin_good, check_good, id="runs-well"),
        pytest.param(begin_ill, check_ill, id="given-up"),
        pytest.param(begin_newer, check_newer, id="newer-one-given-up"),
    ],
)
def test_killed_before_any_act_the_next_leader_goes_on(
    tmp_path: Path, begin: Callable[[Console], None], check: Callable[[Console], None]
) -> None:
    (tmp_path / "first").mkdir()
    begin(Console(tmp_path / "first"))
    for number in range(1, MOST):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "first", folder)
        killed = _lead(folder, number)
        console = Console(folder)
        _settle(console)
        check(console)
        if not killed:
            break
    assert not killed
    assert number > 8, "there are more acts"


def _lead(folder: Path, number: int) -> bool:
    """Lead until all is done, in a process that dies before its `number`-th act; whether it did."""
    pid = os.fork()
    if not pid:
        code = 70
        try:
            console = Console(folder)
            left = number

            def die(*_: object) -> None:
                nonlocal left
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)

            console.make_due()
            console.world.before_act = die
            event.listen(console.engine, "commit", die)
            _settle(console)
            code = 0
        finally:
            os._exit(code)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert ended in (0, -signal.SIGKILL)
    return ended != 0


def _settle(console: Console) -> None:
    for _ in range(12):
        console.tick()
        if console.find().stage not in OPEN:
            console.tick()
            return
    raise AssertionError(f"it does not end: {console.find()}")
