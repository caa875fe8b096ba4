"""What the page Responsible and the API say of personal data, deletions and synthetic rows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import insert
from tests.unit.console.desks import actor, client
from tests.unit.console.monitored import know
from tests.unit.pipelines.drift_reports import spec

from pilotage.console.access.actors import Role
from pilotage.console.operations.desks import Desk
from pilotage.core.artifacts import Estimate, Leakage, PersonalFinding, Snapshot, Synthesis, Synthetic
from pilotage.core.metrics import Task
from pilotage.core.specs import PersonalKind, Policy
from pilotage.core.storage import Storage
from pilotage.pipelines import tables

NOW = datetime(2026, 11, 2, 6, tzinfo=UTC)
PAGE, PRIVACY = "/pilots/small/responsible", "/api/v1/pilots/small/privacy"


def tell(desk: Desk, folder: Path) -> None:
    """A run whose ingest met personal data, an erasure, and a file of synthetic rows."""
    know(desk, spec())
    found = (
        PersonalFinding(column="<i>mail", kind=PersonalKind.EMAIL, hits=99, looked=100, rows=100),
        PersonalFinding(
            column="name", kind=PersonalKind.PERSON_NAME, hits=0, looked=100, rows=100, policy=Policy.KEEP,
            reason="in the contract", found_by="name",
        ),
    )  # fmt: skip
    Snapshot(
        pilot="small", digest="a" * 64, name=f"snapshots/{'a' * 64}", rows=100, columns=(), files=(),
        features=(), target="y", task=Task.CLASSIFICATION, personal=found, forgotten=2, source="rows.csv",
        created_at=NOW,
    ).write(folder)  # fmt: skip
    run = {
        "id": "20261102-060000-aaaaaa", "pilot": "small", "state": "succeeded", "asked_at": NOW,
        "asked_by": "jo", "why": "", "parameters": {}, "folder": "small", "spec": {},
    }  # fmt: skip
    outputs = {"snapshot": {"digest": "a" * 64, "uri": str(folder)}}
    step = {"run": run["id"], "name": "ingest", "position": 0, "state": "succeeded", "outputs": outputs}
    result = {"snapshots": [{"digest": "a" * 64, "replaced_by": "b" * 64, "rows": 3}], "logged_rows": 5}
    deletion = {
        "id": "d1", "pilot": "small", "kind": "erasure", "state": "done", "hashes": ["c" * 64],
        "why": "ticket 4711", "who": "jo", "asked_at": NOW, "ended_at": NOW, "result": result,
    }  # fmt: skip
    with desk.engine.begin() as connection:
        connection.execute(insert(tables.runs), run)
        connection.execute(insert(tables.steps), step)
        connection.execute(insert(tables.deletions), deletion)
    half = Estimate(value=0.5, low=0.45, high=0.55)
    leakage = Leakage(
        copies=0, copy_excess=0.0, closeness=half, neighbour_ratio=0.7, control_ratio=0.7, membership=half,
        rows=500, control=500,
    )  # fmt: skip
    made = Synthetic(method="copula", rows=500, seed=42, fitted_rows=800, leakage=leakage)
    report = Synthesis(
        pilot="small", snapshot="a" * 64, file="shared.csv", rows=500, synthetic=made, gates=(), passed=True,
        created_at=NOW,
    )  # fmt: skip
    Storage(desk.settings.storage).write("synthesis/small/one.json", report.model_dump_json().encode())


def test_the_page_says_what_is_held_of_people(desk: Desk, tmp_path: Path):
    tell(desk, tmp_path)
    page = client(desk).get(PAGE).text
    assert "&lt;i&gt;mail" in page, "names of columns are text"
    for words in (
        "99.0 %",
        "keep: in the contract",
        "1 finding has no rule",
        "left 2 rows out",
        "ticket 4711",
    ):
        assert words in page
    assert "3 rows of snapshots, 5 logged" in page
    assert "shared.csv" in page
    assert "0.500" in page


def test_the_api_says_the_same(desk: Desk, tmp_path: Path):
    tell(desk, tmp_path)
    told = client(desk, actor(Role.VIEWER)).get(PRIVACY).json()
    assert [(item["column"], item["policy"]) for item in told["personal"]] == [
        ("<i>mail", None),
        ("name", "keep"),
    ]
    assert (told["undeclared"], told["forgotten_rows"], told["retention"]) == (1, 2, None)
    (deletion,) = told["deletions"]
    assert (deletion["keys"], deletion["why"]) == (1, "ticket 4711")
    assert "c" * 64 not in str(told), "not even the hash of a key is told"
    assert told["syntheses"][0]["synthetic"]["leakage"]["membership"]["value"] == 0.5


def test_only_admins_erase_and_purge(desk: Desk):
    know(desk, spec())
    wish = {"keys": ["a"], "why": "asked"}
    for role in (Role.VIEWER, Role.OPERATOR, Role.APPROVER):
        someone = client(desk, actor(role))
        assert someone.post("/api/v1/pilots/small/erasures", json=wish).status_code == 403
        assert someone.post("/api/v1/pilots/small/purge", json={}).status_code == 403
    admin = client(desk)
    answer = admin.post("/api/v1/pilots/small/purge", json={"dry_run": True})
    assert answer.status_code == 422
    assert "data.retention" in answer.text
    assert admin.post("/api/v1/pilots/small/erasures", json={"keys": [], "why": "x"}).status_code == 422


def test_a_pilot_without_a_run_says_nothing_of_people(desk: Desk):
    know(desk, spec())
    told = client(desk).get(PRIVACY).json()
    assert (told["personal"], told["deletions"], told["synthetic"]) == ([], [], None)
    assert "No personal data was recognised" in client(desk).get(PAGE).text
