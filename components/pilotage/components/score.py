"""The step that scores a table with a version: Parquet, CSV or JSON lines in, one Parquet file out.

Rows are read in order, scored in parts by as many threads as there are cores
(onnxruntime runs outside of Python's lock), and each finished part is kept, so
that an attempt that was stopped is taken up again with the same outcome. Memory
holds a few parts however long the table is. Labels and drift are not looked at.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pilotage.components.scoring.parts import Part, Workshop, cut
from pilotage.components.scoring.readings import Reader
from pilotage.components.sources import files, listings
from pilotage.components.sources.batches import Batch, Opened
from pilotage.components.sources.listings import Listing
from pilotage.core import errors, forms, models, storage
from pilotage.core.artifacts import ColumnType, Model, Scores, Snapshot
from pilotage.core.features import Columns, category_text
from pilotage.core.metrics import Task
from pilotage.core.models import Answering, Prediction
from pilotage.core.personal.replacements import Replacer
from pilotage.core.registry import Registered, Registry
from pilotage.core.registry.clients import INSIDE
from pilotage.core.settings import Settings

PART_ROWS = 1 << 17
_PART_CELLS = 1 << 22
_CALL_ROWS = 1 << 14
"""Rows that the model is asked for at once: their matrix fits into a processor's cache."""
_STAMPS = ("size", "mtime", "ETag", "etag", "LastModified", "last_modified", "updated", "created")

OnProgress = Callable[[int, int | None], None]
"""Told how many rows are done, and of how many if that is known."""


