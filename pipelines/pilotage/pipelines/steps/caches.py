"""The step cache: what a step gave before, when nothing that it depends on has changed.

A key is made of content: the step, the code's version, the part of the spec
that the step reads and the digests of its inputs. Beside it stands a context,
what the step looks at outside its inputs: the source's fingerprint, or the
champion. A hit needs every output to be there still. Nothing is executed here.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import Engine, Row, delete, insert, select

from pilotage.core import errors, storage
from pilotage.core.artifacts import Snapshot, TrainedModel
from pilotage.core.personal.erasures import Forgotten
from pilotage.core.personal.replacements import Replacer
from pilotage.core.registry import Registered, Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.steps import codes

logger = logging.getLogger(__name__)

_DIGEST_LIMIT_BYTES = 4 << 20
"""Larger files are told apart by their size only."""
_DEPENDS_ON: Mapping[str, tuple[str, ...]] = {
    "ingest": ("pilot", "data", "goal"),
    "validate": ("pilot", "data", "goal", "expectations"),
    "train": ("pilot", "data", "goal", "train"),
    "evaluate": ("pilot", "data", "goal", "train", "gates", "serve"),
    "register": tuple(name for name in PilotSpec.model_fields if name != "cluster"),
}
"""Parts of the spec that each step reads; the whole of it for a step that is not listed."""
_LOOK_AT_CHAMPION: Mapping[str, str] = {"validate": "report", "evaluate": "scorecard", "register": "version"}
"""Steps whose outcome depends on the champion, and the artifact that it shows in."""


class Cache:
    """Earlier outputs of one pilot's steps."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        spec: PilotSpec,
        folder: Path,
        run: str,
        *,
        fingerprint: Callable[[], str | None],
        reading: bool = True,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._spec = spec
        self._folder = folder
        self._run = run
        self._fingerprint = fingerprint
        self._reading = reading
        self._registry = Registry(settings)
        self._contexts: dict[str, str | None] = {}

    def find(self, step: str, inputs: Mapping[str, str]) -> dict[str, Any] | None:
        """The executor output of an earlier, equal execution whose outputs are all there, or None."""
        if not self._reading:
            return None
        context = self._context(step, inputs)
        if context is None:
            return None
        for row in self._rows(step, self._key(step, inputs)):
            if (row.context == context or self._leads_to_champion(step, row)) and self._intact(row):
                found: dict[str, Any] = row.outputs
                return found
        return None

    def store(self, step: str, inputs: Mapping[str, str], output: Mapping[str, Any]) -> None:
        """Remember the executor output of a step that has just ended well."""
        context = self._context(step, inputs)
        if context is None or not all(inputs.values()):
            return
        table, key = tables.cache_entries, self._key(step, inputs)
        row = {
            "pilot": self._spec.pilot,
            "step": step,
            "key": key,
            "context": context,
            "inputs": dict(inputs),
            "outputs": dict(output),
            "files": _files(output),
            "run": self._run,
            "created_at": tables.now(),
        }
        same = (
            table.c.pilot == row["pilot"],
            table.c.step == step,
            table.c.key == key,
            table.c.context == context,
        )
        with self._engine.begin() as connection:
            connection.execute(delete(table).where(*same))
            connection.execute(insert(table), row)

    def _key(self, step: str, inputs: Mapping[str, str]) -> str:
        spec = self._spec.model_dump(mode="json", exclude={"cluster": True, "train": {"resources"}})
        content = {
            "step": step,
            "code": codes.installed(),
            "own_code": codes.own(self._spec, self._folder),
            "parameters": {name: spec[name] for name in _DEPENDS_ON.get(step, tuple(spec))},
            "expectations": self._suite if step == "validate" else "",
            "folder": str(self._folder),
            "inputs": dict(inputs),
            "personal": self._personal() if step == "ingest" else [],
            "stores": [self._settings.storage, self._settings.tracking],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()

    def _personal(self) -> list[str]:
        """Which secret hashes, and which keys are left out: both change what ingest writes."""
        replacer = Replacer.of(self._spec.data.personal, self._settings)
        forgotten = Forgotten(self._settings, self._spec.pilot).mark if self._spec.data.key else ""
        return [(replacer.mark if replacer else None) or "", forgotten]

    def _context(self, step: str, inputs: Mapping[str, str]) -> str | None:
        """What `step` looks at besides its inputs; None when that cannot be known, so that nothing is reused.

        It is kept for `store`: what counts is how things were when the step began.
        """
        if step not in self._contexts:
            if step == "ingest":
                self._contexts[step] = self._source()
            elif step == "validate":
                self._contexts[step] = self._other_champion(inputs.get("snapshot", ""))
            elif step in ("evaluate", "register"):
                self._contexts[step] = str(self._champion.version) if self._champion else ""
            elif step == "score":
                self._contexts[step] = None  # its rows are named by a parameter of the run
            else:
                self._contexts[step] = ""
        return self._contexts[step]

    def _source(self) -> str | None:
        try:
            return self._fingerprint()
        except errors.PilotageError as error:  # ingest meets the same trouble and reports it
            logger.info("the source has no fingerprint: %s", error)
            return None

    def _other_champion(self, snapshot: str) -> str:
        """The champion's snapshot, unless it is the one at hand."""
        if self._champion is None:
            return ""
        try:
            trained_on = self._registry.model(self._champion).snapshot
        except errors.NotFound:
            return f"version {self._champion.version}"
        return "" if trained_on == snapshot else trained_on

    def _leads_to_champion(self, step: str, row: Row[Any]) -> bool:
        """Whether the execution in `row` is one of those that made the version that is champion now.

        It looked at the champion before; looking at its own result would change
        nothing, so a run on unchanged data stays a hit after its promotion.
        """
        if self._champion is None or step not in _LOOK_AT_CHAMPION:
            return False
        artifact = _LOOK_AT_CHAMPION[step]
        if step == "register":
            return _metadata(row.outputs, artifact).get("version") == self._champion.version
        digest = _metadata(row.outputs, artifact).get("digest")
        return any(
            entry.inputs.get(artifact) == digest
            and _metadata(entry.outputs, "version").get("version") == self._champion.version
            for entry in self._registrations
        )

    @cached_property
    def _registrations(self) -> list[Row[Any]]:
        table = tables.cache_entries
        query = select(table).where(table.c.pilot == self._spec.pilot, table.c.step == "register")
        with self._engine.begin() as connection:
            return list(connection.execute(query))

    def _rows(self, step: str, key: str) -> list[Row[Any]]:
        table = tables.cache_entries
        query = (
            select(table)
            .where(table.c.pilot == self._spec.pilot, table.c.step == step, table.c.key == key)
            .order_by(table.c.created_at.desc())
        )
        with self._engine.begin() as connection:
            return list(connection.execute(query))

    @cached_property
    def _champion(self) -> Registered | None:
        return self._registry.champion(self._spec.pilot)

    @cached_property
    def _suite(self) -> str:
        """Digest of the suite that the pilot brings, if it does."""
        file = self._folder / self._spec.expectations if self._spec.expectations else None
        return storage.file_digest(file) if file is not None and file.is_file() else ""

    def _intact(self, row: Row[Any]) -> bool:
        """Whether every output of an entry is there as it was written."""
        if not all(_same(Path(name), mark) for name, mark in row.files.items()):
            logger.info("outputs of %s of run %s are gone or changed; the step runs again", row.step, row.run)
            return False
        try:
            self._resolve(row.step, row.outputs)
        except (errors.PilotageError, KeyError) as error:
            logger.info("outputs of %s of run %s are gone: %s", row.step, row.run, error)
            return False
        return True

    def _resolve(self, step: str, output: Mapping[str, Any]) -> None:
        """Reach for what the outputs refer to outside their folders; raises NotFound when it is gone."""
        if step == "ingest":
            snapshot = Snapshot.read(_place(output, "snapshot"))
            if not storage.Storage(self._settings.storage).published(snapshot.name):
                raise errors.NotFound(f"Snapshot `{snapshot.name}` is gone.")
        elif step == "train":
            self._reach_model(TrainedModel.read(_place(output, "model")))
        elif step == "register":
            registered = self._registry.version(
                self._spec.pilot, int(_metadata(output, "version")["version"])
            )
            self._registry.folder(registered)

    def _reach_model(self, trained: TrainedModel) -> None:
        for registered in self._registry.versions(self._spec.pilot):
            if registered.run == trained.mlflow_run:
                self._registry.folder(registered)
                return
        # Trained but never registered, which is rare; finding the files then takes MLflow itself.
        self._registry.folder_at(self._registry.model_location(trained.uri))


def _metadata(output: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    artifacts = output.get("artifacts", {}).get(name, {}).get("artifacts", [{}])
    found: Mapping[str, Any] = artifacts[0].get("metadata", {})
    return found


def _place(output: Mapping[str, Any], name: str) -> Path:
    return _local(output["artifacts"][name]["artifacts"][0]["uri"])


def _local(uri: str) -> Path:
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else Path(uri)


def _files(output: Mapping[str, Any]) -> dict[str, str]:
    """Mark by path of every file of every output artifact."""
    found: dict[str, str] = {}
    for value in output.get("artifacts", {}).values():
        place = _local(value["artifacts"][0]["uri"])
        files = [place] if place.is_file() else sorted(place.rglob("*")) if place.is_dir() else []
        found.update({str(file): _mark(file) for file in files if file.is_file()})
    return found


def _mark(file: Path) -> str:
    size = file.stat().st_size
    return f"{size}:{storage.file_digest(file)}" if size <= _DIGEST_LIMIT_BYTES else str(size)


def _same(file: Path, mark: str) -> bool:
    return file.is_file() and _mark(file) == mark
