"""Tables that are sent to be scored, and what became of them."""

from __future__ import annotations

import io
from enum import StrEnum

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.operations import pilots, studies
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Model
from pilotage.core import errors
from pilotage.core.storage import Storage
from pilotage.pipelines.studies import Kind, batches, uploads


class Format(StrEnum):
    """What scores are given as."""

    PARQUET = "parquet"
    CSV = "csv"


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


def read_scores(
    desk: Desk, actor: Actor, pilot: str, study: str, kind: Format = Format.PARQUET
) -> tuple[str, bytes]:
    """A name for the file, and the scores of a study.

    Raises:
        NotFound: it is not there, not for this actor, or left none.
    """
    found = studies.get_study(desk, actor, pilot, study)
    if found.kind is not Kind.SCORE or batches.FILE not in found.files:
        raise errors.NotFound(
            f"Study {found.id} has no scores; it is a {found.kind} that {found.state}.",
            remedy="Name a score that succeeded.",
        )
    data = Storage(desk.settings.storage).read(f"studies/{pilot}/{found.id}/{batches.FILE}")
    return f"{pilot}-{found.id}.{kind}", data if kind is Format.PARQUET else _csv(data)


def _csv(data: bytes) -> bytes:
    import pyarrow.parquet as pq
    from pyarrow import csv

    held = io.BytesIO()
    csv.write_csv(pq.read_table(io.BytesIO(data)), held)
    return held.getvalue()