def score(
    name: str,
    settings: Settings,
    source: str,
    target: Path,
    *,
    folder: Path,
    version: int | None = None,
    parts: Path | None = None,
    threads: int | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> Scores:
    """Score the rows of `source` and write predictions in their order to `target`.

    Args:
        name: the pilot's.
        settings: the installation.
        source: path, glob or URL of Parquet, CSV or JSON lines.
        target: the Parquet file; replaced when all rows are scored.
        folder: what relative paths are relative to.
        version: the champion when left out.
        parts: folder for finished parts, which is removed at the end; beside `target` when left out.
        threads: as many as there are cores when left out.
        on_progress: called whenever a part is done, in this thread.

    Raises:
        NotFound: there is no such version, or no champion.
        UntrustedModel: the settings do not allow to load it, or name a key that did not sign it.
        SourceError: no file matches, or one cannot be read.
        DataError: a value is not what the model takes; names file, row and column. What is done stays.
    """
    registry = Registry(settings)
    registered = _registered(registry, name, version)
    scorer = _Scorer.of(registry, settings, registered)
    listing = listings.list_files(source, folder, "INPUT")
    workshop = Workshop(parts or target.with_name(f".{target.name}.parts"))
    size = _part_rows(len(scorer.model.features))
    opened = [files.open_files(_address(listing, path), folder) for path in listing.paths]
    reader = Reader(scorer.model.features, scorer.types, opened[0].texts, opened[0].open_ended)
    plan = {"pilot": name, "version": registered.version, "model": scorer.model.digest, "rows": size}
    plan |= {"graph": scorer.graph, "source": source}
    with workshop.begun(plan, _stamps(listing)):
        work = _Work(scorer, reader, workshop, on_progress, _total(listing))
        work.run(cut(_batches(opened), size), threads or _cores())
        schema = scorer.schema(work.key)
        workshop.join(work.count, schema, target)
    return Scores(
        pilot=name,
        version=registered.version,
        model=scorer.model.digest,
        source=source,
        file=str(target),
        rows=work.done,
        resumed=work.resumed,
        columns=tuple(schema.names),
        key=work.key,
        bytes=target.stat().st_size,
        sha256=storage.file_digest(target),
        created_at=datetime.now(UTC),
    )


def _registered(registry: Registry, name: str, version: int | None) -> Registered:
    if version is not None:
        return registry.version(name, version)
    champion = registry.champion(name)
    if champion is None:
        raise errors.NotFound(
            f"Pilot `{name}` has no champion to score with.",
            remedy=f"`pilotage run` makes one; `pilotage models {name}` lists what `--version` can name.",
        )
    return champion


@dataclass(frozen=True)
class _Scorer:
    """A version, and how its answers are written."""

    answering: Answering
    model: Model
    replacer: Replacer | None
    version: int
    types: dict[str, ColumnType]
    graph: str | None

    @classmethod
    def of(cls, registry: Registry, settings: Settings, registered: Registered) -> _Scorer:
        place = registry.folder(registered)
        model = Model.read(place / INSIDE)
        form = forms.open_form(place, model)
        types: dict[str, ColumnType] = {}
        with suppress(errors.NotFound):
            snapshot = Snapshot.read(registry.run_file(registered.run, Snapshot.FILE))
            types = {column.name: column.type for column in snapshot.columns}
        return cls(
            answering=form or models.open_predictor(place, settings),
            model=model,
            replacer=Replacer.of(model.personal, settings, model.personal_key),
            version=registered.version,
            types=types,
            graph=form.form.graph if form else None,
        )

    @property
    def _chances(self) -> tuple[str, ...]:
        """Columns of the probabilities of more than two classes."""
        if len(self.model.classes) < 3:
            return ()
        return tuple(f"probability_{category_text(value)}" for value in self.model.classes)

    def schema(self, key: str | None) -> pa.Schema:
        """Columns of the outcome."""
        fields = [] if key is None else [(key, pa.string())]
        fields.append(("prediction", _arrow_type(self.model)))
        if self.model.task is Task.CLASSIFICATION:
            fields.append(("score", pa.float64()))
        fields += [(name, pa.float64()) for name in self._chances]
        return pa.schema([*fields, ("version", pa.int32())])

    def table(self, found: Sequence[Prediction], keys: pa.ChunkedArray | None, key: str | None) -> pa.Table:
        """The outcome for rows that were asked for in several calls."""
        schema = self.schema(key)
        predictions = np.concatenate([each.predictions for each in found])
        columns: list[Any] = [] if keys is None else [keys]
        columns.append(pa.array(predictions.tolist(), schema.field("prediction").type))
        if self.model.task is Task.CLASSIFICATION:
            columns.append(pa.array(np.concatenate([each.score for each in found])))
        if self._chances:
            chances = [each.probabilities for each in found]
            for place in range(len(self._chances)):
                columns.append(
                    pa.nulls(predictions.size, pa.float64())
                    if chances[0] is None
                    else pa.array(np.concatenate([each[:, place] for each in chances if each is not None]))
                )
        columns.append(pa.array(np.full(predictions.size, self.version, dtype=np.int32)))
        return pa.Table.from_arrays(columns, schema=schema)


class _Work:
    """Parts on their way through the threads."""

    def __init__(
        self, scorer: _Scorer, reader: Reader, workshop: Workshop, on_progress: OnProgress, total: int | None
    ) -> None:
        self._scorer, self._reader, self._workshop = scorer, reader, workshop
        self._on_progress, self._total = on_progress, total
        self.count = self.done = self.resumed = 0
        self.key: str | None = None

    def run(self, parts: Iterator[Part], threads: int) -> None:
        """Score what is not done; the first thing that goes wrong ends it."""
        pending: deque[tuple[Part, Future[None]]] = deque()
        with ThreadPoolExecutor(threads, thread_name_prefix="score") as pool:
            try:
                for part in parts:
                    self._see(part)
                    if self._workshop.has(part):
                        self.resumed += part.rows
                        self._tell(part)
                        continue
                    pending.append((part, pool.submit(self._score, part)))
                    while len(pending) > threads:
                        self._finish(*pending.popleft())
                while pending:
                    self._finish(*pending.popleft())
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _see(self, part: Part) -> None:
        """The first rows decide whether there are keys."""
        if self.count == 0 and self._scorer.model.key in part.batches[0].rows.schema.names:
            self.key = self._scorer.model.key
        self.count += 1

    def _finish(self, part: Part, future: Future[None]) -> None:
        future.result()
        self._tell(part)

    def _tell(self, part: Part) -> None:
        self.done += part.rows
        self._on_progress(self.done, self._total)

    def _score(self, part: Part) -> None:
        columns = _joined([self._reader.columns(batch) for batch in part.batches])
        replacer = self._scorer.replacer
        if replacer is not None:
            columns = replacer.columns(columns)
        found = [self._scorer.answering.predict(some) for some in _slices(columns, part.rows)]
        keys = None
        if self.key is not None:
            keys = pa.chunked_array([self._reader.keys(self.key, batch) for batch in part.batches])
            if replacer is not None:
                keys = pa.chunked_array([pa.array(replacer.ids(self.key, keys.to_pylist()), pa.string())])
        self._workshop.add(part, self._scorer.table(found, keys, self.key))


def _joined(found: Sequence[Columns]) -> Columns:
    """One set of columns; calls then do not depend on how files cut their rows, nor their last digits."""
    return {name: np.concatenate([columns[name] for columns in found]) for name in found[0]}


def _slices(columns: Columns, rows: int) -> Iterator[Columns]:
    for start in range(0, rows, _CALL_ROWS):
        yield {name: column[start : start + _CALL_ROWS] for name, column in columns.items()}


def _batches(opened: Sequence[Opened]) -> Iterator[tuple[int, Batch]]:
    for position, file in enumerate(opened):
        for batch in file.batches:
            yield position, batch


def _part_rows(columns: int) -> int:
    """A power of two, so that parts of wide tables fit into memory."""
    return min(PART_ROWS, max(1024, 1 << ((_PART_CELLS // max(1, columns)).bit_length() - 1)))


def _address(listing: Listing, path: str) -> str:
    return path if listing.local else str(listing.files.unstrip_protocol(path))


def _stamps(listing: Listing) -> list[list[Any]]:
    """Files with what changes when their content is replaced."""
    found: list[list[Any]] = []
    for path in listing.paths:
        facts = listing.files.info(path)
        found.append([path, {key: str(facts[key]) for key in _STAMPS if key in facts}])
    return found


def _total(listing: Listing) -> int | None:
    """Rows of all files where their footers tell, else None."""
    if listing.format is not listings.Format.PARQUET or not listing.local:
        return None
    import pyarrow.parquet as pq

    try:
        return sum(int(pq.read_metadata(path).num_rows) for path in listing.paths)
    except (pa.ArrowException, OSError):
        return None  # reading says what is wrong with it


def _arrow_type(model: Model) -> pa.DataType:
    if model.task is Task.REGRESSION:
        return pa.float64()
    for kind, arrow in ((bool, pa.bool_()), (str, pa.string())):
        if all(isinstance(value, kind) for value in model.classes):
            return arrow
    whole = all(isinstance(value, int) for value in model.classes)
    return pa.int64() if whole else pa.float64()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
