"""Commands with PILOTAGE_URL: the console there does the work, and they say what they say at home."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import uvicorn
from tests.integration.test_cli_runs import table
from tests.unit.console.browsers import add_user
from tests.unit.console.desks import actor

from pilotage.console import applications, cli
from pilotage.console.access import doors
from pilotage.console.access.actors import ALL, Grant, Role
from pilotage.console.adoption import analyses, notebooks, writing
from pilotage.console.operations import pilots
from pilotage.console.operations.access import tokens
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.execution import runs
from pilotage.console.remotes import clients
from pilotage.console.remotes.clients import Remote
from pilotage.core import errors, logs, settings
from pilotage.pipelines.execution import runs as pipelines
from pilotage.pipelines.journals import audits
from pilotage.pipelines.journals.states import STEPS, State

PILOT = """\
version: 1
pilot: late
data:
  source: data.csv
  target: late
  key: id
  retention: 90d
goal:
  metric: roc_auc
approval: manual
"""


GRAPES = """\
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
rows = pd.read_csv("grapes.csv")
rows["ratio"] = rows["a"] / rows["b"]
model = RandomForestClassifier().fit(rows[["a", "ratio"]], rows["y"])
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class There:
    """A console that runs, and commands that go to it."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.desk = Desk(settings.load(home=home))
        pilots.add_pilot(self.desk, actor(), folder)
        self.url = f"http://127.0.0.1:{free_port()}"
        self.tokens = {role: self._token(role) for role in Role}

    def _token(self, role: Role) -> str:
        add_user(self.desk, str(role), Grant(ALL, role), password=None)
        made = tokens.make_token(self.desk, actor(), "x", [Grant(ALL, role)], 1, user=str(role))
        return made.secret

    def start(self, *arguments: str, role: Role = Role.ADMIN) -> subprocess.Popen[str]:
        """Start a command in an empty folder, with a token of `role`."""
        known = {**os.environ, "PILOTAGE_URL": self.url, "PILOTAGE_TOKEN": self.tokens[role]}
        known["PILOTAGE_HOME"] = "/nowhere/at/all"
        return subprocess.Popen(
            [sys.executable, "-m", "pilotage.console", *arguments],
            env=known, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def carry_out(self) -> None:
        """Do what a scheduler does: the run that waits, once there is one."""
        while not (waiting := runs.list_runs(self.desk, actor(), state=State.PENDING).items):
            time.sleep(0.05)
        pipelines.run_asked(waiting[0].id, self.desk.settings)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    """One console for all tests."""
    folder = tmp_path_factory.mktemp("late")
    (folder / "pilot.yaml").write_text(PILOT)
    table(folder / "data.csv", "late")
    found = There(tmp_path_factory.mktemp("home"), folder)
    app = applications.create(found.desk, doors.authenticate)
    port = int(found.url.rpartition(":")[2])
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield found
    server.should_exit = True
    thread.join()


class Call(Protocol):
    """A command in this process; the document that it answers with."""

    def __call__(self, *arguments: str, role: Role = Role.ADMIN, code: int = 0, said: str = "") -> Any:
        """It must end with `code`; `said` is its stdin."""
        ...


@pytest.fixture
def call(there: There, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Commands that go there."""
    monkeypatch.setattr(logs, "configure", lambda *_, **__: None)  # which is for a process of its own

    def run(*arguments: str, role: Role = Role.ADMIN, code: int = 0, said: str = "") -> Any:
        monkeypatch.setenv("PILOTAGE_URL", there.url)
        monkeypatch.setenv("PILOTAGE_TOKEN", there.tokens[role])
        monkeypatch.setenv("PILOTAGE_HOME", "/nowhere/at/all")
        monkeypatch.setattr("sys.stdin", io.StringIO(said))
        capfd.readouterr()
        ended = cli.run([*arguments, "--json"])
        out, err = capfd.readouterr()
        assert ended == code, f"{out}\n{err}"
        return json.loads(out)

    return run


