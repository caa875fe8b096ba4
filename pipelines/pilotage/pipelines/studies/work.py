"""Carrying a study out in this process: what it keeps, says and leaves behind.

What was finished is kept in the storage under a digest of what it was made of,
so that nothing is trained twice after a crash.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from pilotage.core import errors
from pilotage.core.artifacts import Usage
from pilotage.core.costs.usages import Clock
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.pipelines import tables
from pilotage.pipelines.journals import usages
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.studies import records
from pilotage.pipelines.studies.records import Kind, Progress, Study

logger = logging.getLogger(__name__)

RESULT = "result.json"
"""The file of a study's folder that holds all that it found."""
_SEEN_SECONDS = 20.0
"""How often a study says that it lives."""


@dataclass
class Work:
    """One study under way in this process."""

    study: Study
    storage: Storage
    engine: Engine
    on_progress: Callable[[Progress], None] | None = None
    result: Mapping[str, Any] | None = field(default=None, init=False)
    """What the table gets, in short."""

    def progress(self, done: int, total: int, what: str) -> None:
        """Say how far it is.

        Raises:
            Stopped: somebody told it to stop.
        """
        told = Progress(done, total, what)
        if self.on_progress is not None:
            self.on_progress(told)
        if not records.see(self.engine, self.study.id, told):
            raise errors.Stopped(
                f"Study {self.study.id} was told to stop.",
                remedy=f"`--study {self.study.id}` goes on with what it has finished.",
            )

    def kept(self, made_of: Mapping[str, Any]) -> dict[str, Any] | None:
        """What `keep` was given for the same `made_of` by this study or an earlier one; None if nothing."""
        try:
            held = json.loads(self.storage.read(self._place(made_of)))
        except (errors.NotFound, ValueError):
            return None
        return held if isinstance(held, dict) else None

    def keep(self, made_of: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        """Keep what was found, under all that it depends on: data digest, parameters, seed, …"""
        self.storage.write(self._place(made_of), json.dumps(tables.finite(dict(found))).encode())

    def write(self, name: str, data: bytes) -> None:
        """Leave a file in the study's folder."""
        self.storage.write(f"{self.study.folder}/{name}", data)

    def put(self, name: str, path: Path) -> None:
        """Leave a copy of a file of this machine there, however large it is."""
        self.storage.put(f"{self.study.folder}/{name}", path)

    def finish(self, document: Mapping[str, Any], short: Mapping[str, Any]) -> None:
        """Leave all that was found as RESULT; the table gets it in short when the block ends."""
        self.write(RESULT, (json.dumps(tables.finite(dict(document)), indent=2) + "\n").encode())
        self.result = dict(short)

    def _place(self, made_of: Mapping[str, Any]) -> str:
        text = json.dumps(made_of, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return f"studies/{self.study.pilot}/kept/{self.study.kind}/{digest}.json"


@contextmanager
def carry_out(
    settings: Settings,
    pilot: str,
    kind: Kind,
    options: Mapping[str, Any],
    who: str,
    *,
    study: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Iterator[Work]:
    """A study in this process: recorded before the block, ended after it, failed when the block raises.

    Args:
        settings: the installation.
        pilot: its name.
        kind: what is found out.
        options: of the command; a study that was asked for has its own, in `work.study.options`.
        who: asks for it.
        study: one that was asked for, failed or died, by id; a new one when left out.
        on_progress: told how far it is, in this thread.

    Raises:
        RunActive: one of the kind goes on for the pilot.
        NotFound, Conflict: there is no such study, or it is of another pilot or kind, or has succeeded.
    """
    engine, clock = tables.connect(settings), Clock()
    mine = _claimed(engine, pilot, kind, options, who, study)
    work = Work(mine, Storage(settings.storage), engine, on_progress)
    done = threading.Event()
    pulse = threading.Thread(target=_say_alive, args=(engine, mine.id, done), daemon=True, name="study")
    pulse.start()
    try:
        yield work
    except BaseException as error:
        cancelled = isinstance(error, (errors.Stopped, KeyboardInterrupt))
        records.end(
            engine, mine.id, State.CANCELLED if cancelled else State.FAILED, error=_described(error, mine)
        )
        raise
    else:
        records.end(engine, mine.id, State.SUCCEEDED, result=work.result)
    finally:
        done.set()
        pulse.join()
        _keep_usage(engine, mine, clock.read())


def _keep_usage(engine: Engine, study: Study, used: Usage) -> None:
    """What it cost; a study that ended is not undone because that cannot be kept."""
    try:
        with engine.begin() as connection:
            usages.keep(connection, usages.Kind.STUDY, study.id, study.kind.value, study.pilot, used)
    except SQLAlchemyError as error:
        logger.warning("what study %s used cannot be kept: %s", study.id, error)


def read_file(settings: Settings, study: Study, name: str = RESULT) -> bytes:
    """A file that the study left.

    Raises:
        NotFound: it left none of that name.
    """
    return Storage(settings.storage).read(f"{study.folder}/{name}")


def _claimed(
    engine: Engine, pilot: str, kind: Kind, options: Mapping[str, Any], who: str, study: str | None
) -> Study:
    if study is None:
        return records.claim(engine, records.ask(engine, pilot, kind, options, who))
    found = records.find(engine, study)
    if (found.pilot, found.kind) != (pilot, kind):
        raise errors.Conflict(
            f"Study {study} is a {found.kind} of `{found.pilot}`, not a {kind} of `{pilot}`.",
            remedy="Name one of this pilot and kind, or leave `--study` out.",
            study=study,
        )
    return records.claim(engine, study)


def _described(error: BaseException, study: Study) -> dict[str, Any]:
    if isinstance(error, errors.PilotageError):
        return {"type": type(error).__name__, "message": error.message, "remedy": error.remedy}
    again = f"`pilotage {study.kind.command} PILOT --study {study.id}` goes on with what it has finished."
    if isinstance(error, KeyboardInterrupt):
        return {"type": "Interrupted", "message": "It was interrupted.", "remedy": again}
    return {"type": type(error).__name__, "message": str(error) or type(error).__name__, "remedy": again}


def _say_alive(engine: Engine, study: str, done: threading.Event) -> None:
    while not done.wait(_SEEN_SECONDS):
        try:
            records.see(engine, study)
        except Exception:
            logger.warning("study %s could not say that it lives", study, exc_info=True)
