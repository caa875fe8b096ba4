"""Alerts are well formed, fire when they must and at no other time, and each says what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.integration.observability import expressions
from tests.integration.observability.expressions import FOLDER

CASES = sorted((FOLDER / "tests").glob("*.yaml"))
ALERTS = {rule["alert"]: rule for rule in expressions.rules() if "alert" in rule}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed: `apt-get install prometheus`")
    return found


def test_prometheus_takes_the_rules(promtool: str) -> None:
    command = [promtool, "check", "rules", *map(str, expressions.rule_files())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(
        [promtool, "check", "config", str(FOLDER / "prometheus.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_alerts_fire_when_they_must(promtool: str, case: Path) -> None:
    command = [promtool, "test", "rules", case.name]
    done = subprocess.run(command, cwd=case.parent, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_to_fire() -> None:
    fired: set[str] = set()
    for case in CASES:
        for test in yaml.safe_load(case.read_text("utf-8"))["tests"]:
            for asked in test["promql_expr_test"]:
                for sample in asked["exp_samples"]:
                    fired.update(re.findall(r'alertname="(\w+)"', sample["labels"]))
    assert fired == set(ALERTS)


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_an_alert_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert name.startswith("Pilotage")
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["for"]
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^### (\w+)$", (FOLDER.parents[1] / page).read_text("utf-8"), re.MULTILINE)
    assert anchor == name.lower()
    assert headings.count(name) == 1


def test_the_guide_knows_no_alert_that_is_not() -> None:
    page = (FOLDER.parents[1] / "docs" / "observability.md").read_text("utf-8")
    assert set(re.findall(r"^### (Pilotage\w+)$", page, re.MULTILINE)) == set(ALERTS)


def test_what_is_written_from_rules_and_boards_is_current() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "write.py"), "--check"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