@pytest.mark.slow
def test_a_run_is_started_followed_and_decided_there(there: There, call: Call) -> None:
    process = there.start("run", "late", "--json", role=Role.OPERATOR)
    there.carry_out()
    out, err = process.communicate(timeout=120)
    document = json.loads(out)
    assert process.returncode == document["exit_code"] == 0, err
    assert (document["state"], document["version"], document["decision"]) == ("succeeded", 1, "pending")
    assert [step["name"] for step in document["steps"]] == list(STEPS)
    told = runs.get_run(there.desk, actor(), document["run"])
    assert document == told.result
    assert told.asked_by == "operator"
    assert all(f" {step}" in err for step in STEPS), err

    assert call("runs")["runs"][0]["run"] == document["run"]
    shown = call("runs", "show", document["run"][:-2])
    assert [step["state"] for step in shown["steps"]] == ["succeeded"] * 5
    logs = call("runs", "logs", document["run"], "--step", "train")["logs"]
    assert list(logs) == ["train"]
    assert logs["train"]
    assert call("models", "late")["versions"][0]["version"] == 1

    refused = call("approve", "late", role=Role.OPERATOR, code=3)["error"]
    assert (refused["type"], refused["exit_code"]) == ("Forbidden", 3)
    assert "An admin can give you a role" in refused["remedy"]
    assert call("approve", "late", "--why", "good", role=Role.APPROVER) == {
        "pilot": "late", "version": 1, "replaced": None, "changed": True,
    }  # fmt: skip
    line = audits.read(there.desk.engine, "late", limit=1)[0]
    assert (line.who, line.why) == ("approver", "good")
    assert call("promote", "late", "1")["changed"] is False
    assert call("rollback", "late", code=2)["error"]["type"] == "NotFound"


@pytest.mark.slow
def test_what_is_known_of_a_version_there_comes_here(there: There, call: Call, tmp_path: Path) -> None:
    if not call("models", "late")["versions"]:
        asked = runs.start_run(there.desk, actor(), "late")
        pipelines.run_asked(asked.id, there.desk.settings)

    card = call("card", "late", "-o", str(tmp_path / "card.md"))
    assert (card["pilot"], card["version"]) == ("late", 1)
    assert "late" in (tmp_path / "card.md").read_text()
    archive = tmp_path / "late.zip"
    exported = call("export", "late", "-o", str(archive))
    assert (exported["version"], exported["bytes"]) == (1, archive.stat().st_size)
    verified = call("export", "--verify", str(archive))
    assert (verified["verified"], verified["version"]) == (True, 1)

    score = call("readiness", "late", "--badge", str(tmp_path / "badge.svg"))
    assert [len(section["tests"]) for section in score["sections"]] == [7, 7, 7, 7]
    assert (tmp_path / "badge.svg").read_text().startswith("<svg")
    refused = call("readiness", "late", "--note", "data-6", "--text", "a day", role=Role.VIEWER, code=3)
    assert refused["error"]["type"] == "Forbidden"
    note = call("readiness", "late", "--note", "data-6", "--text", "a day", role=Role.APPROVER)
    assert (note["test"], note["who"]) == ("data-6", "approver")
    assert [item["id"] for item in call("readiness", "late", "--notes")["notes"]] == [note["id"]]
    assert call("readiness", "late", "--history") == {"pilot": "late", "history": []}  # the leader keeps it
    assert call("readiness", "late", "--withdraw", note["id"])["id"] == note["id"]

    assert call("costs", "late")["pilot"] == "late"
    assert call("purge", "late", "--dry-run")["purged"][0]["pilot"] == "late"
    assert call("forget", "late", "no-such-key", "--reason", "asked")["pilot"] == "late"
    refused = call("forget", "late", "x", "--reason", "asked", role=Role.OPERATOR, code=3)
    assert refused["error"]["type"] == "Forbidden"


@pytest.mark.slow
@pytest.mark.usefixtures("uncovered")
def test_a_study_there_is_followed_from_here(there: There, call: Call, tmp_path: Path) -> None:
    picture = tmp_path / "forecast.svg"
    options = ["--repeats", "2", "--no-models", "--no-features", "--plot", str(picture)]
    document = call("forecast", "late", *options, role=Role.OPERATOR)
    assert document["kind"] == "forecast"
    assert picture.read_text().startswith("<svg")
    assert call("forecast", "late", role=Role.VIEWER, code=3)["error"]["type"] == "Forbidden"
    assert call("shrink", "late", "--study", "x", code=2)["error"]["remedy"] == "Leave it out."


