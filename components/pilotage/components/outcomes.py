"""How a step that runs apart, in a pod, tells what became of it.

A step whose folder is a bundle has no process that waits for it and no database
to write to. It fetches the bundle, and keeps an outcome in the storage: that it
began, then what it made or what it failed with, with the files that describe it.
Its process ends with design's exit codes. An attempt after one whose input was
wrong, or that was refused, ends at once with the same: a retry never helps there,
and who retries cannot know. Steps whose folder is a path tell their caller.
"""

from __future__ import annotations

import functools
import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pilotage.core import bundles, errors, settings
from pilotage.core.artifacts import Outcome
from pilotage.core.costs import usages
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage

logger = logging.getLogger(__name__)

Metadata = dict[str, Any]
FunctionT = TypeVar("FunctionT", bound=Callable[..., Metadata])

LOG = "log.txt"
"""What a step wrote, beside its outcome; whoever follows the run keeps it there."""
_FINAL = (errors.ExitCode.WRONG_INPUT, errors.ExitCode.REFUSED)
_MOST_FILE_BYTES = 16 << 20
"""Larger files beside an output are data, which is found where the output says."""


def place(run: str, step: str) -> str:
    """Where the storage keeps the outcome of a step, and the files beside it."""
    return f"outcomes/{run}/{step}"


def told(step: str, artifact: str) -> Callable[[FunctionT], FunctionT]:
    """Let a shell, whose `out` becomes `artifact`, take a bundle for its folder and then tell of its end."""

    def decorate(function: FunctionT) -> FunctionT:
        @functools.wraps(function)
        def call(pilot: str, folder: str, run: str = "", **named: Any) -> Metadata:
            if not bundles.is_reference(folder):
                return function(pilot, folder, run, **named)
            installation = settings.load()
            outcome = _begin(installation, run, step)
            try:
                found = bundles.fetch(Storage(installation.storage), folder, installation.home / "bundles")
                metadata = function(pilot, str(found), run, **named)
            except Exception as error:
                logger.exception("step %s failed", step)
                _fail(installation, outcome, error, artifact, Path(named["out"]))
            _succeed(installation, outcome, artifact, metadata, Path(named["out"]))
            return metadata

        return call  # type: ignore[return-value]

    return decorate


def read(storage: Storage, run: str, step: str) -> Outcome | None:
    """What a step has told by now."""
    try:
        data = storage.read(f"{place(run, step)}/{Outcome.FILE}")
    except errors.NotFound:
        return None
    return Outcome.model_validate_json(data)


def restore(storage: Storage, outcome: Outcome, folder: Path) -> dict[str, Path]:
    """Fetch the files beside an outcome into `folder`; the folder of each artifact."""
    found = {}
    for artifact, names in outcome.files.items():
        found[artifact] = folder / artifact
        found[artifact].mkdir(parents=True, exist_ok=True)
        for name in names:
            data = storage.read(f"{place(outcome.run, outcome.step)}/{artifact}/{name}")
            (found[artifact] / Path(name).name).write_bytes(data)
    return found


def _begin(installation: Settings, run: str, step: str) -> Outcome:
    if not run or "/" in run:
        raise errors.InputError(f"`{run}` names no run.", remedy="Submit the pipeline with `run`.")
    before = read(Storage(installation.storage), run, step)
    if before is not None and before.error is not None and before.error["exit_code"] in _FINAL:
        logger.error("attempt %d ended for good: %s", before.attempt, before.error["message"])
        sys.exit(int(before.error["exit_code"]))
    outcome = Outcome(
        run=run,
        step=step,
        attempt=before.attempt + 1 if before else 1,
        state="running",
        started_at=datetime.now(UTC),
    )
    _write(installation, outcome)
    return outcome


def _succeed(
    installation: Settings, outcome: Outcome, artifact: str, metadata: Metadata, folder: Path
) -> None:
    ended = {
        "state": "succeeded",
        "outputs": {artifact: json.loads(json.dumps(metadata, default=str))},
        "files": _keep(installation, outcome, artifact, folder),
    }
    _write(installation, outcome.model_copy(update={**ended, **_end()}))


def _keep(
    installation: Settings, outcome: Outcome, artifact: str, folder: Path
) -> dict[str, tuple[str, ...]]:
    """Store the files beside an output; their names by artifact."""
    storage = Storage(installation.storage)
    kept = [
        file
        for file in sorted(folder.iterdir())
        if file.is_file() and not file.name.startswith(".") and file.stat().st_size <= _MOST_FILE_BYTES
    ]
    for file in kept:
        storage.write(f"{place(outcome.run, outcome.step)}/{artifact}/{file.name}", file.read_bytes())
    return {artifact: tuple(file.name for file in kept)}


def _fail(installation: Settings, outcome: Outcome, error: Exception, artifact: str, out: Path) -> NoReturn:
    """Tell of the failure, with what says why such as a report, and end the process as design says."""
    code = int(getattr(error, "exit_code", errors.ExitCode.FAILED))
    described = {
        "type": type(error).__name__,
        "message": str(getattr(error, "message", "") or error or type(error).__name__),
        "remedy": getattr(error, "remedy", ""),
        "exit_code": code,
        "details": json.loads(json.dumps(getattr(error, "details", {}), default=str)),
    }
    try:
        files = _keep(installation, outcome, artifact, out) if code in _FINAL and out.is_dir() else {}
        ended = {"state": "failed", "error": described, "files": files, **_end()}
        _write(installation, outcome.model_copy(update=ended))
    except Exception:  # the step's own failure matters more
        logger.exception("what became of step %s cannot be stored", outcome.step)
    sys.exit(code)


def _end() -> dict[str, Any]:
    used = usages.of_process()
    return {"ended_at": datetime.now(UTC), "peak_memory_bytes": used.peak_memory_bytes, "usage": used}


def _write(installation: Settings, outcome: Outcome) -> None:
    name = f"{place(outcome.run, outcome.step)}/{Outcome.FILE}"
    Storage(installation.storage).write(name, outcome.model_dump_json(indent=2).encode())
