"""`pilotage schedules`, and `pilotage runs cancel` and `retry`, as people call them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.unit.console.calls import Call

from pilotage.console.access.actors import at_this_machine
from pilotage.console.operations import pilots
from pilotage.console.operations.desks import Desk


def test_a_schedule_is_made_run_paused_and_removed(desk: Desk, call: Call, write: Callable[..., Path]):
    pilots.add_pilot(desk, at_this_machine(), write("a,b,y\n1,2,0\n2,3,1\n"))
    assert "Nothing is scheduled" in call("schedules").out
    made = json.loads(
        call("schedules", "add", "small", "0 3 * * 1-5", "--zone", "Europe/Berlin", "--json").out
    )
    assert made["words"] == "At 03:00 on Monday through Friday (Europe/Berlin)"
    assert made["id"] in call("schedules", "small").out
    run = json.loads(call("schedules", "run", made["id"], "--json").out)
    assert (run["state"], run["schedule"]) == ("pending", made["id"])
    assert "is cancelled" in call("runs", "cancel", run["id"], "--why", "no need").out
    assert "is pending" in call("runs", "retry", run["id"]).out
    assert json.loads(call("schedules", "pause", made["id"], "--json").out)["state"] == "paused"
    assert json.loads(call("schedules", "resume", made["id"], "--json").out)["state"] == "active"
    assert "Removed" in call("schedules", "remove", made["id"]).out
    assert call("schedules", "remove", made["id"]).code == 2


def test_what_is_wrong_is_said_with_exit_code_2(desk: Desk, call: Call, write: Callable[..., Path]):
    pilots.add_pilot(desk, at_this_machine(), write("a,b,y\n1,2,0\n2,3,1\n"))
    refused = call("schedules", "add", "small", "nonsense")
    assert (refused.code, "not a cron expression" in refused.err) == (2, True)
    assert call("runs", "cancel", "nothing").code == 2
