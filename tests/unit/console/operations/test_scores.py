"""Tables that are sent to the console and scored as studies: the whole way, a stop, a death, and who may."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from tests.unit.console.desks import actor, client
from tests.unit.serving import small_models

from pilotage.components import score as step
from pilotage.console.access.actors import Role
from pilotage.console.operations import scores
from pilotage.console.operations.desks import Desk
from pilotage.core import errors, pilots, settings, spreadsheets
from pilotage.core.registry import Registry
from pilotage.core.storage import Storage
from pilotage.pipelines import studies
from pilotage.pipelines.studies import batches, launches, uploads

NAME = small_models.NAME
PLACE = f"/api/v1/pilots/{NAME}"
PILOT = "version: 1\npilot: {name}\ndata: {{source: {source}, target: late}}\ngoal: {{metric: roc_auc}}\n"
ROWS = 900


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """An installation with a pilot, its rows and a champion."""
    place = tmp_path_factory.mktemp("scored")
    desk = Desk(settings.load(home=place / "home"))
    version = small_models.register(desk.settings, small_models.predictor(seed=1))
    Registry(desk.settings).promote(NAME, version)
    (place / "pilot").mkdir()
    (place / "pilot" / "rows.parquet").write_bytes(table())
    (place / "pilot" / "pilot.yaml").write_text(PILOT.format(name=NAME, source="rows.parquet"))
    answer = client(desk).post("/api/v1/pilots", json={"folder": str(place / "pilot")})
    assert answer.status_code == 201, answer.text
    return desk


@pytest.fixture
def unstarted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[Any]]]:
    """Processes in place of studies' commands, each of which waits to be ended."""
    found: list[subprocess.Popen[Any]] = []

    def start(*_: object) -> subprocess.Popen[Any]:
        found.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        return found[-1]

    monkeypatch.setattr(launches, "_starter", lambda _: start)
    yield found
    for child in found:
        child.communicate(b"\n")


def table(rows: int = ROWS) -> bytes:
    held = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(small_models.rows(rows, 0)), held)
    return held.getvalue()


def send(admin: TestClient, data: bytes, name: str = "mine.parquet") -> str:
    answer = admin.post(f"{PLACE}/tables", params={"name": name}, content=data)
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["table"]
    return found


def begin(admin: TestClient, **options: Any) -> str:
    answer = admin.post(f"{PLACE}/studies", json={"kind": "score", "options": options})
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["id"]
    return found


def carry_out(desk: Desk, study: str, folder: Path) -> None:
    found = pilots.load(folder)
    batches.run(found.spec, found.folder, desk.settings, "me", study=study)


def folder_of(desk: Desk) -> Path:
    return Path(client(desk).get(PLACE).json()["folder"])


def test_a_table_is_sent_scored_by_a_process_of_its_own_and_saved(desk: Desk) -> None:
    """What comes out is what the command writes here, and the table that was sent is kept no longer."""
    admin = client(desk)
    sent = send(admin, table())
    study = begin(admin, table=sent, name="mine.parquet")
    assert launches._children[-1].wait(120) == 0
    found = admin.get(f"{PLACE}/studies/{study}").json()
    assert (found["state"], found["message"]) == ("succeeded", "")
    assert found["result"] == {
        "version": 1,
        "rows": ROWS,
        "source": "mine.parquet",
        "file": "scores.parquet",
    }
    assert found["progress"]["done"] == ROWS

    answer = admin.get(f"{PLACE}/studies/{study}/scores")
    assert answer.headers["content-disposition"] == f'attachment; filename="{NAME}-{study}.parquet"'
    here = desk.settings.home / "here.parquet"
    step.score(NAME, desk.settings, str(folder_of(desk) / "rows.parquet"), here, folder=Path.cwd())
    assert pq.read_table(io.BytesIO(answer.content)).equals(pq.read_table(here))
    lines = admin.get(f"{PLACE}/studies/{study}/scores", params={"format": "csv"}).text.splitlines()
    assert len(lines) == ROWS + 1

    assert not Storage(desk.settings.storage).names(f"tables/{NAME}")
    assert not list((desk.settings.home / "scores").iterdir())
    page = admin.get(f"/pilots/{NAME}/scaling").text
    assert f"studies/{study}/scores?format=csv" in page
    assert "mine.parquet" in page


