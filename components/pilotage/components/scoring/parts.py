"""The parts that a table is scored in, kept until all of them are there.

A part is written beside its place and renamed, so that it is whole or not there;
its name says how far into the list of files it reaches. A later attempt keeps
the parts whose version and files are the same, up to the first file that
changed. One attempt works in a folder at a time. What a part holds is not known
here.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from pilotage.components.sources.batches import Batch
from pilotage.core import errors, storage

logger = logging.getLogger(__name__)

_PLAN = "plan.json"
_LOCK = "lock"
_NAME = re.compile(r"(\d{8})-(\d{6})\.parquet")


class Numbered(Protocol):
    """A part as the folder of finished ones knows it."""

    @property
    def number(self) -> int: ...

    @property
    def file(self) -> int:
        """Position of the last file that it has rows of."""
        ...

    @property
    def rows(self) -> int: ...


@dataclass(frozen=True)
class Part:
    """Consecutive rows of a source."""

    number: int
    batches: tuple[Batch, ...]
    file: int

    @property
    def rows(self) -> int:
        return sum(batch.rows.num_rows for batch in self.batches)


def cut(batches: Iterator[tuple[int, Batch]], rows: int) -> Iterator[Part]:
    """Parts of `rows` rows each but for the last; the source's own batches do not matter.

    Args:
        batches: each with the position of its file.
        rows: of a part.
    """
    number, held, pending = 0, 0, list[Batch]()
    last = 0
    for file, given in batches:
        batch = given
        while batch.rows.num_rows:
            taken = batch.rows.slice(0, rows - held)
            pending.append(replace(batch, rows=taken))
            held, last = held + taken.num_rows, file
            rest = batch.rows.slice(taken.num_rows)
            batch = replace(batch, rows=rest, first=batch.first + taken.num_rows)
            if held == rows:
                yield Part(number, tuple(pending), last)
                number, held, pending = number + 1, 0, []
    if pending:
        yield Part(number, tuple(pending), last)


class Workshop:
    """A folder of finished parts of one plan."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._done: dict[int, Path] = {}

    @contextmanager
    def begun(self, plan: dict[str, Any], files: Sequence[Any]) -> Iterator[None]:
        """Take the folder for `plan`, with what earlier attempts at it have done.

        Args:
            plan: what decides a part's content besides the files.
            files: the name and a stamp of each, in order.

        Raises:
            Failure: another process is at work there.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise errors.Failure(
                    f"Another process is scoring into `{self._folder}`.",
                    remedy="Wait for it, or name another output.",
                ) from error
            self._take_up(plan, [list(file) for file in files])
            yield

    def _take_up(self, plan: dict[str, Any], files: list[list[Any]]) -> None:
        kept = self._unchanged(plan, files)
        for path in sorted(self._folder.iterdir()):
            matched = _NAME.fullmatch(path.name)
            if matched and int(matched[2]) < kept:
                self._done[int(matched[1])] = path
            elif path.name not in (_LOCK, _PLAN):
                path.unlink()
        storage.write_file(self._folder / _PLAN, json.dumps({"plan": plan, "files": files}).encode())
        if self._done:
            logger.info("%d parts were scored before", len(self._done))

    def _unchanged(self, plan: dict[str, Any], files: list[list[Any]]) -> int:
        """How many files at the front are those of the attempt before."""
        try:
            before = json.loads((self._folder / _PLAN).read_bytes())
        except (FileNotFoundError, json.JSONDecodeError):
            return 0
        if before["plan"] != plan:
            return 0
        same = [old == new for old, new in zip(before["files"], files, strict=False)]
        return same.index(False) if False in same else len(same)

    def has(self, part: Numbered) -> bool:
        """Whether the part is finished."""
        return part.number in self._done

    def add(self, part: Numbered, rows: pa.Table) -> None:
        """Keep a part's outcome; safe to call from several threads."""
        target = self._folder / f"{part.number:08}-{part.file:06}.parquet"
        draft = target.with_suffix(".draft")
        pq.write_table(rows, draft, compression="zstd")
        with draft.open("rb") as stream:
            os.fsync(stream.fileno())
        draft.rename(target)
        self._done[part.number] = target

    def join(self, count: int, schema: pa.Schema, target: Path) -> None:
        """Write the first `count` parts in their order as one file, all or nothing, and clear up."""
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.draft")
        with pq.ParquetWriter(draft, schema, compression="zstd") as writer:
            for number in range(count):
                rows = pq.read_table(self._done[number], schema=schema)
                writer.write_table(rows, row_group_size=max(1, rows.num_rows))
        with draft.open("rb") as stream:
            os.fsync(stream.fileno())
        draft.rename(target)
        storage.sync_folder(target.parent)
        shutil.rmtree(self._folder)
