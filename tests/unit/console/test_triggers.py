"""`pilotage triggers` and `pilotage webhooks` on a home with a trigger, and without anything."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.console.calls import Call

from pilotage.core import pilots, settings
from pilotage.core.artifacts import Alarm
from pilotage.core.specs import Cause
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, outbox
from pilotage.pipelines.journals.outbox import Kind
from pilotage.pipelines.retraining import triggers
from pilotage.pipelines.webhooks import couriers, signatures

TEXT = "version: 1\npilot: small\ndata: {source: rows.csv, target: y}\ngoal: {metric: roc_auc}\n"
END = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def opened(home: Path) -> None:
    alarm = Alarm(
        id="a1", pilot="small", version=3, cause=Cause.DRIFT, start=END, end=END, message="[x] drifted"
    )
    triggers.open_triggers(settings.load(), pilots.parse(TEXT), [alarm])


@pytest.mark.usefixtures("opened")
def test_triggers_are_listed_with_what_they_wait_for(call: Call):
    found = call("triggers", "small")
    assert found.code == 0
    for word in ("2026-03-02 00:00", "drift", "open", "for the monitor's next look", "[x] drifted"):
        assert word in found.out
    (trigger,) = call("triggers", "small", "--json").document["triggers"]
    assert (trigger["alarm"], trigger["state"], trigger["waits_for"]) == ("a1", "open", None)
    assert call("triggers", "list", "other").out == "Nothing has asked for a retraining.\n"


@pytest.mark.usefixtures("opened")
def test_a_pilot_is_snoozed_and_unsnoozed(call: Call):
    assert "starts before" in call("triggers", "snooze", "small", "--for", "2d", "--why", "repairs").out
    assert "repairs" in call("triggers", "small").out
    document = call("triggers", "small", "--json").document
    assert document["snooze"]["why"] == "repairs"
    assert call("triggers", "unsnooze", "small", "--who", "ann", "--json").document["changed"] is True
    assert "was not snoozed" in call("triggers", "unsnooze", "small").out
    audit = audits.read(tables.connect(settings.load()))
    assert [item.action for item in audit] == ["unsnooze", "snooze"]
    assert audit[0].who == "ann"


def test_a_snooze_that_cannot_be_understood(call: Call):
    assert "Write `--for 2d`" in call("triggers", "snooze", "small", "--for", "soon", "--why", "x").err
    assert call("triggers", "snooze", "small", "--for", "2d").code == 2


def test_nobody_is_told_where_no_file_says_so(call: Call):
    assert "PILOTAGE_WEBHOOKS_FILE is not set" in call("webhooks").out
    assert call("webhooks", "--json").document == {"webhooks": []}
    assert "Nothing was delivered" in call("webhooks", "deliveries").out
    assert call("webhooks", "test", "ops").code == 2
    assert call("webhooks", "replay", "7").code == 2
    assert call("webhooks", "replay").code == 2


def test_webhooks_and_their_deliveries_are_listed_without_secrets(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = call("webhooks", "secret", "--json").document["secret"]
    assert signatures.parse_secret(made)
    monkeypatch.setenv("HOOK", made)
    file = tmp_path / "webhooks.yaml"
    file.write_text("- {name: ops, url: 'https://127.0.0.1:9/path', secret: 'env:HOOK', pilots: [small]}\n")
    monkeypatch.setenv("PILOTAGE_WEBHOOKS_FILE", str(file))
    with tables.connect(settings.load()).begin() as connection:
        outbox.emit(connection, Kind.ALARM_RAISED, "small", "alarm/1", {})
    couriers.send_due(settings.load())
    assert "https://127.0.0.1:9 " in call("webhooks").out
    assert "has no public address" in call("webhooks", "deliveries", "--state", "pending").out
    tested = call("webhooks", "test", "ops")
    assert (tested.code, "dead" in tested.out) == (1, True)
    replayed = call("webhooks", "replay", "--failed", "--json")
    assert replayed.code == 1
    assert [item["state"] for item in replayed.document["deliveries"]] == ["pending"]
    everything = "".join(call("webhooks", word, "--json").out for word in ("list", "deliveries"))
    assert "/path" not in everything
    assert made not in everything