@pytest.mark.slow
@pytest.mark.usefixtures("uncovered")
def test_a_table_of_this_machine_is_scored_there(there: There, call: Call, tmp_path: Path) -> None:
    if not call("models", "late")["versions"]:
        asked = runs.start_run(there.desk, actor(), "late")
        pipelines.run_asked(asked.id, there.desk.settings)
    table(tmp_path / "mine.csv", "late")
    output = tmp_path / "new" / "scores.parquet"
    found = call("score", "late", str(tmp_path / "mine.csv"), str(output), "--version", "1")
    assert (found["version"], found["source"], found["file"]) == (1, "mine.csv", str(output))
    assert hashlib.sha256(output.read_bytes()).hexdigest() in found["sha256"]


def test_a_notebook_of_this_machine_is_read_there_and_the_pilot_written_here(
    call: Call, tmp_path: Path
) -> None:
    """As it would be written without a console, for the folder that it goes to."""
    (tmp_path / "work").mkdir()
    script = tmp_path / "work" / "grapes.py"
    script.write_text(GRAPES)
    here, there_ = tmp_path / "far" / "here", tmp_path / "far" / "there"
    writing.write(analyses.analyse(notebooks.read(script)), here)
    found = call("adopt", str(script), "--into", str(there_), role=Role.OPERATOR)
    assert found["folder"] == str(there_)
    for name in ("pilot.yaml", "prepare.py"):
        assert (there_ / name).read_text().replace("there", "here") == (here / name).read_text()
    assert "'../../work'" in (there_ / "prepare.py").read_text()
    again = call("adopt", str(script), "--into", str(there_), code=2)["error"]
    assert "nothing is overwritten" in again["message"]


def test_other_commands_go_there_too(call: Call) -> None:
    assert call("triggers", "late") == {"pilot": "late", "triggers": [], "snooze": None}
    assert call("triggers", "snooze", "late", "--for", "2d", "--why", "sale")["who"] == "admin"
    assert call("triggers", "unsnooze", "late") == {"pilot": "late", "changed": True}
    made = call("schedules", "add", "late", "0 3 * * 1")
    assert call("schedules", "pause", made["id"])["state"] == "paused"
    assert [item["id"] for item in call("schedules")["items"]] == [made["id"]]
    assert call("webhooks") == {"webhooks": []}
    assert call("audit", "list", "--who", "admin", "--limit", "1")["items"][0]["action"] == "pause"
    added = call("users", "add", "eve", "--role", "viewer@late", "--password", said="a fine password\n")
    assert (added["has_password"], added["created_by"]) == (True, "admin")
    assert call("users", "grant", "eve", "operator")["grants"][0]["role"] == "operator"
    assert call("users", "disable", "eve")["state"] == "disabled"
    assert "eve" in [user["name"] for user in call("users")["users"]]
    assert call("users", "token", "viewer", "--days", "3")["secret"].startswith("pilotage_")
    assert call("users", role=Role.VIEWER, code=3)["error"]["type"] == "Forbidden"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["drift", "usual.csv", "now.csv"], "works on this machine's installation"),
        (["score", "late", "s3://bucket/rows.parquet", "scores.parquet"], "no file of this machine"),
        (["score", "late"], "INPUT is missing"),
        (["sign-in"], "works on this machine's installation"),
        (["promote", "late", "1", "--who", "somebody"], "knows who"),
        (["runs", "show", "nothing"], "no run `nothing`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_there_says_so(call: Call, arguments: list[str], said: str) -> None:
    found = call(*arguments, code=2)["error"]
    assert said in found["message"]
    assert found["remedy"]


def remote(url: str, token: str = "pilotage_x") -> Remote:
    """A client as commands make it."""
    return Remote(settings.load(home="/nowhere", url=url, token=token))


@pytest.mark.parametrize(
    "url", ["http://console.example.org", "http://10.0.0.1:8400", "console", "ftp://x", "https://a@b"]
)
def test_a_token_is_not_sent_in_the_clear(url: str) -> None:
    with pytest.raises(errors.SettingsError, match="PILOTAGE_URL"):
        remote(url)


def test_a_token_is_in_no_message(there: There) -> None:
    asked = remote(there.url, "pilotage_wrong")
    with pytest.raises(errors.Unauthenticated) as caught:
        asked.get("/me")
    asked.close()
    assert "pilotage_wrong" not in str(caught.value)
    assert "pilotage_x" not in repr(settings.load(home="/nowhere", token="pilotage_x"))


def test_nobody_there_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "_WAITS_SECONDS", (0.01, 0.01))
    asked = remote(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(errors.Unavailable, match="does not answer"):
        asked.get("/me")
    asked.close()


class Flaky(http.server.BaseHTTPRequestHandler):
    """Answers as it is told to, and remembers what it was asked."""

    answers: list[tuple[int, dict[str, str], bytes]] = []
    seen: list[tuple[str, str, str | None]] = []

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append((self.command, self.path, self.headers.get("Idempotency-Key")))
        status, headers, body = self.answers.pop(0)
        if status == 0:  # the answer is lost
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - the names that they have there

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 - the name that it has there
        pass


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    """A client of a server that misbehaves."""
    monkeypatch.setattr(clients, "_WAITS_SECONDS", (0.01, 0.01))
    Flaky.answers, Flaky.seen = [], []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Flaky)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    asked = remote(f"http://127.0.0.1:{server.server_address[1]}")
    yield asked
    asked.close()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_lost_answer_is_asked_for_again_under_the_same_key(flaky: Remote) -> None:
    busy = (409, {"Retry-After": "1", "Content-Type": "application/problem+json"}, b"{}")
    Flaky.answers = [(0, {}, b""), busy, (201, {}, b'{"id": 1}')]
    assert flaky.post("/runs") == {"id": 1}
    keys = {key for _, _, key in Flaky.seen}
    assert len(Flaky.seen) == 3
    assert len(keys) == 1
    assert None not in keys
    Flaky.answers, Flaky.seen = [(201, {}, b"{}")], []
    flaky.post("/runs")
    assert Flaky.seen[0][2] not in keys


