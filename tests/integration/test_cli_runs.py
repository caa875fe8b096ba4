"""The command line as people call it: pilots of five lines that nobody has seen, from table to service."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

TABLES: dict[str, tuple[str, Callable[[float], object]]] = {
    "late": ("roc_auc", lambda score: str(score > 0).lower()),
    "grade": ("balanced_accuracy", lambda score: "low" if score < -0.6 else "mid" if score < 0.6 else "high"),
    "price": ("r2", lambda score: round(100 + 10 * score, 2)),
}
"""Target → metric and how the target follows from a hidden score."""
RUN_KEYS = {"run", "state", "snapshot", "steps", "version", "promoted", "metrics", "gates"}


def table(path: Path, target: str, count: int = 400, seed: int = 1) -> None:
    """Numbers, categories, booleans, dates and missing values, and a target that depends on them."""
    chance = random.Random(seed)
    with path.open("w", newline="", encoding="utf-8") as stream:
        out = csv.writer(stream)
        out.writerow(["id", "amount", "city", "express", "ordered_on", target])
        for number in range(count):
            amount, city = chance.gauss(50, 20), chance.choice(["Köln", "Paris", "Łódź"])
            express = chance.random() < 0.4
            score = (amount - 50) / 20 + (city == "Paris") - express + chance.gauss(0, 0.3) - 0.2
            out.writerow(
                [
                    f"o{number:04d}",
                    "" if chance.random() < 0.05 else round(amount, 2),
                    "" if chance.random() < 0.05 else city,
                    str(express).lower(),
                    date(2025, 1, 1) + timedelta(days=number % 300),
                    TABLES[target][1](score),
                ]
            )


class Desk:
    """A folder with pilots and an installation of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PILOTAGE_HOME": str(folder / "home")}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `pilotage` in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "pilotage.console", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *arguments: str, code: int | tuple[int, ...] = 0) -> Any:
        """What `pilotage … --json` answers; it must end with `code`, or one of these."""
        process = self.start(*arguments, "--json")
        out, err = process.communicate(timeout=240)
        assert process.returncode in (code if isinstance(code, tuple) else (code,)), f"{out}\n{err}"
        assert "Traceback" not in err
        return json.loads(out)

    def pilot(self, target: str, more: str = "") -> str:
        """A pilot of five lines."""
        folder = self.folder / target
        folder.mkdir()
        table(folder / "table.csv", target)
        (folder / "pilot.yaml").write_text(
            f"version: 1\npilot: {target}\ndata: {{source: table.csv, target: {target}{more}}}\n"
            f"goal: {{metric: {TABLES[target][0]}}}\n",
            encoding="utf-8",
        )
        return target


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Shared by the tests below, which read in order what the first ones ran."""
    return Desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def ran(desk: Desk) -> dict[str, Any]:
    """The first run of each pilot."""
    keys = {"late": ", key: id"}
    return {target: desk.call("run", desk.pilot(target, keys.get(target, ""))) for target in TABLES}


@pytest.mark.parametrize("target", TABLES)
def test_five_lines_run_to_a_champion(ran: dict[str, Any], target: str) -> None:
    result = ran[target]
    assert set(result) >= RUN_KEYS
    assert (result["state"], result["version"], result["promoted"]) == ("succeeded", 1, True)
    names = [step["name"] for step in result["steps"]]
    assert names == ["ingest", "validate", "train", "evaluate", "register"]
    assert all(set(step) == {"name", "state", "seconds", "cached"} for step in result["steps"])
    assert all(set(gate) >= {"gate", "passed", "value", "limit"} for gate in result["gates"])
    assert result["metrics"][TABLES[target][0]] > 0.5


def test_a_second_run_on_the_same_data_is_all_cache_hits(desk: Desk, ran: dict[str, Any]) -> None:
    again = desk.call("run", "late")
    assert [step["cached"] for step in again["steps"]] == [True] * 5
    assert (again["version"], again["snapshot"]) == (1, ran["late"]["snapshot"])


def test_runs_are_listed_and_shown_with_steps_and_logs(desk: Desk, ran: dict[str, Any]) -> None:
    run = ran["grade"]["run"]
    listed = desk.call("runs", "grade")["runs"]
    assert [item["run"] for item in listed] == [run]
    shown = desk.call("runs", "show", run)
    assert [step["state"] for step in shown["steps"]] == ["succeeded"] * 5
    assert set(desk.call("runs", "logs", run, "--step", "train")["logs"]) == {"train"}
    assert "'trian'" in desk.call("runs", "logs", run, "--step", "trian", code=2)["error"]["message"].replace(
        "`", "'"
    )
    assert desk.call("runs", "show", "nothing", code=2)["error"]["type"] == "NotFound"


def test_people_read_tables(desk: Desk, ran: dict[str, Any]) -> None:
    for arguments, words in (
        (["runs"], [ran["late"]["run"], "succeeded"]),
        (["runs", "show", ran["late"]["run"]], ["evaluate", "peak MB"]),
        (["models", "late"], ["champion", "promoted", "roc_auc"]),
        (["check", "late"], ["table.csv", "is the target", "category"]),
        (["run", "late"], ["roc_auc against baseline", "passed", "5 of 5 steps from the cache"]),
    ):
        process = desk.start(*arguments)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert [word for word in words if word not in out] == []


def test_versions_are_promoted_and_rolled_back(desk: Desk, ran: dict[str, Any]) -> None:
    table(desk.folder / "price" / "table.csv", "price", count=500, seed=2)
    assert desk.call("run", "price", code=(0, 3))["version"] == 2
    desk.call("promote", "price", "2", "--force")
    promoted = desk.call("promote", "price", "1", "--force", "--why", "a test")
    assert promoted == {"pilot": "price", "version": 1, "replaced": 2, "changed": True}
    assert desk.call("promote", "price", "1")["changed"] is False
    known = {item["version"]: item["aliases"] for item in desk.call("models", "price")["versions"]}
    assert ("champion" in known[1], "previous" in known[2]) == (True, True)
    back = desk.call("rollback", "price")
    assert back == {"pilot": "price", "version": 2, "replaced": 1, "changed": True}
    assert desk.call("rollback", "price", code=2)["error"]["type"] == "NotFound"
    assert desk.call("promote", "price", "9", code=2)["error"]["type"] == "NotFound"
    assert desk.call("models", "nobody", code=2)["error"]["type"] == "NotFound"
    assert desk.call("rollouts", "price") == {"pilot": "price", "rollouts": [], "releases": []}
    assert desk.call("rollouts", "nobody", code=2)["error"]["type"] == "NotFound"


def test_a_manual_approval_waits_for_a_person(desk: Desk, ran: dict[str, Any]) -> None:
    folder = desk.folder / "grade"
    with (folder / "pilot.yaml").open("a", encoding="utf-8") as stream:
        stream.write("approval: manual\n")
        stream.write("gates: [{metric: balanced_accuracy, against: champion, margin: -0.5}]\n")
    table(folder / "table.csv", "grade", count=520, seed=3)
    waiting = desk.call("run", "grade")
    assert (waiting["decision"], waiting["promoted"]) == ("pending", False)
    assert desk.call("approve", "grade", "--why", "a test")["version"] == waiting["version"]
    refused = desk.call("reject", "grade", str(waiting["version"]), code=3)
    assert refused["error"]["type"] == "PromotionRefused"


def test_compile_writes_the_ir(desk: Desk, ran: dict[str, Any]) -> None:
    written = desk.call("compile", "late", "-o", "late.yaml")
    text = Path(written["file"]).read_text(encoding="utf-8")
    assert "pipelineInfo" in text
    assert "exec-train" in text
    assert desk.call("compile", "late", "-o", ".", code=2)["error"]["type"] == "NotFound"


def test_a_run_on_bad_data_exits_2_and_says_what_to_do(desk: Desk) -> None:
    folder = desk.folder / "broken"
    folder.mkdir()
    (folder / "table.csv").write_text("a,y\n" + "1,same\n" * 50)
    (folder / "pilot.yaml").write_text(
        "version: 1\npilot: broken\ndata: {source: table.csv, target: y}\ngoal: {metric: roc_auc}\n"
    )
    failed = desk.call("run", "broken", code=2)
    assert failed["state"] == "failed"
    assert failed["error"]["message"].startswith("The target `y` is constant")
    assert [step["state"] for step in failed["steps"]] == ["failed", *["skipped"] * 4]
    process = desk.start("run", "broken")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "Error: The target `y` is constant" in err
    assert "Traceback" not in out + err


def test_a_drafted_pilot_runs(desk: Desk) -> None:
    table(desk.folder / "orders.csv", "late")
    drafted = desk.call("init", "orders", "--from", "orders.csv", "--target", "late")
    assert (drafted["key"], drafted["time"], drafted["metric"]) == ("id", "ordered_on", "roc_auc")
    assert drafted["features"] == {"amount": "number", "city": "category", "express": "boolean"}
    assert desk.call("init", "orders", "--from", "orders.csv", code=2)["error"]["type"] == "SpecError"
    assert desk.call("run", "orders")["promoted"] is True


@pytest.fixture
def server(desk: Desk, ran: dict[str, Any]) -> Iterator[str]:
    """A served pilot; gives the URL."""
    ready = desk.folder / "ready.json"
    process = desk.start("serve", "late", "--port", "0", "--ready-file", str(ready))
    try:
        deadline = time.monotonic() + 90
        while not ready.is_file():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        announced = json.loads(ready.read_text())
        assert announced["pid"] == process.pid
        yield announced["url"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_served_pilot_is_monitored_with_late_labels(desk: Desk, server: str) -> None:
    with (desk.folder / "late" / "table.csv").open(newline="", encoding="utf-8") as stream:
        known = list(csv.DictReader(stream))
    rows = [
        {
            "id": row["id"],
            "amount": float(row["amount"]) if row["amount"] else None,
            "city": row["city"] or None,
            "express": row["express"] == "true",
            "ordered_on": row["ordered_on"],
        }
        for row in known
    ]
    answer = httpx.post(f"{server}/predict", json={"rows": rows}, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.json()["ids"] == [row["id"] for row in known]
    labels = desk.folder / "labels.csv"
    labels.write_text("id,late\n" + "".join(f"{row['id']},{row['late']}\n" for row in known))
    assert desk.call("labels", "late", str(labels)) == {
        "pilot": "late", "labels": len(known), "missing": 0, "file": str(labels), "warnings": [],
    }  # fmt: skip
    deadline = time.monotonic() + 60
    reports: list[Any] = []
    while not reports and time.monotonic() < deadline:
        time.sleep(1)
        reports = desk.call("monitor", "late", "--now", "2100-01-01T00:00:00Z")["reports"]
    assert reports[0]["rows"] == len(known)
    assert reports[0]["performance"]["labelled"] == len(known)
    assert Path(reports[0]["page"]).is_file()


@pytest.mark.parametrize(
    ("content", "said"),
    [("id,answer\n1,true\n", "has no column"), ("id,label\n,true\n", "without an id"), (None, "no file")],
    ids=["no label", "no id", "no file"],
)
def test_labels_that_cannot_be_used(desk: Desk, content: str | None, said: str) -> None:
    file = desk.folder / "wrong.csv"
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_text(content)
    assert said in desk.call("labels", "late", str(file), code=2)["error"]["message"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_following_monitor_ends_with_its_document(desk: Desk, ran: dict[str, Any], number: int) -> None:
    process = desk.start("monitor", "late", "--follow", "--every", "1s", "--json")
    time.sleep(6)
    assert process.poll() is None, process.communicate()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert set(json.loads(out)) == {"pilot", "reports", "alarms", "triggers", "retrainings", "rollouts"}
