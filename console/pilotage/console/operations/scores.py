"""Tables that are sent to be scored, and what became of them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.operations import pilots, studies
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Model
from pilotage.core import errors, spreadsheets
from pilotage.core.storage import Storage
from pilotage.pipelines.studies import Kind, batches, uploads
from pilotage.pipelines.studies.formats import Format

_PIECE_BYTES = 1 << 20
_ROWS = 1 << 16


class Table(Model):
    """A table that waits to be scored."""

    table: str
    """What a study names it by."""
    name: str
    bytes: int


def send_table(desk: Desk, actor: Actor, pilot: str, name: str, data: bytes) -> Table:
    """Keep a table until it is scored.

    Raises:
        NotFound, Forbidden: the pilot is not there, or the actor may not.
        SourceError: it is of no known format, or empty.
        LimitReached: too many wait.
    """
    actor.require(Permission.OPERATE, pilot)
    pilots.get_pilot(desk, actor, pilot)
    made = uploads.keep(Storage(desk.settings.storage), pilot, name, data)
    return Table(table=made, name=name[:200], bytes=len(data))


@dataclass(frozen=True)
class Sent:
    """A file that is read while it is sent."""

    name: str
    pieces: Iterator[bytes]
    bytes: int | None
    """In all; None where that is known only at its end."""


def read_scores(desk: Desk, actor: Actor, pilot: str, study: str, kind: Format = Format.PARQUET) -> Sent:
    """The scores of a study, some rows at a time.

    In CSV a text that a spreadsheet would calculate with begins with an apostrophe; Parquet has all as it is.

    Raises:
        NotFound: it is not there, not for this actor, or left none.
    """
    found = studies.get_study(desk, actor, pilot, study)
    if found.kind is not Kind.SCORE or batches.FILE not in found.files:
        raise errors.NotFound(
            f"Study {found.id} has no scores; it is a {found.kind} that {found.state}.",
            remedy="Name a score that succeeded.",
        )
    stream = Storage(desk.settings.storage).open(f"studies/{pilot}/{found.id}/{batches.FILE}")
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    name = f"{pilot}-{found.id}.{kind}"
    return Sent(name, _plain(stream), size) if kind is Format.PARQUET else Sent(name, _csv(stream), None)


def _plain(stream: IO[bytes]) -> Iterator[bytes]:
    with stream:
        while piece := stream.read(_PIECE_BYTES):
            yield piece


def _csv(stream: IO[bytes]) -> Iterator[bytes]:
    with stream, pq.ParquetFile(stream) as file:
        names = [spreadsheets.cell(name) for name in file.schema_arrow.names]
        head = pa.schema(zip(names, file.schema_arrow.types, strict=True))
        yield _written(head.empty_table(), header=True)
        for part in file.iter_batches(batch_size=_ROWS):
            cells = [_cells(column) if pa.types.is_string(column.type) else column for column in part.columns]
            yield _written(pa.Table.from_arrays(cells, schema=head), header=False)


def _cells(column: pa.Array) -> pa.Array:
    """Texts as cells that no spreadsheet calculates with; see `spreadsheets.cell`."""
    formula = pc.and_not(
        pc.match_substring_regex(column, spreadsheets.FORMULA),
        pc.match_substring_regex(column, spreadsheets.NUMBER),
    )
    return pc.if_else(formula, pc.binary_join_element_wise("'", column, ""), column)


def _written(table: pa.Table, *, header: bool) -> bytes:
    held = io.BytesIO()
    csv.write_csv(table, held, csv.WriteOptions(include_header=header))
    return held.getvalue()
