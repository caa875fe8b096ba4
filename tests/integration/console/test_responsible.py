"""What a version that was trained for real has to answer for: its page, its card, and its export."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from playwright.sync_api import expect
from tests.integration.console.conftest import OpenPage
from tests.unit.console.desks import actor, client

from pilotage.components import cards
from pilotage.console.access.actors import Role
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.evidence import archives, dossiers, exports
from pilotage.core import settings, signatures
from pilotage.core.artifacts import Scorecard
from pilotage.core.settings import Settings
from pilotage.pipelines.journals import audits

PLACE = "/api/v1/pilots/parcels/versions/1"
PLANTED = "planted-in-the-environment"


@pytest.fixture(scope="module")
def desk(trained: Settings) -> Iterator[Desk]:
    found = Desk(trained)
    yield found
    found.engine.dispose()


@pytest.fixture(scope="module")
def raw(desk: Desk) -> bytes:
    """An export, as the API sends it to somebody who may only look."""
    answer = client(desk, actor(Role.VIEWER, name="vera")).get(f"{PLACE}/export")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == 'attachment; filename="parcels-1-export.zip"'
    return answer.content


def files(raw: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def verified(raw: bytes, tmp_path: Path, installation: Settings) -> exports.Verdict:
    file = tmp_path / "export.zip"
    file.write_bytes(raw)
    return exports.verify(file, installation)


def test_an_export_holds_what_speaks_for_the_version_and_names_the_rest(
    raw: bytes, desk: Desk, trained: Settings, tmp_path: Path
) -> None:
    held = files(raw)
    manifest = json.loads(held["manifest.json"])
    assert set(manifest["files"]) == set(held) - {"manifest.json"}
    scorecard = Scorecard.model_validate_json(held["evaluation/scorecard.json"])
    assert scorecard.content_digest == desk.registry.version("parcels", 1).tags["pilotage.scorecard"]
    lineage = json.loads(held["lineage.json"])
    snapshot = json.loads(held["data/snapshot.json"])
    assert lineage["snapshot"] == snapshot["digest"] == scorecard.snapshot
    assert lineage["data_files"] == {item["name"]: item["sha256"] for item in snapshot["files"]}
    assert b"by:" in held["pilot.yaml"]
    assert b"<h1>parcels, version 1</h1>" in held["card/card.html"]
    assert "model.skops" in json.loads(held["model/digests.json"])
    assert (
        JsonStrictValidator(SchemaVersion.V1_6).validate_str(held["bill-of-materials.cdx.json"].decode())
        is None
    )
    assert set(manifest["missing"]) >= {"model/model.sig", "decisions/approval"}
    assert all(manifest["missing"].values())
    found = verified(raw, tmp_path, trained)
    assert (found.verified, found.problems, found.signed) == (True, (), None)


def test_an_export_is_reproducible_and_itself_recorded(desk: Desk, raw: bytes) -> None:
    who = actor()
    made = [exports.contents(desk, who, dossiers.gather(desk, who, "parcels", 1)).files for _ in range(2)]
    assert made[0] == made[1]
    line = next(item for item in audits.read(desk.engine, "parcels") if item.action == exports.ACTION)
    assert (line.who, line.version) == ("vera", 1)
    names = {name for name in files(raw) if name != "manifest.json"}
    assert {name for name in made[0] if made[0][name] != files(raw).get(name)} <= {
        "audit/records.jsonl",
        "audit/chain.jsonl",
    }
    assert names <= set(made[0])


def test_a_record_that_was_changed_is_found_even_where_the_manifest_was_made_to_fit(
    desk: Desk, trained: Settings, tmp_path: Path
) -> None:
    who = actor()
    with desk.engine.begin() as connection:
        audits.write(connection, "look", "parcels", "ann", "to see", version=1)
        audits.write(connection, "look", "others", "bob", "not to be seen")
    made = exports.contents(desk, who, dossiers.gather(desk, who, "parcels", 1))
    assert b"to see" in made.files["audit/records.jsonl"]
    assert b"not to be seen" not in made.files["audit/records.jsonl"]
    for old, new, said in (
        (b"to see", b"to hide", "was changed"),
        (b'"who": "ann"', b'"who": "eve"', "was changed"),
    ):
        changed = {**made.files, "audit/records.jsonl": made.files["audit/records.jsonl"].replace(old, new)}
        stream = io.BytesIO()
        archives.write(
            stream,
            changed,
            {"kind": exports.KIND, "schema_version": 1, "pilot": "parcels", "version": 1},
            trained,
        )
        found = verified(stream.getvalue(), tmp_path, trained)
        assert not found.verified
        assert said in found.problems[0]
    links = made.files["audit/chain.jsonl"].splitlines()
    cut = {**made.files, "audit/chain.jsonl": b"\n".join(links[:-2])}
    stream = io.BytesIO()
    archives.write(
        stream, cut, {"kind": exports.KIND, "schema_version": 1, "pilot": "parcels", "version": 1}, trained
    )
    assert "is not in the chain" in verified(stream.getvalue(), tmp_path, trained).problems[0]


def test_no_secret_gets_into_an_export(
    desk: Desk, trained: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_PASSWORD", PLANTED)
    private, public = signatures.make_keys(tmp_path / "keys")
    sealed = Desk(
        settings.load(
            home=trained.home,
            installation_key="planted-installation-key",
            oidc_client_secret="planted-client-secret",
            signing_key_file=private,
            verify_key_file=None,
        )
    )
    why = f"{PLANTED} planted-installation-key planted-client-secret postgresql://me:planted-own@db/x"
    with sealed.engine.begin() as connection:
        audits.write(connection, "look", "parcels", "ann", why, version=1)
    stream = io.BytesIO()
    exports.write(sealed, actor(), "parcels", 1, stream)
    held = files(stream.getvalue())
    for name, content in held.items():
        for secret in (PLANTED, "planted-installation-key", "planted-client-secret", "planted-own"):
            assert secret.encode() not in content, name
        assert private.read_bytes().splitlines()[1] not in content, name
    found = verified(
        stream.getvalue(), tmp_path, settings.load(home=tmp_path / "elsewhere", verify_key_file=public)
    )
    assert (found.verified, found.signed, found.problems) == (True, True, ())
    assert "1 of them without a secret" in found.audit
    sealed.engine.dispose()


def test_who_may_not_look_at_the_pilot_gets_no_export_and_leaves_no_record(desk: Desk) -> None:
    before = audits.read(desk.engine, limit=1)[0].id
    stranger = client(desk, actor(Role.ADMIN, pilot="others"))
    for path in ("export", "card", "card/told"):
        assert stranger.get(f"{PLACE}/{path}").status_code == 404
    assert client(desk).get("/api/v1/pilots/parcels/versions/77/export").status_code == 404
    assert audits.read(desk.engine, limit=1)[0].id == before


def test_a_card_takes_todays_words_and_the_runs_facts(desk: Desk, trained: Settings) -> None:
    folder = trained.home.parent / "parcels"
    told = client(desk).get(f"{PLACE}/card/told").json()
    assert "add `card.intended_use`" in {gap["remedy"] for gap in told["gaps"]}
    text = (folder / "pilot.yaml").read_text()
    spoken = folder.parent / "spoken"
    spoken.mkdir()
    said = text.replace("target: 0.7", "target: 0.99") + "card: {intended_use: To call customers.}\n"
    (spoken / "pilot.yaml").write_text(said)
    environment = {**os.environ, "PILOTAGE_HOME": str(trained.home)}
    command = [sys.executable, "-m", "pilotage.console", "card", str(spoken), "1", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert "To call customers." in document["markdown"]
    assert "roc\\_auc of at least 0.7" in document["markdown"]  # as the run had it
    assert len(document["gaps"]) == len(told["gaps"]) - 1


def test_a_version_whose_run_is_gone_has_a_card_with_gaps(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = dossiers.gather(desk, actor(), "parcels", 1)
    bare = dossiers.Dossier(found.version, found.registered, scorecard=found.scorecard, spec=found.spec)
    card = dossiers.card_of(bare)
    assert card is not None
    assert "Data sheet" in {gap.what for gap in card.gaps}
    assert "not there any more" in cards.page(card)
    assert dossiers.card_of(dossiers.Dossier(found.version, found.registered)) is None


@pytest.mark.browser
def test_the_page_shows_groups_reasons_and_gaps_and_gives_the_export(
    open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page("/pilots/parcels")
    page.get_by_role("link", name="Responsible").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Responsible use of parcels")
    expect(page.get_by_role("heading", name="By weight in groups of 10 or more")).to_be_visible()
    assert page.locator("#fairness svg .dot").count() >= 4
    expect(page.locator("#reasons tbody th").first).to_have_text("distance")
    expect(page.locator("#card")).to_contain_text("add card.intended_use")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download the export").click()
    waiting.value.save_as(tmp_path / "export.zip")
    assert exports.verify(tmp_path / "export.zip", settings.load(home=tmp_path / "elsewhere")).verified
