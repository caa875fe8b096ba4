"""Pilots from notebooks and scripts that people send: read, never executed, and kept nowhere."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.adoption import readings
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Model

_EPOCH = (1980, 1, 1, 0, 0, 0)


class Undecided(Model):
    """What could not be decided or was left out, where, and what to do."""

    cell: int
    line: int
    what: str
    then: str


class AdoptedFile(Model):
    """One file of the pilot's folder."""

    name: str
    text: str


class Adoption(Model):
    """The pilot that a notebook or script amounts to."""

    pilot: str
    source: str
    """Name of the file that was sent."""
    files: tuple[AdoptedFile, ...]
    """pilot.yaml, and modules where data or estimator are made in code."""
    decided: dict[str, Any]
    """What pilot.yaml says."""
    undecided: tuple[Undecided, ...]


def adopt(
    desk: Desk, actor: Actor, file: str, content: str, into: str | None = None, beside: str = ".."
) -> Adoption:
    """Read a notebook or script; who may start something may ask.

    Raises:
        Forbidden: the actor may not.
        InputError, SpecError: it is no notebook, or no pilot comes of it.
        LimitReached: others are read at the moment.
    """
    actor.require(Permission.OPERATE)
    found = readings.adopt(file, content, into, beside)
    names = sorted(found["files"], key=lambda name: (not name.endswith(".yaml"), name))
    return Adoption(
        pilot=found["pilot"],
        source=file,
        files=tuple(AdoptedFile(name=name, text=found["files"][name]) for name in names),
        decided=found["decided"],
        undecided=tuple(Undecided(**note) for note in found["undecided"]),
    )


def zipped(adoption: Adoption) -> bytes:
    """The pilot's folder; the same bytes each time."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in adoption.files:
            archive.writestr(zipfile.ZipInfo(f"{adoption.pilot}/{file.name}", _EPOCH), file.text)
    return held.getvalue()
