"""Starting a study's command as a process of this machine, which outlives whoever asked for it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.pipelines.machines import environments, processes
from pilotage.pipelines.studies import records
from pilotage.pipelines.studies.records import Study

logger = logging.getLogger(__name__)

_children: list[subprocess.Popen[Any]] = []
"""Processes that were started here, until they end; one that nobody waits for would stay as a zombie."""

Launch = Callable[[Study, Path], "subprocess.Popen[Any]"]
"""Starts the command of a study for the pilot in a folder."""


def launch(
    engine: Engine, settings: Settings, study: Study, folder: Path, start: Launch | None = None
) -> None:
    """Start `pilotage COMMAND FOLDER --study ID` here; its output goes to `logs/ID/study.log`.

    Raises:
        Unavailable: no process can be started now; the study is ended.
    """
    try:
        process = (start or _starter(settings))(study, folder)
    except OSError as error:
        records.cancel(engine, study.id, "console", "no process could be started")
        raise errors.Unavailable(
            f"No process can be started for study {study.id}: {error.strerror}.", remedy="Try again later."
        ) from error
    _children[:] = [*(child for child in _children if child.poll() is None), process]
    child = processes.of(process.pid)
    if child is not None:
        records.mark_launched(engine, study.id, child)
    logger.info("study %s of %s: process %d", study.id, study.pilot, process.pid)


def _starter(settings: Settings) -> Launch:
    def start(study: Study, folder: Path) -> subprocess.Popen[Any]:
        place = settings.logs / study.id
        place.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **environments.variables(settings)}
        environment.pop("PILOTAGE_URL", None)  # it is for this installation, not for one elsewhere
        words = [study.kind.command, str(folder), "--study", study.id, "--json"]
        with (place / "study.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own module in our own interpreter
                [sys.executable, "-m", "pilotage.console", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    return start
