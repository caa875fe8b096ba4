"""Calling the command line in this process, in a folder of its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.console.calls import Call, Called

from pilotage.console import cli
from pilotage.console.operations.desks import Desk
from pilotage.core import settings

PILOT = """\
version: 1
pilot: small
data:
  source: {name}
  target: y
{more}goal:
  metric: {metric}
"""


@pytest.fixture
def call(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Call]:
    """Call `pilotage` with some arguments, in a folder of its own."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    before = logging.root.handlers[:], logging.root.level, logging.getLogger("pilotage").level

    def run(*arguments: str | os.PathLike[str]) -> Called:
        code = cli.run([os.fspath(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Called(code, captured.out, captured.err)

    yield run
    logging.captureWarnings(False)
    logging.root.handlers[:], logging.root.level = before[0], before[1]
    logging.getLogger("pilotage").setLevel(before[2])


@pytest.fixture
def write(call: Call) -> Callable[..., Path]:
    """Write a pilot and its table below the current folder; gives the pilot's folder."""

    def make(table: str | bytes, *, metric: str = "roc_auc", name: str = "data.csv", more: str = "") -> Path:
        folder = Path("pilot")
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(table if isinstance(table, bytes) else table.encode())
        text = PILOT.format(name=name, metric=metric, more=more)
        (folder / "pilot.yaml").write_text(text, encoding="utf-8")
        return folder

    return make


@pytest.fixture
def desk(home: Path) -> Desk:
    """The desk of an empty installation."""
    return Desk(settings.load(home=home))
