"""What every page has: its own files only, where one is, what is told once, readable failures."""

from __future__ import annotations

import gzip
import re

import pytest
from fastapi import Request
from fastapi.responses import RedirectResponse
from fastapi.testclient import TestClient
from tests.unit.console.desks import actor, client

from pilotage.console import applications
from pilotage.console.access.actors import Role
from pilotage.console.operations.desks import Desk
from pilotage.console.pages import rendering, statics


def test_a_page_refers_to_files_of_this_console_only(desk: Desk):
    text = client(desk).get("/").text
    addresses = re.findall(r'(?:src|href)="([^"#]+)"', text)
    assert [address for address in addresses if not address.startswith("/")] == []
    assert "style=" not in text
    assert "<script>" not in text
    assert not re.search(r"\son[a-z]+=", text)


def test_every_file_that_a_page_names_is_kept_for_ever_under_its_digest(desk: Desk):
    console = client(desk)
    files = re.findall(r'"(/static/[^"]+)"', console.get("/").text)
    assert len(set(files)) >= 5
    for file in files:
        answer = console.get(file)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        again = console.get(file, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_a_file_asked_for_under_another_digest_is_not_kept_for_ever(desk: Desk):
    answer = client(desk).get("/static/console.css?v=0000")
    assert answer.headers["cache-control"] == "no-cache"


def test_a_file_is_sent_compressed_to_those_who_take_it(desk: Desk):
    console = client(desk)
    packed = console.get("/static/htmx.js", headers={"Accept-Encoding": "gzip"})
    plain = console.get("/static/htmx.js", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert gzip.compress(plain.content, 6, mtime=0)[:2] == b"\x1f\x8b"


@pytest.mark.parametrize("name", ["..%2frendering.py", "%2e%2e%2fstatics.py", "nothing.js", "%00"])
def test_nothing_but_the_named_files_is_served(desk: Desk, name: str):
    assert client(desk).get(f"/static/{name}").status_code == 404


def test_plotly_is_served_from_its_package(desk: Desk):
    answer = client(desk).get(statics.address("plotly.js"))
    assert answer.status_code == 200
    assert b"plotly.js v" in answer.content[:400]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/", "/"),
        ("/pilots/flight-delay", "/"),
        ("/pilots/flight-delay/models", "/models"),
        ("/pilots/flight-delay/monitoring", "/monitoring"),
        ("/runs", "/runs"),
        ("/runs/20260101-1", "/runs"),
        ("/settings/tokens", "/settings"),
        ("/runsaway", "/"),
    ],
)
def test_the_navigation_knows_where_a_page_belongs(path: str, place: str):
    assert rendering.here(path) == place


def _notices(desk: Desk):
    app = applications.create(desk, authenticate=lambda request: actor())

    @app.post("/told")
    def tell(request: Request) -> RedirectResponse:
        return rendering.see(request, "/", "Version 3 & <b>4</b> are live.")

    return TestClient(app, base_url="http://127.0.0.1:8400")


def test_what_a_form_did_is_told_once_and_escaped(desk: Desk):
    console = _notices(desk)
    page = console.post("/told")
    assert page.url.path == "/"
    assert "Version 3 &amp; &lt;b&gt;4&lt;/b&gt; are live." in page.text
    assert "are live" not in console.get("/").text


@pytest.mark.parametrize("cookie", ["%", "e30=", "bnVsbA==", "WyJ4IiwgInkiXQ==", "WyJkb25lIiwgMV0=", "/w=="])
def test_a_notice_that_is_not_ours_is_as_if_it_were_not_there(desk: Desk, cookie: str):
    page = client(desk).get("/", headers={"Cookie": f"pilotage_notice={cookie}"})
    assert page.status_code == 200
    assert 'class="notice' not in page.text


def test_a_person_gets_a_page_where_a_program_gets_a_document(desk: Desk):
    console = client(desk, actor(Role.VIEWER, name="Vera <v>"))
    person = console.get("/pilots/none", headers={"Accept": "text/html"})
    program = console.get("/pilots/none")
    assert person.status_code == program.status_code == 404
    assert person.headers["content-type"].startswith("text/html")
    assert program.headers["content-type"] == "application/problem+json"
    console = client(desk)
    assert console.get("/api/v1/pilots/none", headers={"Accept": "text/html"}).json()["status"] == 404


def test_a_name_is_escaped_wherever_it_is_shown(desk: Desk):
    page = client(desk, actor(Role.VIEWER, name='"><script>alert(1)</script>')).get("/")
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text
