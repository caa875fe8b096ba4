"""What a run left in files: its steps' logs, its validation report, its snapshot's manifest.

Of a run in Kubeflow that a console elsewhere followed nothing is on this disk; what its steps told of
themselves in the storage is fetched once, and kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from pilotage.components import outcomes
from pilotage.console.access.actors import Actor
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.execution import runs
from pilotage.console.operations.listings import Model
from pilotage.core import errors, storage
from pilotage.core.artifacts import Report, Snapshot
from pilotage.core.storage import Storage
from pilotage.pipelines import tables
from pilotage.pipelines.journals.states import State

MOST_BYTES = 256 * 1024
"""Of a log, in one answer."""
_PAGE = "report.html"
_LONGEST_CHARACTER = 4
"""Bytes of UTF-8."""


class LogPart(Model):
    """A part of what a step wrote."""

    run: str
    step: str
    text: str
    offset: int
    """Where the part begins, in bytes."""
    next: int
    """Where the part after it begins; goes into `offset` of the next request."""
    complete: bool
    """Whether the step has ended and this is its last part."""


def read_log(
    desk: Desk, actor: Actor, run: str, step: str, *, offset: int = 0, limit: int = MOST_BYTES
) -> LogPart:
    """What `step` wrote from byte `offset` on, at most `limit` bytes, never half a character.

    A step that wrote nothing yet, or was taken from the cache, gives empty text.

    Raises:
        NotFound: there is no such run for this actor, or it has no such step.
    """
    found = runs.get_run(desk, actor, run)
    known = found.step(step)
    ended = known.state not in (State.PENDING, State.RUNNING)
    with tables.reading(desk.engine) as connection:
        mine = tables.steps.c.run == found.id, tables.steps.c.name == step
        log = connection.scalar(select(tables.steps.c.log).where(*mine))
    if log and ended and not Path(log).is_file():
        log = _kept_log(desk, found.id, step) or log
    content, more = _read(Path(log), offset, limit) if log else (b"", False)
    if more or not ended:
        content = _whole_characters(content)
    return LogPart(
        run=found.id,
        step=step,
        text=content.decode("utf-8", errors="replace"),
        offset=offset,
        next=offset + len(content),
        complete=ended and not more,
    )


def log_bytes(desk: Desk, part: LogPart) -> int:
    """How long the log of a part is by now, without a look at the database; 0 where there is none."""
    try:
        return (desk.settings.logs / part.run / f"{part.step}.log").stat().st_size
    except OSError:
        return 0


def get_report(desk: Desk, actor: Actor, run: str) -> dict[str, Any]:
    """The validation report of a run.

    Raises:
        NotFound: there is no such run for this actor, or it has none.
    """
    return Report.read(_report(desk, runs.get_run(desk, actor, run))).model_dump(mode="json")


def find_report(desk: Desk, run: runs.Run) -> Report | None:
    """The validation report of a run that is known; None where it has none, or none that can be read."""
    try:
        return Report.read(_report(desk, run))
    except errors.PilotageError:
        return None


def get_report_page(desk: Desk, actor: Actor, run: str) -> str:
    """The same as a self-contained page, which must be shown where its content can do nothing.

    Raises:
        NotFound: there is no such run for this actor, or it has none.
    """
    found = runs.get_run(desk, actor, run)
    place = _report(desk, found)
    page = (place if place.is_dir() else place.parent) / _PAGE
    try:
        return page.read_text(encoding="utf-8")
    except OSError as error:
        raise errors.NotFound(f"The page of run {found.id}'s report is not there any more.") from error


def get_manifest(desk: Desk, actor: Actor, run: str) -> dict[str, Any]:
    """The manifest of the snapshot that a run used.

    Raises:
        NotFound: there is no such run for this actor, or it has none.
    """
    manifest = Snapshot.read(_output(desk, runs.get_run(desk, actor, run), "ingest", "snapshot"))
    return manifest.model_dump(mode="json")


def _report(desk: Desk, run: runs.Run) -> Path:
    """Where a run's validation report is; a step that refused the data left it without telling of it."""
    refused = any(step.name == "validate" and step.state is State.FAILED for step in run.steps)
    if refused:
        written = sorted((desk.settings.home / "runs" / run.id).glob(f"*/validate/report/{Report.FILE}"))
        kept = written[-1].parent if written else _kept_output(desk, run.id, "validate", "report")
        if kept is not None:
            return kept
    return _output(desk, run, "validate", "report")


def _output(desk: Desk, run: runs.Run, step: str, artifact: str) -> Path:
    """Where a run's artifact is; its file, or its folder."""
    uri = next((item.outputs.get(artifact, {}).get("uri") for item in run.steps if item.name == step), None)
    if not uri:
        raise errors.NotFound(
            f"Run {run.id} has no {artifact}.",
            remedy=f"Step `{step}` leaves one when it comes to its end.",
            run=run.id,
        )
    place = Path(str(uri))
    return place if place.exists() else _kept_output(desk, run.id, step, artifact) or place


def _kept_output(desk: Desk, run: str, step: str, artifact: str) -> Path | None:
    """The folder of what a step in a pod told of itself; None where nothing is in the storage."""
    kept = Storage(desk.settings.storage)
    told = outcomes.read(kept, run, step)
    if told is None or artifact not in told.files:
        return None
    return outcomes.restore(kept, told, desk.settings.home / "runs" / run / step)[artifact]


def _kept_log(desk: Desk, run: str, step: str) -> Path | None:
    """The log of a step that ended in a pod, as its follower kept it; None where there is none."""
    try:
        content = Storage(desk.settings.storage).read(f"{outcomes.place(run, step)}/{outcomes.LOG}")
    except errors.NotFound:
        return None
    log = desk.settings.logs / run / f"{step}.log"
    storage.write_file(log, content)
    return log


def _read(log: Path, offset: int, limit: int) -> tuple[bytes, bool]:
    """Bytes from `offset` on, and whether there are more."""
    try:
        with log.open("rb") as stream:
            stream.seek(offset)
            content = stream.read(limit + 1)
    except OSError:
        return b"", False
    return content[:limit], len(content) > limit


def _whole_characters(content: bytes) -> bytes:
    """`content` without a character at its end that has not been written, or read, to its end."""
    for back in range(1, min(_LONGEST_CHARACTER, len(content)) + 1):
        first = content[-back]
        if first < 0x80:
            return content
        if first >= 0xC0:
            length = 2 + (first >= 0xE0) + (first >= 0xF0)
            return content if back >= length else content[:-back]
    return content
