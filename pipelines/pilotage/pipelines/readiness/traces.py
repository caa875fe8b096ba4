"""A plugin of pytest that notes which functions of a folder tests call, and whether they read pilot.yaml.

It is loaded in the process that `suites` starts, and nowhere else.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from pilotage.pipelines.readiness.suites import FOLDER_VARIABLE, RESULT_VARIABLE

_PILOT_FILE = "pilot.yaml"
_TESTS = ("test_", "conftest")
_LOADERS = ("load", "parse")


class Notes:
    """What tests did."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder) + os.sep
        self._seen: set[CodeType] = set()
        self.called: set[str] = set()
        self.outcomes: Counter[str] = Counter()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """What `sys.setprofile` tells of."""
        if event != "call" or frame.f_code in self._seen:
            return
        self._seen.add(frame.f_code)
        self._note(frame.f_code)

    def _note(self, code: CodeType) -> None:
        name = code.co_filename
        if name.replace(os.sep, "/").endswith("pilotage/core/pilots.py") and code.co_name in _LOADERS:
            self.called.add(f"{_PILOT_FILE}:{code.co_name}")
        if not name.startswith(self._folder) or code.co_name.startswith("<"):
            return
        parts = Path(name[len(self._folder) :]).with_suffix("").parts
        if not parts[-1].startswith(_TESTS) and not parts[-1].endswith("_test"):
            self.called.add(f"{'.'.join(parts)}:{code.co_name}")


_NOTES = Notes(Path(os.environ.get(FOLDER_VARIABLE, ".")))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Note calls while a test runs, and no others: an import is no test."""
    before = sys.getprofile()
    sys.setprofile(_NOTES)
    yield
    sys.setprofile(before)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count what became of each test."""
    if report.when == "call" or report.outcome != "passed":
        _NOTES.outcomes[report.outcome] += 1


def pytest_sessionfinish() -> None:
    """Write what was noted where the process that asked looks for it."""
    place = os.environ.get(RESULT_VARIABLE)
    if place:
        content = {**_NOTES.outcomes, "called": sorted(_NOTES.called)}
        Path(place).write_text(json.dumps(content), encoding="utf-8")
