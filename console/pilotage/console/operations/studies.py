"""Studies of pilots: starting one as a process of this machine, following it, and reading what it found."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pilotage.console.access.actors import Actor, Permission, unknown_pilot
from pilotage.console.operations import positions, sights
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model, cursor_of
from pilotage.core import errors, pilots
from pilotage.pipelines import studies, tables
from pilotage.pipelines.journals import catalogues
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.studies import Kind


class Progress(Model):
    """How far a study is."""

    done: int
    total: int
    what: str


class StudySummary(Model):
    """One study, in short."""

    id: str
    pilot: str
    kind: Kind
    state: State
    options: dict[str, Any]
    asked_at: datetime
    asked_by: str
    started_at: datetime | None
    ended_at: datetime | None
    progress: Progress | None
    message: str
    """What went wrong; empty where nothing did."""
    remedy: str
    result: dict[str, Any] | None
    """What it found, in short."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in (State.PENDING, State.RUNNING)


class Study(StudySummary):
    """One study."""

    document: dict[str, Any] | None
    """All that it found; null until it has succeeded."""
    files: tuple[str, ...]
    """What it left besides, such as a picture."""


def _forecast() -> type[BaseModel]:
    from pilotage.pipelines.forecasts.plans import Options

    return Options


def _shrink() -> type[BaseModel]:
    from pilotage.pipelines.studies.shrinks import Options

    return Options


def _synthesis() -> type[BaseModel]:
    from pilotage.pipelines.studies.syntheses import Options

    return Options


def _readiness() -> type[BaseModel]:
    from pilotage.pipelines.readiness.trials import Options

    return Options


def _score() -> type[BaseModel]:
    from pilotage.pipelines.studies.batches import Options

    return Options


OPTIONS: Mapping[Kind, Callable[[], type[BaseModel]]] = {
    Kind.FORECAST: _forecast,
    Kind.READINESS: _readiness,
    Kind.SCORE: _score,
    Kind.SHRINK: _shrink,
    Kind.SYNTHESIS: _synthesis,
}
"""By kind, what gives the model that its options are checked by."""


