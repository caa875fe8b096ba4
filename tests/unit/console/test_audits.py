"""`pilotage audit`: list, verify with its exit code, export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from tests.unit.console.calls import Call

from pilotage.core import settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits


@pytest.fixture
def engine(home: Path) -> Engine:
    engine = tables.connect(settings.load(home=home))
    with engine.begin() as connection:
        audits.write(connection, "add", "small", "ann", "")
        audits.write(connection, "reject", "small", "bob", "[bold]slow[/bold]", version=2)
    return engine


def test_records_are_listed_as_they_were_written(call: Call, engine: Engine):
    shown = call("audit", "list", "--who", "bob")
    assert shown.code == 0
    assert "[bold]slow[/bold]" in shown.out
    assert "ann" not in shown.out
    assert [line["id"] for line in call("audit", "list", "--json").document["items"]] == [2, 1]
    assert call("audit", "list", "--since", "soon").code == 2


def test_an_audit_in_order_gives_its_head_and_one_that_is_not_ends_with_3(call: Call, engine: Engine):
    good = call("audit", "verify", "--json")
    assert (good.code, good.document["verified"], good.document["records"]) == (0, True, 2)
    head = good.document["head"]
    assert call("audit", "verify", "--head", head).code == 0
    assert f"Head: {head}" in call("audit", "verify").out
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER audit_is_not_deleted"))
        connection.execute(text("DELETE FROM audit WHERE id = 2"))
    assert call("audit", "verify").code == 0
    cut = call("audit", "verify", "--head", head, "--json")
    assert (cut.code, cut.document["problem"]["flaw"]) == (3, "cut_off")
    assert call("audit", "verify", "--head", "2:x").code == 2


def test_an_export_is_a_whole_file_of_the_format_of_its_name(call: Call, engine: Engine):
    assert call("audit", "export", "out.json", "--pilot", "small").code == 0
    assert [line["who"] for line in json.loads(Path("out.json").read_text())] == ["ann", "bob"]
    done = call("audit", "export", "out.csv", "--json")
    assert done.document["bytes"] == len(Path("out.csv").read_bytes()) > 0
    wrong = call("audit", "export", "out.xlsx")
    assert (wrong.code, Path("out.xlsx").exists()) == (2, False)
