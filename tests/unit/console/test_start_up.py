"""`pilotage --help` answers at once, because nothing heavy is imported for it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

import pytest

HEAVY = (
    "fastapi", "great_expectations", "jinja2", "kfp", "kubernetes", "lightgbm", "mlflow", "numpy", "optuna",
    "pandas", "polars", "pyarrow", "pydantic", "scipy", "sklearn", "skops", "sqlalchemy", "uvicorn",
    "xgboost",
)  # fmt: skip
PROBE = """
import json, sys
from pilotage.console import cli
code = cli.run(sys.argv[1:])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]), file=sys.stderr)
"""


def loaded(*arguments: str) -> list[str]:
    """Top-level packages that a call of the command line loads."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    code, packages = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    assert "Usage: pilotage" in done.stdout
    return list(packages)


@pytest.mark.usefixtures("uncovered")
@pytest.mark.parametrize(
    "arguments", [("--help",), ("run", "--help"), ("runs", "--help"), ("demo", "-h")], ids=" ".join
)
def test_help_loads_no_heavy_library(arguments: tuple[str, ...]) -> None:
    whole = arguments == ("--help",)
    typers_own = set() if whole else {"pydantic"}  # typer checks the arguments of a command with it
    assert set(HEAVY) & set(loaded(*arguments)) <= typers_own


@pytest.mark.usefixtures("uncovered")
def test_help_takes_less_than_300_ms() -> None:
    spent = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "pilotage.console", "--help"], capture_output=True, check=True, timeout=60
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 0.3, "processor time, which is elapsed time on an idle machine"


@pytest.mark.usefixtures("uncovered")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("pilotage ru", ["run", "runs"]),
        ("pilotage runs sh", ["show"]),
        ("pilotage serve --por", ["--port"]),
    ],
    ids=["command", "command of a group", "option"],
)
def test_shells_complete_commands_and_options(words: str, offered: list[str]) -> None:
    asked = {"_PILOTAGE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", "from pilotage.console.cli import main; main()"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, **asked},
    )
    assert done.stdout.split() == offered
