"""Ingest finds personal data, does what pilot.yaml says, and writes nothing of it anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr
from tests.unit.components.tabular import make_settings, make_spec, write_csv

from pilotage.components.ingest import ingest
from pilotage.components.personal import presidio
from pilotage.components.validation import undeclared
from pilotage.core import errors
from pilotage.core.artifacts import Snapshot
from pilotage.core.personal import erasures, keys
from pilotage.core.specs import PersonalKind, PilotSpec, Policy

KEY = "5b1f0c9d7e3a48269f60d2c4b8a1e753"
CANARY = "canary"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTAGE_PERSONAL_KEY", KEY)


def people(rows: int = 80) -> dict[str, list[Any]]:
    return {
        "id": [f"{CANARY}{i}@mail.example" for i in range(rows)],
        "phone": [f"+49 30 5550{i:04}" if i % 2 else None for i in range(rows)],
        "first_name": [f"{CANARY}{i % 4}" for i in range(rows)],
        "note": [f"ask {CANARY}{i}@mail.example" if i % 8 == 0 else "none" for i in range(rows)],
        "age": [20 + i % 50 for i in range(rows)],
        "y": ["yes" if i % 3 else "no" for i in range(rows)],
    }


def read(folder: Path, **data: Any) -> Snapshot:
    source = write_csv(folder / "people.csv", data.pop("table", None) or people())
    spec = make_spec(source.name, **data)
    return ingest(spec, folder, make_settings(folder), folder / "out")


def rows_of(folder: Path, snapshot: Snapshot) -> pl.DataFrame:
    return pl.read_parquet(folder / "home" / snapshot.name / "part-*.parquet")


def holding(folder: Path, text: str) -> list[str]:
    """Files below the home and the outputs that hold `text`, also inside of Parquet files."""
    found = []
    for file in [*(folder / "home").rglob("*"), *(folder / "out").rglob("*")]:
        if file.is_file():
            held = file.read_bytes()
            if file.suffix == ".parquet":
                held += str(pq.read_table(file).to_pydict()).encode()
            if text.encode() in held:
                found.append(str(file))
    return found


DECLARED = {
    "columns": {"id": "hash", "phone": "mask", "first_name": "drop"},
    "kinds": {"email": "mask"},
}


def test_rules_are_applied_before_anything_is_written(tmp_path: Path) -> None:
    snapshot = read(tmp_path, key="id", personal=DECLARED)
    table = rows_of(tmp_path, snapshot)
    assert holding(tmp_path, CANARY) == []
    assert "first_name" not in table.columns
    assert table["id"][3] == keys.digest(KEY.encode(), f"{CANARY}3@mail.example")
    assert table["phone"].to_list()[:2] == [None, "***"], "missing stays missing"
    assert table["note"].to_list()[:2] == ["ask <email>", "none"]
    told = {(item.column, item.kind): (item.policy, item.hits, item.looked) for item in snapshot.personal}
    assert told["id", PersonalKind.EMAIL] == (Policy.HASH, 80, 80)
    assert told["phone", PersonalKind.PHONE] == (Policy.MASK, 40, 40)
    assert told["note", PersonalKind.EMAIL] == (Policy.MASK, 10, 80)
    assert told["first_name", PersonalKind.PERSON_NAME][0] is Policy.DROP
    assert undeclared.find(snapshot) == ()


def test_the_same_data_and_secret_give_the_same_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []
    for place, secret in (("one", KEY), ("two", KEY), ("three", KEY[::-1])):
        monkeypatch.setenv("PILOTAGE_PERSONAL_KEY", secret)
        digests.append(read(tmp_path / place, key="id", personal=DECLARED).digest)
    assert digests[0] == digests[1] != digests[2]


def test_what_nothing_is_said_of_is_stored_and_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    snapshot = read(tmp_path, key="id")
    found = undeclared.find(snapshot)
    assert {item.column for item in found} == {"id", "phone", "first_name", "note"}
    assert "`id` holds email in 100%" in caplog.text
    assert CANARY not in caplog.text
    assert CANARY not in snapshot.model_dump_json(), "a text that names an example names no person"


@pytest.mark.parametrize(
    "personal",
    [{"columns": {"note": "refuse"}}, {"kinds": {"email": "refuse"}, "columns": {"id": "hash"}}],
    ids=["column", "kind"],
)
def test_refused_data_is_told_by_column_kind_and_share_and_never_by_value(
    tmp_path: Path, personal: dict[str, Any]
) -> None:
    with pytest.raises(errors.DataError, match=r"`note` holds email in 12%") as caught:
        read(tmp_path, key="id", personal=personal)
    assert caught.value.exit_code == 2
    assert caught.value.details == {"column": "note", "kind": "email", "share": 0.125}
    assert CANARY not in str(caught.value)
    assert holding(tmp_path, CANARY) == []
    assert not list((tmp_path / "home").glob("snapshots/*"))


def test_a_reason_for_keeping_is_kept(tmp_path: Path) -> None:
    rule = {"policy": "keep", "reason": "agreed in the contract"}
    snapshot = read(tmp_path, personal={"columns": {"note": rule}})
    (kept,) = [item for item in snapshot.personal if item.column == "note"]
    assert (kept.policy, kept.reason) == (Policy.KEEP, "agreed in the contract")


def test_a_rule_for_a_column_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(errors.DataError, match="`mail`"):
        read(tmp_path, personal={"columns": {"mail": "hash"}})


def test_numbers_that_are_ids_are_found_by_their_check_digits(tmp_path: Path) -> None:
    table = people()
    table["card"] = [4111111111111111 if i % 2 else 5555555555554444 for i in range(80)]
    table["serial"] = [10**15 + 7919 * i for i in range(80)]
    found = {item.column: item.kind for item in read(tmp_path, table=table).personal}
    assert found["card"] is PersonalKind.CREDIT_CARD
    assert "serial" not in found, "chance makes some of them right, not most"


def test_a_hashed_column_of_numbers_is_hashed_as_requests_spell_it(tmp_path: Path) -> None:
    table = {**people(), "account": [1000 + i for i in range(80)]}
    snapshot = read(tmp_path, table=table, personal={"columns": {"account": "hash"}})
    assert rows_of(tmp_path, snapshot)["account"][0] == keys.digest(KEY.encode(), "1000")


def test_keys_that_repeat_are_told_without_people_in_it(tmp_path: Path) -> None:
    table = people()
    table["id"][1] = table["id"][0]
    with pytest.raises(errors.DataError, match="not unique") as caught:
        read(tmp_path, table=table, key="id")
    assert CANARY not in str(caught.value)


def test_rows_whose_key_is_forgotten_do_not_come_back(tmp_path: Path) -> None:
    installation = make_settings(tmp_path)
    whole = read(tmp_path, key="id", personal=DECLARED)
    stored = keys.digest(KEY.encode(), f"{CANARY}3@mail.example")
    digest = erasures.key_digest(installation, "trial", stored)
    erasures.Forgotten(installation, "trial").add([digest])
    again = read(tmp_path, key="id", personal=DECLARED)
    assert (again.rows, again.forgotten) == (whole.rows - 1, 1)
    assert again.digest != whole.digest
    other = erasures.Forgotten(installation, "other")
    assert not other.holds(stored), "keys are forgotten pilot by pilot"


def test_presidio_gives_a_second_opinion(tmp_path: Path) -> None:
    pytest.importorskip("presidio_analyzer", reason='needs `pip install "pilotage[pii]"`')
    assert presidio.installed()
    assert presidio.kinds("AB123456C") == {PersonalKind.NATIONAL_ID}
    table = {**people(), "nino": ["AB123456C" if i % 2 else "none" for i in range(80)]}
    rules = {"columns": {"id": "hash"}}
    found = {item.column: item.found_by for item in read(tmp_path, table=table, personal=rules).personal}
    assert found["nino"] == "presidio"
    assert found["id"] == "patterns"


def test_without_presidio_our_own_patterns_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presidio, "installed", lambda: False)
    assert {item.found_by for item in read(tmp_path).personal} == {"patterns", "name"}


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("people.csv", f"age,y\n1,no\n{CANARY}@mail.example,2,3\n"),
        ("people.jsonl", f'{{"age": 1, "y": "no"}}\n{{"age": {CANARY}}}\n'),
    ],
)
def test_what_a_damaged_row_holds_is_not_told(tmp_path: Path, name: str, broken: str) -> None:
    (tmp_path / name).write_text(broken)
    with pytest.raises(errors.SourceError) as caught:
        ingest(make_spec(name), tmp_path, make_settings(tmp_path), tmp_path / "out")
    assert CANARY not in str(caught.value)
    assert "Row #3" in str(caught.value) or "line 2" in str(caught.value)


@pytest.mark.parametrize("rule", [None, "mask"])
def test_images_that_a_table_names_by_path_are_read_beside_it(tmp_path: Path, rule: str | None) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    image.new("L", (4, 4)).save(tmp_path / "a.png")
    table: dict[str, list[Any]] = {
        "scan": ["a.png"] * 40,
        "age": list(range(40)),
        "note": ["x y", "z"] * 20,
        "y": ["yes", "no"] * 20,
    }
    write_csv(tmp_path / "people.csv", table)
    data: dict[str, Any] = {"source": "people.csv", "target": "y", "features": {"scan": "image"}}
    if rule is not None:
        data["personal"] = {"columns": {"note": rule}}
    train = {"encoders": {"scan": {"backbone": "backbone.onnx"}}}
    content = {"version": 1, "pilot": "scans", "goal": {"metric": "accuracy"}, "data": data, "train": train}
    found = ingest(PilotSpec.model_validate(content), tmp_path, make_settings(tmp_path), tmp_path / "out")
    (scan,) = set(rows_of(tmp_path, found)["scan"])
    assert scan.startswith("iVBOR")


def test_where_the_installations_key_is_another_nothing_that_is_to_be_forgotten_comes_back(
    tmp_path: Path,
) -> None:
    (tmp_path / "home").mkdir()
    installation = make_settings(tmp_path)
    erasures.Forgotten(installation, "trial").add([erasures.key_digest(installation, "trial", "a")])
    assert erasures.Forgotten(installation, "trial").holds("a")
    other = installation.model_copy(update={"installation_key": SecretStr("another-secret-of-the-pod")})
    with pytest.raises(errors.SettingsError, match="another installation key"):
        erasures.Forgotten(other, "trial")
    assert not erasures.Forgotten(other, "else"), "a pilot that forgets nothing needs no key"
