"""What Pilotage holds about one pilot and the version that is judged, read when a judge asks for it.

Queries go through indexes and look at the newest rows only, so that a pilot with thousands of runs costs
what one with ten does. Of the version, small JSON files are read, never its model. Nothing is judged here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlalchemy import Engine, Row, select

from pilotage.core import errors, rollouts, samples
from pilotage.core.artifacts import (
    Artifact,
    DriftReport,
    InferenceForm,
    Model,
    Report,
    Rollout,
    Scorecard,
    Snapshot,
)
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.registry import Alias, Registered, Registry
from pilotage.core.registry.clients import INSIDE, RUN_TAG
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.core.storage import Storage
from pilotage.pipelines import tables
from pilotage.pipelines.journals import catalogues
from pilotage.pipelines.journals.catalogues import Entry
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.readiness import proofs
from pilotage.pipelines.readiness.proofs import Kind, Proof

ArtifactT = TypeVar("ArtifactT", bound=Artifact)

ENDED = (State.SUCCEEDED, State.FAILED, State.DIED, State.CANCELLED)
MOVES = ("promoted", "promote", "approve", "rollback", "halt", "withdraw")
"""What the audit calls changes of the champion."""
_FORM = "form"
_RUNS, _WINDOWS, _MOVES, _APPROVALS, _TRAININGS = 20, 60, 100, 20, 10
GRACE = timedelta(days=1)
_SHARED = ("entry", "aliases", "moves", "all_windows")
"""What was read of the pilot, and is the same whichever version is judged."""


class Subject:
    """A pilot, and its champion or the version that is to become it."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        registry: Registry,
        pilot: str,
        version: int | None = None,
        now: datetime | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            settings: the installation.
            engine: its database.
            registry: its versions.
            pilot: a name.
            version: the one to judge; the champion when left out.
            now: the time by which evidence is old.
        """
        self.settings, self.engine, self.registry = settings, engine, registry
        self.pilot, self._version = pilot, version
        self.now = now or tables.now()

    # -- the pilot -------------------------------------------------------------

    @cached_property
    def entry(self) -> Entry:
        """As it was last read.

        Raises:
            NotFound: it was never taken in.
        """
        with tables.reading(self.engine) as connection:
            return catalogues.get(connection, self.pilot)

    @cached_property
    def spec(self) -> PilotSpec:
        """What made the version; pilot.yaml as it was last read where its run is not known here."""
        run = self.run
        return self.entry.spec if run is None else PilotSpec.model_validate(run.spec)

    @property
    def folder(self) -> Path | None:
        """The pilot's, where this machine has it."""
        folder = self.entry.folder
        return folder if (folder / "pilot.yaml").is_file() else None

    # -- the version -----------------------------------------------------------

    @cached_property
    def aliases(self) -> dict[str, int]:
        """Versions by alias."""
        return self.registry.aliases(self.pilot)

    @cached_property
    def registered(self) -> Registered | None:
        """The version that is judged; None while there is none."""
        version = self._version or self.aliases.get(Alias.CHAMPION)
        try:
            return None if version is None else self.registry.version(self.pilot, version)
        except errors.NotFound:
            return None

    @property
    def version(self) -> int | None:
        """Its number."""
        return None if self.registered is None else self.registered.version

    @property
    def tags(self) -> dict[str, str]:
        """What is noted on the version."""
        return {} if self.registered is None else self.registered.tags

    @cached_property
    def scorecard(self) -> Scorecard | None:
        """What it was judged by."""
        return self._of_run(Scorecard)

    @cached_property
    def report(self) -> Report | None:
        """Of the data that it was trained on."""
        return self._of_run(Report)

    @cached_property
    def snapshot(self) -> Snapshot | None:
        """The data that it was trained on."""
        return self._of_run(Snapshot)

    @cached_property
    def model(self) -> Model | None:
        """What made it."""
        return self._of_model(Model, Model.FILE)

    @cached_property
    def form(self) -> InferenceForm | None:
        """Its inference form."""
        return self._of_model(InferenceForm, f"{_FORM}/{InferenceForm.FILE}")

    @cached_property
    def importances(self) -> dict[str, float]:
        """Share of its answers that rests on each feature; empty where that is not known."""
        place = self._model_file(ReferenceProfile.FILE)
        try:
            content = json.loads(place.read_bytes()) if place else {}
        except (OSError, ValueError):
            return {}
        found = content.get("importances") if isinstance(content, dict) else None
        return found if isinstance(found, dict) else {}

    @cached_property
    def has_reference(self) -> bool:
        """Whether held-out rows are stored with it, which explanations and estimates rest on."""
        place = self._model_file(samples.REFERENCE_FILE)
        return place is not None and place.is_file()

    @cached_property
    def rollout(self) -> Rollout | None:
        """How it became champion step by step."""
        if self.version is None:
            return None
        try:
            return rollouts.read(Storage(self.settings.storage), self.pilot, self.version)
        except errors.DataError:
            return None

    def other(self, version: int) -> Subject:
        """The same of another version of the pilot."""
        made = Subject(self.settings, self.engine, self.registry, self.pilot, version, self.now)
        made.__dict__ |= {name: self.__dict__[name] for name in _SHARED if name in self.__dict__}
        return made

    def _of_run(self, kind: type[ArtifactT]) -> ArtifactT | None:
        if self.registered is None:
            return None
        try:
            return kind.read(self.registry.run_file(self.registered.run, kind.FILE))
        except (errors.NotFound, errors.DataError):
            return None

    def _model_file(self, name: str) -> Path | None:
        if self.registered is None:
            return None
        try:
            return self.registry.folder_at(self.registered.location) / INSIDE / name
        except errors.NotFound:
            return None

    def _of_model(self, kind: type[ArtifactT], name: str) -> ArtifactT | None:
        place = self._model_file(name)
        try:
            return kind.model_validate_json(place.read_bytes()) if place else None
        except (OSError, ValidationError):
            return None

    # -- runs ------------------------------------------------------------------

    @cached_property
    def run(self) -> Row[Any] | None:
        """The run that made the version."""
        table = tables.runs
        return self._first(select(table).where(table.c.id == self.tags.get(RUN_TAG, "")))

    @cached_property
    def runs(self) -> Sequence[Row[Any]]:
        """The latest runs that ended, newest first."""
        table = tables.runs
        columns = (table.c.id, table.c.state, table.c.asked_by, table.c.trigger, table.c.schedule)
        query = select(*columns, table.c.asked_at, table.c.ended_at, table.c.exit_code).where(
            table.c.pilot == self.pilot, table.c.state.in_(ENDED)
        )
        return self._all(query.order_by(table.c.asked_at.desc()).limit(_RUNS))

    def steps(self, run: str) -> Sequence[Row[Any]]:
        """Steps of a run, in order."""
        table = tables.steps
        return self._all(select(table).where(table.c.run == run).order_by(table.c.position))

    @cached_property
    def trainings(self) -> Sequence[Row[Any]]:
        """Training steps of the latest runs that were really carried out, newest first."""
        table = tables.steps
        mine = [run.id for run in self.runs]
        query = select(table.c.run, table.c.seconds, table.c.peak_memory_bytes, table.c.ended_at).where(
            table.c.run.in_(mine),
            table.c.name == "train",
            table.c.state == State.SUCCEEDED,
            table.c.cached.is_(False),
        )
        return self._all(query.order_by(table.c.run.desc()).limit(_TRAININGS))

    # -- what is served --------------------------------------------------------

    @cached_property
    def moves(self) -> Sequence[Row[Any]]:
        """Changes of the champion, newest first."""
        table = tables.audit
        query = select(table).where(table.c.pilot == self.pilot, table.c.action.in_(MOVES))
        return self._all(query.order_by(table.c.at.desc(), table.c.id.desc()).limit(_MOVES))

    @cached_property
    def promotion(self) -> Row[Any] | None:
        """How the version became champion."""
        made = ("promoted", "promote", "approve", "rollback")
        return next(
            (move for move in self.moves if move.version == self.version and move.action in made), None
        )

    @property
    def patience(self) -> timedelta:
        """How old what the monitor says may be: two of its windows, and a day."""
        return 2 * self.entry.spec.monitor.window + GRACE

    @cached_property
    def windows(self) -> Sequence[Row[Any]]:
        """Closed windows that count for the version, newest first.

        They are its own. As long as it serves for less than `patience`, or is not champion yet, those of
        the champion before it count too: no window of a new version can have closed.
        """
        table = tables.windows
        query = select(table).where(table.c.pilot == self.pilot, table.c.version.in_(self._watched))
        return self._all(query.order_by(table.c.start.desc(), table.c.version.desc()).limit(_WINDOWS))

    @cached_property
    def all_windows(self) -> Sequence[Row[Any]]:
        """The latest closed windows of the pilot, whichever version served, newest first."""
        table = tables.windows
        query = select(table).where(table.c.pilot == self.pilot)
        return self._all(query.order_by(table.c.start.desc(), table.c.version.desc()).limit(_WINDOWS))

    @cached_property
    def _watched(self) -> tuple[int, ...]:
        if self.version is None:
            return ()
        champion = self.aliases.get(Alias.CHAMPION)
        if champion != self.version:
            return (self.version,) if champion is None else (self.version, champion)
        move = self.promotion
        before = move.details.get("replaced") if move is not None else None
        young = move is not None and self.now - move.at < self.patience
        return (self.version, before) if young and isinstance(before, int) else (self.version,)

    @property
    def window(self) -> Row[Any] | None:
        """The newest of them, if the monitor looked at it lately."""
        newest = next(iter(self.windows), None)
        return newest if newest is not None and self.now - newest.updated_at <= self.patience else None

    @cached_property
    def drift(self) -> DriftReport | None:
        """All that the monitor found of that window."""
        if self.window is None:
            return None
        try:
            text = Storage(self.settings.storage).read(f"{self.window.report}/{DriftReport.FILE}")
            return DriftReport.model_validate_json(text)
        except (errors.PilotageError, ValidationError):
            return None

    @cached_property
    def alarms(self) -> Sequence[Row[Any]]:
        """Alarms of the pilot that are not over and that nobody has seen, the oldest first."""
        table = tables.alarms
        query = select(table.c.id, table.c.cause, table.c.raised_at, table.c.message).where(
            table.c.pilot == self.pilot, table.c.state == "open"
        )
        return self._all(query.order_by(table.c.end).limit(_RUNS))

    # -- people ----------------------------------------------------------------

    @cached_property
    def approvals(self) -> Sequence[Row[Any]]:
        """The latest versions to which a person said yes, with what was asked for and by whom."""
        table, runs = tables.approvals, tables.runs
        query = (
            select(table.c.version, table.c.who, table.c.decided_at, runs.c.asked_by, runs.c.spec)
            .join(runs, runs.c.id == table.c.run)
            .where(table.c.pilot == self.pilot, table.c.state == "approved")
        )
        return self._all(query.order_by(table.c.version.desc()).limit(_APPROVALS))

    @cached_property
    def requests(self) -> Sequence[Row[Any]]:
        """Releases by a request that somebody merged, newest first."""
        table = tables.transitions
        columns = (table.c.version, table.c.environment, table.c.url, table.c.ended_at, table.c.stage)
        query = select(*columns, table.c.progress, table.c.branch, table.c.looked_at).where(
            table.c.pilot == self.pilot, table.c.stage == "done"
        )
        return self._all(query.order_by(table.c.asked_at.desc()).limit(_APPROVALS))

    @cached_property
    def grants(self) -> Sequence[Row[Any]]:
        """Who may do what with the pilot."""
        table = tables.grants
        query = select(table).where(table.c.pilot.in_((self.pilot, "*")))
        return self._all(query.order_by(table.c.user, table.c.role).limit(1000))

    @cached_property
    def schedules(self) -> Sequence[Row[Any]]:
        """Schedules that start runs of the pilot."""
        table = tables.schedules
        query = select(table).where(table.c.pilot == self.pilot, table.c.state == "active")
        return self._all(query.order_by(table.c.next_at).limit(_RUNS))

    @cached_property
    def delivery(self) -> Row[Any] | None:
        """The latest event about the pilot that somebody was told of."""
        sent, told = tables.deliveries, tables.outbox
        query = (
            select(sent.c.endpoint, sent.c.ended_at, told.c.type)
            .join(told, told.c.event == sent.c.event)
            .where(told.c.pilot == self.pilot, sent.c.state == "delivered")
        )
        return self._first(query.order_by(sent.c.id.desc()))

    # -- proofs ----------------------------------------------------------------

    def proof(self, kind: Kind) -> Proof | None:
        """What came of the latest trial of a kind, if it was of what makes the version and is not old."""
        found = self._proofs.get(kind)
        if found is None or self.now - found.at > proofs.HOLDS:
            return None
        return found if found.recipe == proofs.recipe(kind, self.spec, self.folder, found) else None

    @cached_property
    def _proofs(self) -> dict[Kind, Proof]:
        with tables.reading(self.engine) as connection:
            return proofs.latest(connection, self.pilot)

    def _all(self, query: Any) -> Sequence[Row[Any]]:
        with tables.reading(self.engine) as connection:
            return connection.execute(query).all()

    def _first(self, query: Any) -> Row[Any] | None:
        return next(iter(self._all(query.limit(1))), None)
