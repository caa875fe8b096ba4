"""Notebooks that people send to the console: read in a process of its own, whatever is in them."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.unit.console.desks import actor, client

from pilotage.console.access.actors import Role
from pilotage.console.adoption import readings
from pilotage.console.operations.desks import Desk

PLACE = "/api/v1/adoptions"
SCRIPT = """import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

rows = pd.read_csv({path!r})
X = rows[["a", "b<c"]]
y = rows["y"]
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=7)
model = RandomForestClassifier(n_estimators=50).fit(X_train, y_train)
print(model.score(X_test, y_test))
open({touched!r}, "w").write("executed")
"""


def notebook(*cells: str) -> str:
    made: list[dict[str, Any]] = [
        {"cell_type": "code", "source": text, "metadata": {}, "outputs": [], "execution_count": None}
        for text in cells
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": made})


def test_a_script_becomes_files_and_a_zip_and_nothing_is_executed_or_looked_at(
    desk: Desk, tmp_path: Path
) -> None:
    """Columns of a file that lies on the console's machine are not told to who names the file."""
    (tmp_path / "rows.csv").write_text("a,b<c,secret,y\n1,2,3,4\n")
    touched = tmp_path / "touched"
    script = SCRIPT.format(path=str(tmp_path / "rows.csv"), touched=str(touched))
    answer = client(desk).post(PLACE, json={"file": "try me.py", "content": script})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["pilot"] == "try-me"
    assert [file["name"] for file in found["files"]] == ["pilot.yaml", "prepare.py"]
    assert found["decided"]["train"]["params"] == {"n_estimators": 50}
    assert "secret" not in answer.text
    assert not touched.exists()

    page = client(desk).post("/adopt", files={"notebook": ("try me.py", script)})
    assert page.status_code == 200
    assert "b&lt;c" in page.text
    assert "b<c" not in page.text
    link = re.search(r"data:application/zip;base64,([^\"]+)", page.text)
    assert link is not None
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(link[1]))) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert texts == {f"try-me/{file['name']}": file["text"] for file in found["files"]}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        pytest.param("a.ipynb", "no JSON", id="no JSON"),
        pytest.param("a.ipynb", "[" * 200_000, id="nested JSON"),
        pytest.param("a.ipynb", '{"nbformat": 4, "cells": 7}', id="cells that are none"),
        pytest.param("a.py", "x = " + "(" * 100_000 + ")" * 100_000, id="nested brackets"),
        pytest.param("a.py", "x = 1" + "+1" * 200_000, id="a long sum"),
        pytest.param("a.py", "x = 1\x00", id="NUL"),
        pytest.param("a.ipynb", notebook("x = 1\x00"), id="NUL in a cell"),
        pytest.param("../../a.py", "x = 1", id="a path"),
        pytest.param("a.sh", "x = 1", id="a shell script"),
        pytest.param("a.py", "\ud800", id="half a letter"),
    ],
)
def test_what_is_no_notebook_is_refused(desk: Desk, file: str, content: str) -> None:
    body = json.dumps({"file": file, "content": content})  # in ASCII, so that half a letter can be sent
    answer = client(desk).post(PLACE, content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["detail"]


def test_what_is_wrong_with_a_notebook_is_told_without_the_places_of_this_machine(desk: Desk) -> None:
    told = client(desk).post(PLACE, json={"file": "a.ipynb", "content": "no JSON"}).json()["detail"]
    assert told.startswith("`a.ipynb` is no notebook")


def test_what_computes_without_end_is_ended(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "SECONDS", 1)
    content = "import pandas as pd\n" + "d = f(d)\n" * 200_000
    answer = client(desk).post(PLACE, json={"file": "a.py", "content": content})
    assert answer.status_code == 422
    assert "more than 1 s" in answer.json()["detail"]


def test_what_is_too_long_is_not_read(desk: Desk) -> None:
    admin = client(desk)
    long = "#" * (readings.MOST_BYTES + 1)
    assert admin.post(PLACE, json={"file": "a.py", "content": long}).status_code == 422
    assert admin.post(PLACE, json={"file": "a.py", "content": long + "#" * (2 << 20)}).status_code == 413
    assert admin.post("/api/v1/pilots", json={"folder": "#" * (2 << 20)}).status_code == 413


def test_who_may_begin_nothing_sees_no_page(desk: Desk) -> None:
    viewer = client(desk, actor(Role.VIEWER))
    assert viewer.get("/adopt").status_code == 403
    assert 'href="/adopt"' not in viewer.get("/").text
    assert 'href="/adopt"' in client(desk).get("/").text
    refused = client(desk).post("/adopt", files={"notebook": ("a.py", b"\xff\xfe<b>")})
    assert refused.status_code == 422
    assert "not text in UTF-8" in refused.text
