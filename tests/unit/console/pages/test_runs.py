"""Runs and pilots as pages: what they show, what they refuse, and parameters as people write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import update
from tests import populations
from tests.unit.console.desks import actor, client

from pilotage.console.access.actors import Role
from pilotage.console.operations.desks import Desk
from pilotage.console.pages.runs import read_overrides
from pilotage.core import errors
from pilotage.core.artifacts import Check, Report, Severity
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits

RUN, FAILED = "20260101-000009-abcdef", "20260101-000006-abcdef"


@pytest.fixture
def full(desk: Desk) -> Iterator[Desk]:
    populations.fill(desk.engine, populations.Size())
    yield desk
    desk.engine.dispose()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("\n  \n", {}),
        ("train.params.max_iter = 200", {"train.params.max_iter": 200}),
        ("a=1.5\nb = true\nc = [1, 2]", {"a": 1.5, "b": True, "c": [1, 2]}),
        ("train.estimator = random_forest", {"train.estimator": "random_forest"}),
        ('a = "1"\nb = x = y', {"a": "1", "b": "x = y"}),
    ],
)
def test_parameters_are_read_from_lines(text: str, found: dict[str, object]):
    assert read_overrides(text) == found


@pytest.mark.parametrize("text", ["a", "= 1", "a = 1\na = 2", "ok = 1\n%"])
def test_a_line_that_is_none_is_named(text: str):
    with pytest.raises(errors.SpecError, match=r"Line \d of the parameters"):
        read_overrides(text)


def test_buttons_are_for_those_who_may(full: Desk):
    viewer, operator = client(full, actor(Role.VIEWER)), client(full, actor(Role.OPERATOR))
    assert "Retry from the failed step" in operator.get(f"/runs/{FAILED}").text
    assert "Retry from the failed step" not in viewer.get(f"/runs/{FAILED}").text
    assert 'id="start"' in operator.get("/pilots/pilot-000").text
    assert 'id="start"' not in viewer.get("/pilots/pilot-000").text


REPORT = Report(
    pilot="pilot-000",
    snapshot="a" * 64,
    suite="b" * 64,
    drafted=False,
    success=False,
    checks=(
        Check(
            expectation="expect_column_values_to_not_be_null",
            column="age",
            severity=Severity.CRITICAL,
            success=False,
            observed="12 <b>missing</b>",
            expected="none",
        ),
    ),
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)


def test_a_run_whose_data_was_refused_shows_why_before_any_log_and_has_its_report(full: Desk):
    folder = full.settings.home / "runs" / FAILED / "training-1" / "validate" / "report"
    folder.mkdir(parents=True)
    REPORT.write(folder)
    (folder / "report.html").write_text("<p>all of it</p>")
    log = full.settings.logs / FAILED / "validate.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("Traceback (most recent call last):\n")
    error = {"message": "The data of `pilot-000` does not pass.", "remedy": "", "exit_code": 3}
    with full.engine.begin() as connection:
        run, step = tables.runs.c.id == FAILED, tables.steps.c.run == FAILED
        connection.execute(update(tables.runs).where(run), {"state": "failed", "error": error})
        changed = {"state": "failed", "outputs": None, "error": error, "log": str(log)}
        connection.execute(update(tables.steps).where(step, tables.steps.c.name == "validate"), changed)
    caller = client(full, actor(Role.VIEWER))
    page = caller.get(f"/runs/{FAILED}").text
    assert page.index("does not pass") < page.index("12 &lt;b&gt;missing&lt;/b&gt;")
    assert page.index("does not pass") < page.index("Traceback")
    [fold] = re.findall(r'<details class="log-of"([^>]*)>\s*<summary>validate ', page)
    assert "open" not in fold
    assert f"/runs/{FAILED}/validation" in page
    assert caller.get(f"/runs/{FAILED}/validation").text == "<p>all of it</p>"
    assert caller.get(f"/api/v1/runs/{FAILED}/report").json()["success"] is False


def test_a_form_that_cannot_be_taken_leads_back_to_its_page_and_to_no_other(full: Desk):
    operator = client(full, actor(Role.OPERATOR))
    own, other = "http://127.0.0.1:8400/pilots/pilot-000", "http://elsewhere.example/pilots/pilot-000"
    for referer, back in ((own, True), (other, False)):
        page = operator.post(
            "/pilots/pilot-000/runs",
            data={"overrides": "no value"},
            headers={"referer": referer, "accept": "text/html"},
        )
        assert page.status_code == 422
        assert "This cannot be taken" in page.text
        assert ("Back to where you were" in page.text) is back


def test_what_people_and_steps_wrote_is_escaped_everywhere(full: Desk):
    evil = "<img src=x onerror=alert(1)>"
    with full.engine.begin() as connection:
        changed = {
            "why": evil,
            "asked_by": evil,
            "state": "failed",
            "error": {"message": evil, "remedy": evil},
        }
        connection.execute(update(tables.runs), changed)
        connection.execute(update(tables.steps), {"error": {"message": evil}})
        connection.execute(update(tables.alarms), {"message": evil})
        audits.write(connection, "promote", "pilot-000", evil, evil, version=2)
    admin = client(full)
    other = "20260101-000000-abcdef"
    for path in ("/", "/runs", f"/runs/{RUN}", f"/runs/compare?a={RUN}&b={other}", "/pilots/pilot-000"):
        page = admin.get(path)
        assert page.status_code == 200, path
        assert evil not in page.text, path
        assert "onerror=alert" in page.text, path


@pytest.mark.parametrize(
    "path",
    [
        "/runs?state=nothing",
        "/runs?cursor=%00",
        "/?cursor=zzz",
        "/runs/none",
        "/runs/compare?a=none&b=none",
        "/pilots/none",
        "/runs?pilot=none",
        f"/runs/{RUN}?x=%ff",
        "/?search=%25_%27%22",
        *(
            f"{path}{'a' * 51_000}"
            for path in ("/?search=", "/models?search=", "/monitoring?search=", "/runs/")
        ),
        *(f"/api/v1/{path}{'a' * 51_000}" for path in ("pilots?search=", "live?search=", "monitors?search=")),
        f"/api/v1/runs/{'a' * 51_000}",
    ],
    ids=lambda path: path[:40],
)
def test_odd_addresses_are_no_failure_of_ours(full: Desk, path: str):
    assert client(full).get(path, headers={"Accept": "text/html"}).status_code < 500


@pytest.mark.parametrize("path", ["/live?cursor=none", "/runs/live?pilot=other"])
def test_a_stream_of_what_cannot_be_shown_is_refused_and_does_not_begin(full: Desk, path: str):
    answer = client(full, actor(Role.VIEWER, "pilot-000")).get(path)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_lists_go_on_where_the_part_before_ended(desk: Desk):
    populations.fill(desk.engine, populations.Size(pilots=1, runs=120, windows=1))
    admin, path = client(desk), "/runs"
    seen: set[str] = set()
    while path:
        text = admin.get(path).text
        found = {part.split('"')[0] for part in text.split('scope="row"><a href="/runs/')[1:]}
        assert not found & seen
        seen |= found
        path = (
            ("/runs?" + text.split('rel="next"')[0].rsplit('href="?', 1)[1].split('"')[0]).replace(
                "&amp;", "&"
            )
            if 'rel="next"' in text
            else ""
        )
    assert len(seen) == 120
