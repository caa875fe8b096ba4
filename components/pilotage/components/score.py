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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from pilotage.components.scoring.parts import Numbered, Part, Workshop, cut
from pilotage.components.scoring.readings import Reader
from pilotage.components.scoring.scorers import Scorer
from pilotage.components.sources import files, listings
from pilotage.components.sources.batches import Batch, Opened
from pilotage.components.sources.listings import Listing
from pilotage.core import errors, storage
from pilotage.core.artifacts import Scores
from pilotage.core.registry import Registered, Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import Resources

PART_ROWS = 1 << 17
_PART_CELLS = 1 << 22
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
    resources: Resources | None = None,
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
        resources: of workers that share the parts, where there are to be more than one; Parquet only.
        on_progress: called whenever a part is done, in this thread.

    Raises:
        NotFound: there is no such version, or no champion.
        UntrustedModel: the settings do not allow to load it, or name a key that did not sign it.
        SourceError: no file matches, or one cannot be read.
        DataError: a value is not what the model takes; names file, row and column. What is done stays.
    """
    registry = Registry(settings)
    registered = _registered(registry, name, version)
    scorer = Scorer.of(registry, settings, registered)
    listing = listings.list_files(source, folder, "INPUT")
    workshop = Workshop(parts or target.with_name(f".{target.name}.parts"))
    size = _part_rows(len(scorer.model.features))
    opened = [files.open_files(_address(listing, path), folder) for path in listing.paths]
    reader = Reader(scorer.model.features, scorer.types, opened[0].texts, opened[0].open_ended)
    plan = {"pilot": name, "version": registered.version, "model": scorer.model.digest, "rows": size}
    plan |= {"graph": scorer.graph, "source": source}
    with workshop.begun(plan, _stamps(listing)):
        work = _Work(scorer, reader, workshop, on_progress, _total(listing))
        if resources is not None and resources.workers > 1:
            work.share(settings, resources, listing, size)
        else:
            work.run(cut(_batches(opened), size), threads or _cores())
        workshop.join(work.count, scorer.schema(work.key), target)
    return work.told(name, source, target)


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


class _Work:
    """Parts on their way through the threads."""

    def __init__(
        self, scorer: Scorer, reader: Reader, workshop: Workshop, on_progress: OnProgress, total: int | None
    ) -> None:
        self._scorer, self._reader, self._workshop = scorer, reader, workshop
        self._on_progress, self._total = on_progress, total
        self.count = self.done = self.resumed = self.restarts = 0
        self.workers = 1
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

    def told(self, name: str, source: str, target: Path) -> Scores:
        """What became of it, now that `target` is there."""
        return Scores(
            pilot=name,
            version=self._scorer.version,
            model=self._scorer.model.digest,
            source=source,
            file=str(target),
            rows=self.done,
            resumed=self.resumed,
            columns=tuple(self._scorer.schema(self.key).names),
            key=self.key,
            workers=self.workers,
            restarts=self.restarts,
            bytes=target.stat().st_size,
            sha256=storage.file_digest(target),
            created_at=datetime.now(UTC),
        )

    def share(self, settings: Settings, resources: Resources, listing: Listing, size: int) -> None:
        """The same by several workers, which read their rows themselves."""
        from pilotage.components.distributed import scorings, teams

        plan = scorings.planned(listing, size)
        self.key = self._scorer.model.key if self._scorer.model.key in plan.names else None
        self.count = len(plan.parts)
        left = []
        for part in plan.parts:
            if self._workshop.has(part):
                self.resumed += part.rows
                self._tell(part)
            else:
                left.append(part)
        scorer = self._scorer
        task = scorings.Task(settings, scorer.model.pilot, scorer.version, self._reader, self.key, listing)
        self.workers = resources.workers
        with teams.formed(settings, resources) as team:
            for part, rows in scorings.score(team, task, left):
                self._workshop.add(part, rows)
                self._tell(part)
            self.restarts = team.restarts

    def _see(self, part: Part) -> None:
        """The first rows decide whether there are keys."""
        if self.count == 0 and self._scorer.model.key in part.batches[0].rows.schema.names:
            self.key = self._scorer.model.key
        self.count += 1

    def _finish(self, part: Part, future: Future[None]) -> None:
        future.result()
        self._tell(part)

    def _tell(self, part: Numbered) -> None:
        self.done += part.rows
        self._on_progress(self.done, self._total)

    def _score(self, part: Part) -> None:
        self._workshop.add(part, self._scorer.score(self._reader, part.batches, self.key))


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


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
