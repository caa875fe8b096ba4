"""The tests in a pilot's folder: run in a process of their own, with what they called in that folder.

That tests pass says nothing of what they test. So calls of functions in the folder's modules are noted while
each test runs, and that pilot.yaml was read; what no test calls is not tested. pytest is asked, if installed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pilotage.core import errors

TIMEOUT_SECONDS = 900
RESULT_VARIABLE = "PILOTAGE_TESTS_RESULT"
"""Where the process writes what came of it."""
FOLDER_VARIABLE = "PILOTAGE_TESTS_FOLDER"
_PLUGIN = "pilotage.pipelines.readiness.traces"
_LAST = 400


@dataclass(frozen=True)
class Ran:
    """What came of a folder's tests."""

    passed: bool
    summary: str
    called: tuple[str, ...]
    """Functions of the folder that tests called, `module:function`; `pilot.yaml` where it was read."""
    counts: Mapping[str, int]


def run(folder: Path) -> Ran:
    """Run the tests in a pilot's folder.

    Raises:
        MissingExtra: pytest is not installed.
        Failure: they did not end.
    """
    if importlib.util.find_spec("pytest") is None:
        raise errors.MissingExtra(
            "The tests of a pilot are run by pytest, which is not installed.",
            remedy="`pip install pytest` installs it.",
            package="pytest",
        )
    with tempfile.TemporaryDirectory(prefix="pilotage-tests-") as scratch:
        result = Path(scratch) / "result.json"
        code, said = _carry_out(folder, result)
        try:
            content = json.loads(result.read_bytes())
        except (OSError, ValueError):
            content = {}
    counts = {name: int(content.get(name, 0)) for name in ("passed", "failed", "skipped")}
    called = tuple(str(name) for name in content.get("called", ()))
    if not counts["passed"] and not counts["failed"]:
        if code in (0, 5):
            return Ran(False, f"There is no test in {folder}: write `test_*.py` files there", called, counts)
        return Ran(False, f"The tests in {folder} could not be run: {said}", called, counts)
    total = sum(counts.values())
    if code or counts["failed"]:
        return Ran(False, f"{counts['failed']} of {total} tests in the folder failed: {said}", called, counts)
    return Ran(True, f"{counts['passed']} of {total} tests in the folder passed", called, counts)


def _carry_out(folder: Path, result: Path) -> tuple[int, str]:
    """The exit code and the last line of what pytest printed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", _PLUGIN, "-p", "no:cacheprovider", str(folder)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**kept, RESULT_VARIABLE: str(result), FOLDER_VARIABLE: str(folder.resolve())}
    try:
        done = subprocess.run(  # noqa: S603 - the folder's own tests are what is asked for
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise errors.Failure(
            f"The tests in {folder} did not end within {TIMEOUT_SECONDS} seconds.",
            remedy="Run them by hand and make them faster.",
        ) from error
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return done.returncode, (lines[-1] if lines else "nothing was printed")[:_LAST]