def test_cells_that_spreadsheets_would_calculate_are_texts_in_csv(
    desk: Desk, unstarted: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells of OWASP's list in a key, which is a text, while numbers are numbers in keys and columns."""
    monkeypatch.setattr(scores, "_ROWS", 3)
    admin = client(desk)
    study = begin(admin)
    carry_out(desk, study, folder_of(desk))
    odd = [
        "=1+1",
        "+A1",
        "-2+3",
        "@SUM(A1)",
        "\tx",
        "\r=x",
        " =1",
        "\uff1d1",
        "-5",
        "+4.5e3",
        "5=6",
        None,
    ]
    kept = pa.table(
        {"=key": odd, "prediction": ["x"] * len(odd), "score": [-0.25] * len(odd)},
        pa.schema({"=key": pa.string(), "prediction": pa.string(), "score": pa.float64()}),
    )
    held = io.BytesIO()
    pq.write_table(kept, held)
    Storage(desk.settings.storage).write(f"studies/{NAME}/{study}/{batches.FILE}", held.getvalue())
    place = f"{PLACE}/studies/{study}/scores"
    text = admin.get(place, params={"format": "csv"}).text
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    assert head == ["'=key", "prediction", "score"]
    told = [
        "'=1+1",
        "'+A1",
        "'-2+3",
        "'@SUM(A1)",
        "'\tx",
        "'\r=x",
        "' =1",
        "'\uff1d1",
        "-5",
        "+4.5e3",
        "5=6",
        "",
    ]
    assert [row[0] for row in rows] == told
    assert [each if each is None else spreadsheets.cell(each) for each in odd] == [
        row[0] or None for row in rows
    ], "row by row it is the same"
    assert {float(row[2]) for row in rows} == {-0.25}
    answer = admin.get(place)
    assert int(answer.headers["content-length"]) == len(held.getvalue())
    assert pq.read_table(io.BytesIO(answer.content)).equals(kept), "Parquet has every text as it is"


def test_one_that_was_stopped_goes_on_where_it_was(
    desk: Desk, unstarted: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "PART_ROWS", 100)
    monkeypatch.setattr(step, "_cores", lambda: 1)
    admin = client(desk)
    study = begin(admin)  # of the pilot's own rows
    found = pilots.load(folder_of(desk))

    def stop(progress: studies.Progress) -> None:
        if progress.done >= 300:
            admin.post(f"{PLACE}/studies/{study}/cancel", json={"why": "enough"})

    with pytest.raises(errors.Stopped):
        batches.run(found.spec, found.folder, desk.settings, "me", study=study, on_progress=stop)
    assert admin.get(f"{PLACE}/studies/{study}").json()["state"] == "cancelled"
    assert admin.get(f"{PLACE}/studies/{study}/scores").status_code == 404
    _, made = batches.run(found.spec, found.folder, desk.settings, "me", study=study)
    assert made.rows == ROWS
    assert made.resumed >= 300
    assert made.source == "data.source"


def test_one_whose_process_was_killed_has_died(desk: Desk, unstarted: list[subprocess.Popen[Any]]) -> None:
    admin = client(desk)
    sent = send(admin, table(10))
    study = begin(admin, table=sent)
    again = admin.post(f"{PLACE}/studies", json={"kind": "score", "options": {"table": sent}})
    assert again.status_code == 409
    unstarted[-1].kill()
    unstarted[-1].wait()
    found = admin.get(f"{PLACE}/studies/{study}").json()
    assert found["state"] == "died"
    assert "died" in admin.get(f"/pilots/{NAME}/scaling").text
    carry_out(desk, study, folder_of(desk))
    assert admin.get(f"{PLACE}/studies/{study}").json()["result"]["rows"] == 10


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"table": "/etc/passwd"}, "has no table", id="a path"),
        pytest.param({"table": "../../secrets"}, "has no table", id="a path upwards"),
        pytest.param({"table": "0" * 32}, "has no table", id="an id that is none"),
        pytest.param({"source": "/etc/passwd"}, "`source`", id="a source"),
        pytest.param({"workers": 0}, "`workers`", id="no workers"),
        pytest.param({"version": 0}, "`version`", id="no version"),
    ],
)
def test_a_caller_names_no_file_of_the_consoles_machine(
    desk: Desk, unstarted: list[Any], options: dict[str, Any], said: str
) -> None:
    answer = client(desk).post(f"{PLACE}/studies", json={"kind": "score", "options": options})
    assert 400 <= answer.status_code < 500
    assert said in answer.json()["detail"]
    assert not unstarted


def test_what_is_no_table_is_not_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = client(desk)
    for name, data in (("a.exe", b"x"), ("a.csv", b"")):
        assert admin.post(f"{PLACE}/tables", params={"name": name}, content=data).status_code == 422
    monkeypatch.setattr(uploads, "MOST_BYTES", 5)
    assert admin.post(f"{PLACE}/tables", params={"name": "a.csv"}, content=b"a\n1\n2\n").status_code == 422
    monkeypatch.setattr(uploads, "MOST_HELD", 1)
    send(admin, b"a\n1\n", "../x/../a.csv")
    assert admin.post(f"{PLACE}/tables", params={"name": "b.csv"}, content=b"a\n1\n").status_code == 429
    held = Storage(desk.settings.storage)
    assert [name.rpartition("/")[2] for name in held.names(f"tables/{NAME}")] == ["table.csv"]
    monkeypatch.setattr(uploads, "KEPT", uploads.KEPT * 0)
    uploads.drop(held, NAME, send(admin, b"a\n1\n", "later.csv"))  # the older one gave way
    assert not held.names(f"tables/{NAME}")


def test_the_form_sends_a_table_and_who_may_only_look_has_none(desk: Desk, unstarted: list[Any]) -> None:
    viewer, page = client(desk, actor(Role.VIEWER)), f"/pilots/{NAME}/scaling"
    assert "Score a table" not in viewer.get(page).text
    assert viewer.post(f"{page}/score").status_code == 403
    assert viewer.post(f"{PLACE}/tables", params={"name": "a.csv"}, content=b"a\n1\n").status_code == 403
    admin = client(desk)
    assert "Score a table" in admin.get(page).text
    wrong = admin.post(f"{page}/score", files={"table": ("<b>.exe", b"x")}, data={"version": ""})
    assert "&lt;b&gt;.exe" in wrong.text
    assert not unstarted
    begun = admin.post(f"{page}/score", files={"table": ("r.csv", b"a\n1\n")}, data={"version": "1"})
    assert "has begun" in begun.text
    study = studies.latest(desk.engine, NAME, studies.Kind.SCORE)
    assert study is not None
    assert (study.options["name"], study.options["version"]) == ("r.csv", 1)
    admin.post(f"{PLACE}/studies/{study.id}/cancel", json={"why": ""})
