"""What the page Responsible and the API say of personal data, deletions and synthetic rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sqlalchemy import insert, select
from tests.unit.console.desks import actor, client
from tests.unit.console.monitored import know
from tests.unit.pipelines.drift_reports import spec

from pilotage.console.access.actors import Role
from pilotage.console.operations import studies as operations
from pilotage.console.operations.desks import Desk
from pilotage.core import errors
from pilotage.core import pilots as core_pilots
from pilotage.core.artifacts import Estimate, Leakage, PersonalFinding, Snapshot, Synthesis, Synthetic
from pilotage.core.metrics import Task
from pilotage.core.specs import PersonalKind, PilotSpec, Policy
from pilotage.core.storage import Storage
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits
from pilotage.pipelines.studies import Kind, syntheses

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
    assert "No personal data is known of yet" in client(desk).get(PAGE).text


PLACE = "/pilots/small/responsible"


def kept_briefly(desk: Desk) -> None:
    """A pilot with a retention and a key."""
    found, told = spec(), {"retention": timedelta(90), "key": "id"}
    know(desk, found.model_copy(update={"data": found.data.model_copy(update=told)}))


def test_nothing_is_purged_before_it_was_shown_and_the_pilot_named(desk: Desk):
    kept_briefly(desk)
    admin = client(desk)
    assert "What is older than it is kept?" in admin.get(PLACE).text
    shown = admin.post(f"{PLACE}/purge/preview")
    assert shown.status_code == 200
    assert "Nothing is deleted yet" in shown.text
    wrong = admin.post(f"{PLACE}/purge", data={"named": "other"})
    assert "Nothing was deleted" in wrong.text
    assert "Deleted 0 snapshots" in admin.post(f"{PLACE}/purge", data={"named": "small", "why": "tidy"}).text


def test_keys_are_shown_before_they_are_forgotten_and_travel_in_no_address(desk: Desk):
    kept_briefly(desk)
    admin = client(desk)
    shown = admin.post(f"{PLACE}/forget/preview", data={"keys": " canary-1 \n\ncanary-2\n"})
    assert shown.status_code == 200
    assert "canary-1\ncanary-2</textarea>" in shown.text
    assert shown.headers["cache-control"] == "no-store"
    for sent in ({"named": "other", "why": "asked"}, {"named": "small", "why": " "}):
        answer = admin.post(f"{PLACE}/forget", data={"keys": "canary-1", **sent}, follow_redirects=False)
        assert answer.status_code == 303
        assert "canary" not in str(answer.headers)
    with tables.reading(desk.engine) as connection:
        assert connection.execute(select(tables.deletions)).all() == [], "nothing was noted"
    sent = {"keys": "canary-1", "named": "small", "why": "ticket 1"}
    for _ in range(2):
        done = admin.post(f"{PLACE}/forget", data=sent)
        assert "Erased 0 rows of snapshots" in done.text
        assert "canary" not in done.text
    told = [item for item in audits.read(desk.engine) if item.action == "forget"]
    assert {(item.who, item.why) for item in told} == {("admin", "ticket 1")}
    assert "canary" not in str(told)


def test_an_erasure_can_be_looked_at_through_the_api(desk: Desk):
    kept_briefly(desk)
    admin = client(desk)
    wish = {"keys": ["canary-1"], "dry_run": True}
    told = admin.post("/api/v1/pilots/small/erasures", json=wish).json()
    assert (told["dry_run"], told["keys"], told["snapshots"]) == (True, 1, {})
    assert admin.post("/api/v1/pilots/small/erasures", json={"keys": ["a"]}).status_code == 422, "no reason"


def test_only_admins_see_and_send_the_forms(desk: Desk):
    kept_briefly(desk)
    for role in (Role.VIEWER, Role.OPERATOR, Role.APPROVER):
        someone = client(desk, actor(role))
        assert "Keys to forget" not in someone.get(PLACE).text
        for form in ("purge/preview", "purge", "forget/preview", "forget"):
            sent = {"keys": "a", "named": "small", "why": "x"}
            assert someone.post(f"{PLACE}/{form}", data=sent).status_code == 403, form


YAML = """\
version: 1
pilot: claims
goal: {metric: roc_auc}
data: {source: claims.csv, target: fraud}
train: {estimator: logistic_regression}
"""


def test_rows_of_a_study_are_given_away_only_where_its_gates_passed(desk: Desk, tmp_path: Path):
    random = np.random.default_rng(7)
    lines = [
        f"{random.normal(600 if n % 4 else 900, 90):.2f},{'NSEW'[n % 3]},{'no' if n % 4 else 'yes'}"
        for n in range(400)
    ]
    (tmp_path / "claims.csv").write_text("\n".join(["amount,region,fraud", *lines]) + "\n")
    (tmp_path / "pilot.yaml").write_text(YAML)
    pilot = core_pilots.load(tmp_path)
    know(desk, pilot.spec)
    admin = client(desk, actor(Role.ADMIN))
    options = syntheses.Options(rows=150)
    study, found = syntheses.run(pilot.spec, tmp_path, desk.settings, options, "ann")
    assert found.passed
    place = f"/api/v1/pilots/claims/studies/{study}/rows"
    rows = admin.get(place)
    assert rows.headers["content-type"].startswith("text/csv")
    assert rows.text.count("\n") == 151
    assert place in admin.get("/pilots/claims/responsible").text
    strict = PilotSpec.model_validate(
        {
            **pilot.spec.model_dump(exclude_unset=True),
            "data": {**pilot.spec.data.model_dump(exclude_unset=True), "augment": {"balance": True}},
            "gates": [{"metric": "synthetic_fidelity", "min": 1.0}],
        }
    )
    refused, found = syntheses.run(strict, tmp_path, desk.settings, options, "ann")
    assert not found.passed
    answer = admin.get(place.replace(study, refused))
    assert answer.status_code == 404
    assert "a gate said" in answer.text
    page = admin.get("/pilots/claims/responsible").text
    assert refused not in page
    assert "Not written: a gate said no" in page
    named = tmp_path / "own.csv"
    own, _ = syntheses.run(pilot.spec, tmp_path, desk.settings, options, "ann", target=named)
    assert named.is_file()
    assert admin.get(place.replace(study, own)).status_code == 404, "it is a file of their own"


def test_a_study_of_synthetic_rows_is_started_from_the_page(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    know(desk, spec())
    begun: list[tuple[Kind, dict[str, object]]] = []

    def start(_: object, __: object, ___: str, kind: Kind, options: dict[str, object]) -> SimpleNamespace:
        begun.append((kind, options))
        return SimpleNamespace(id="s1")

    monkeypatch.setattr(operations, "start_study", start)
    sent = {"rows": "20", "format": "parquet"}
    assert "Study s1 has begun" in client(desk).post(f"{PLACE}/synthesis", data=sent).text
    assert begun == [(Kind.SYNTHESIS, sent)]
    assert operations.check(Kind.SYNTHESIS, sent) == {"rows": 20, "format": "parquet"}
    with pytest.raises(errors.SettingsError, match="synthesize --help"):
        operations.check(Kind.SYNTHESIS, {"rows": "0"})
