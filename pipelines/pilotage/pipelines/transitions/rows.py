"""Changes of a transition's row: from one stage to another, and what is in the way."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, update

from pilotage.core import errors
from pilotage.pipelines import tables
from pilotage.pipelines.transitions.stages import Stage, Transition

_MOST_WAIT_SECONDS = 60.0
_LONGEST = 2000
"""Characters of what is told that are kept."""
_TOLD = ("standing", "reason", "trouble")


def line(text: str) -> str:
    """What a cluster, a server or a person said, on one line and without what a database or terminal minds.

    PostgreSQL takes no NUL: a row that cannot say what is wrong would hold up every other.
    """
    kept = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(kept.split())[:_LONGEST]


def change(connection: Connection, item: Transition, to: Stage, **values: Any) -> bool:
    """Bring a transition to another stage; False where it is not in the one any more that it was read in.

    What went wrong on the way to it is forgotten.
    """
    table = tables.transitions
    fresh = {"attempts": 0, "trouble": None, "trouble_since": None, "next_at": tables.now()}
    told = {name: line(values[name]) for name in _TOLD if values.get(name)}
    mine = update(table).where(table.c.id == item.id, table.c.stage == item.stage)
    return bool(connection.execute(mine.values({**fresh, **values, **told, "stage": to})).rowcount)


def fail(connection: Connection, item: Transition, error: Exception) -> None:
    """Note why a hop cannot be made now, and when it is tried again: later each time, up to a minute."""
    wait = min(_MOST_WAIT_SECONDS, 2.0 ** min(item.attempts, 10)) * random.uniform(0.8, 1.2)  # noqa: S311
    told = str(error) if isinstance(error, errors.PilotageError) else f"{type(error).__name__}: {error}"
    trouble = {
        "attempts": item.attempts + 1,
        "trouble": line(told),
        "trouble_since": item.trouble_since or tables.now(),
        "next_at": tables.now() + timedelta(seconds=wait),
    }
    table = tables.transitions
    mine = update(table).where(table.c.id == item.id, table.c.stage == item.stage)
    connection.execute(mine.values(trouble))