@pytest.mark.parametrize("status", [502, 503, 504])
def test_what_passes_is_waited_for(flaky: Remote, status: int) -> None:
    Flaky.answers = [(status, {}, b"<html>"), (200, {}, b"{}")]
    assert flaky.get("/me") == {}
    Flaky.answers = [(status, {}, b"<html>")] * 3
    with pytest.raises(errors.Failure, match=str(status)):
        flaky.get("/me")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((200, {}, b"<html>"), errors.Unavailable),
        ((302, {"Location": "https://evil.example"}, b""), errors.Unavailable),
        ((404, {}, b"<html>"), errors.InputError),
        ((500, {}, b"[]"), errors.Failure),
        ((403, {}, b'{"type": "urn:pilotage:problem:forbidden", "detail": "no"}'), errors.Forbidden),
        ((409, {}, b'{"type": "urn:pilotage:problem:run-active", "detail": "no"}'), errors.RunActive),
        ((409, {}, b'{"type": "urn:pilotage:problem:??", "detail": "no", "details": 7}'), errors.InputError),
    ],
)
def test_every_answer_is_one_of_our_errors(
    flaky: Remote, answer: tuple[int, dict[str, str], bytes], kind: type[errors.PilotageError]
) -> None:
    Flaky.answers = [answer]
    with pytest.raises(kind):
        flaky.get("/me")


def test_every_error_comes_back_as_it_was(flaky: Remote) -> None:
    from pilotage.console.api import problems

    for kind in clients._KINDS.values():
        error = kind("What is wrong.", remedy="What to do.", key="value")
        Flaky.answers = [(400, {}, json.dumps(problems.document_of(error)).encode())]
        with pytest.raises(errors.PilotageError) as caught:
            flaky.patch("/x", {})
        found = caught.value
        assert (type(found), found.message, found.remedy) == (kind, "What is wrong.", "What to do.")
        assert found.details == {"key": "value"}
        assert found.exit_code == error.exit_code