def list_studies(
    desk: Desk,
    actor: Actor,
    pilot: str,
    *,
    kind: Kind | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Listing[StudySummary]:
    """Studies of a pilot, newest first.

    Raises:
        NotFound: the pilot is not there, or not for this actor.
    """
    _require_known(desk, actor, pilot)
    before = None
    if cursor is not None:
        at, name = positions.read(cursor, (positions.moment, positions.text))
        before = (at, name)
    found = studies.listed(desk.engine, pilot, kind, limit=limit + 1, before=before)
    items = tuple(_summary(study) for study in found[:limit])
    following = cursor_of(items[-1].asked_at.isoformat(), items[-1].id) if len(found) > limit else None
    return Listing(items=items, next=following)


def latest(desk: Desk, actor: Actor, pilot: str, kind: Kind, state: State | None = None) -> Study | None:
    """The newest study of a kind, in a state if one is named."""
    sights.visible(actor, tables.studies.c.pilot, pilot)
    found = studies.latest(desk.engine, pilot, kind, state)
    return None if found is None else _whole(desk, found)


def get_study(desk: Desk, actor: Actor, pilot: str, study: str) -> Study:
    """One study with all that it found.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    return _whole(desk, _of_pilot(desk, actor, pilot, study))


def start_study(desk: Desk, actor: Actor, pilot: str, kind: Kind, options: Mapping[str, Any]) -> Study:
    """Record a study and start its command as a process of this machine.

    Raises:
        NotFound, Forbidden: the pilot is not there, or the actor may not.
        SettingsError: an option is wrong.
        RunActive: one of the kind goes on for the pilot.
        Unavailable: no process can be started.
    """
    actor.require(Permission.OPERATE, pilot)
    with tables.reading(desk.engine) as connection:
        try:
            entry = catalogues.get(connection, pilot)
        except errors.NotFound as error:
            raise unknown_pilot(pilot) from error
    if not (entry.folder / pilots.FILE_NAME).is_file():
        raise errors.Conflict(
            f"The folder of `{pilot}`, {entry.folder}, is not on this console's machine.",
            remedy=f"`pilotage {kind.command} {pilot}` on the machine that has it.",
        )
    checked = check(kind, options)
    if kind is Kind.SCORE:
        _require_rows(desk, pilot, entry.folder, checked)
    study = studies.ask(desk.engine, pilot, kind, checked, actor.name)
    found = studies.find(desk.engine, study)
    studies.launch(desk.engine, desk.settings, found, entry.folder)
    return _whole(desk, studies.find(desk.engine, study))


def _require_rows(desk: Desk, pilot: str, folder: Path, options: Mapping[str, Any]) -> None:
    """There is a table to score; said before a process is started."""
    from pilotage.core.storage import Storage
    from pilotage.pipelines.studies import batches, uploads

    if options["table"] is None:
        batches.own_source(pilots.load(folder).spec)
    else:
        uploads.find(Storage(desk.settings.storage), pilot, options["table"])


def cancel_study(desk: Desk, actor: Actor, pilot: str, study: str, *, why: str = "") -> Study:
    """Tell a study to stop; asked again it changes nothing.

    Raises:
        NotFound, Forbidden: it is not there, or the actor may not.
        Conflict: it ended otherwise.
    """
    actor.require(Permission.OPERATE, pilot)
    found = _of_pilot(desk, actor, pilot, study)
    studies.cancel(desk.engine, found.id, actor.name, why)
    return get_study(desk, actor, pilot, found.id)


def read_plot(desk: Desk, actor: Actor, pilot: str, study: str, name: str) -> bytes:
    """A picture that a study left.

    Raises:
        NotFound: it left none of that name, or it is not for this actor.
    """
    found = _of_pilot(desk, actor, pilot, study)
    if name not in _files(desk, found):
        raise errors.NotFound(
            f"Study {found.id} left no file `{name[:64]}`.",
            remedy="`files` of the study names those it left.",
        )
    return studies.read_file(desk.settings, found, name)


def read_rows(desk: Desk, actor: Actor, pilot: str, study: str) -> tuple[str, str, bytes]:
    """Synthetic rows that a study keeps: the file's name, its media type and what is in it.

    Raises:
        NotFound: there are none, or they are not for this actor.
        Conflict: it is no synthesis that succeeded.
    """
    from pilotage.pipelines.studies import syntheses

    found = _of_pilot(desk, actor, pilot, study)
    name, data = syntheses.read_rows(desk.settings, found)
    suffix = name.rpartition(".")[2]
    return f"{pilot}-{name}", syntheses.MEDIA_TYPES[suffix], data


def check(kind: Kind, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a study, with defaults.

    Raises:
        SettingsError: one of them is wrong.
    """
    try:
        return OPTIONS[kind]().model_validate(options).model_dump(mode="json", by_alias=True)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "options"
        raise errors.SettingsError(
            f"Option `{name}` of a {kind} is wrong: {first['msg']}.",
            remedy=f"`pilotage {kind.command} --help` says what it takes.",
        ) from error


def _require_known(desk: Desk, actor: Actor, pilot: str) -> None:
    actor.require(Permission.READ, pilot)
    with tables.reading(desk.engine) as connection:
        try:
            catalogues.get(connection, pilot)
        except errors.NotFound as error:
            raise unknown_pilot(pilot) from error


def _of_pilot(desk: Desk, actor: Actor, pilot: str, study: str) -> studies.Study:
    actor.require(Permission.READ, pilot)
    found = studies.find(desk.engine, study)
    if found.pilot != pilot:
        raise errors.NotFound(
            f"`{pilot}` has no study `{study[:64]}`.", remedy="The list of its studies names them."
        )
    return found


def _summary(study: studies.Study) -> StudySummary:
    return StudySummary(**_facts(study))


def _whole(desk: Desk, study: studies.Study) -> Study:
    document: dict[str, Any] | None = None
    if study.state is State.SUCCEEDED:
        try:
            document = json.loads(studies.read_file(desk.settings, study))
        except errors.NotFound:
            document = None  # the storage was cleared; the short result is still in the table
    return Study(**_facts(study), document=document, files=_files(desk, study))


def _files(desk: Desk, study: studies.Study) -> tuple[str, ...]:
    from pilotage.core.storage import Storage

    names = Storage(desk.settings.storage).names(study.folder)
    return tuple(name.removeprefix(f"{study.folder}/") for name in names if not name.endswith(studies.RESULT))


def _facts(study: studies.Study) -> dict[str, Any]:
    error = study.error or {}
    return {
        "id": study.id,
        "pilot": study.pilot,
        "kind": study.kind,
        "state": study.state,
        "options": dict(study.options),
        "asked_at": study.asked_at,
        "asked_by": study.asked_by,
        "started_at": study.started_at,
        "ended_at": study.ended_at,
        "progress": None
        if study.progress is None
        else Progress(done=study.progress.done, total=study.progress.total, what=study.progress.what),
        "message": str(error.get("message", "")),
        "remedy": str(error.get("remedy", "")),
        "result": None if study.result is None else dict(study.result),
    }
