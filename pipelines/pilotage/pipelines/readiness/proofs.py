"""What was tried out for a pilot's readiness, with its result: rows that hold for a while.

A trial is about what makes the pilot's versions (data, training and code as pilot.yaml says them), so that
it goes on to hold for a version that is trained anew the same way, and ends when that changes or a month
has passed. How things are tried out is in `trials` and `suites`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, insert, select

from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, states
from pilotage.pipelines.steps import codes

HOLDS = timedelta(days=30)
"""How long a proof speaks for a pilot: what is automated is done again."""
PROVED = "readiness-proof"
"""What the audit calls it."""
OWN = "own"
"""In a proof's details: digest of the pilot's own code when it was made."""


class Kind(StrEnum):
    """What can be tried out."""

    TESTS = "tests"
    """The tests in the pilot's folder pass."""
    REPEAT = "repeat"
    """Training the champion again from its snapshot, seed and parameters gives the same answers."""
    SIMPLE = "simple"
    """A linear model on the same rows is not as good."""


@dataclass(frozen=True)
class Proof:
    """What came of one trial."""

    id: str
    pilot: str
    kind: Kind
    at: datetime
    who: str
    version: int | None
    """Champion at the time."""
    recipe: str
    """Digest of what it was about."""
    passed: bool
    summary: str
    """In one sentence."""
    details: Mapping[str, Any]


def recipe(kind: Kind, spec: PilotSpec, folder: Path | None, known: Proof | None = None) -> str:
    """Digest of what a trial of a kind is about now.

    Args:
        kind: of the trial.
        spec: what makes the version.
        folder: the pilot's; where this machine does not have it, the code is taken to be that of `known`.
        known: an earlier proof.
    """
    own = known.details.get(OWN, "") if folder is None and known is not None else ""
    if folder is not None:
        own = own_digest(kind, spec, folder)
    told: dict[str, Any] = {"own": own}
    if kind is not Kind.TESTS:
        content = spec.model_dump(mode="json", include={"data", "train", "goal"})
        told |= {"spec": content}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def own_digest(kind: Kind, spec: PilotSpec, folder: Path) -> str:
    """Digest of the code in the pilot's folder that a trial is about; tests are about all, and pilot.yaml."""
    if kind is not Kind.TESTS:
        return codes.own(spec, folder)
    digest = hashlib.sha256((folder / "pilot.yaml").read_bytes())
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder).parts
        if not any(part.startswith(".") for part in parts):
            digest.update("/".join(parts).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def keep(engine: Engine, proof: Proof) -> None:
    """Write a proof, and into the audit that it was made."""
    with engine.begin() as connection:
        connection.execute(insert(tables.readiness_proofs), {**vars(proof), "details": dict(proof.details)})
        audits.write(
            connection,
            PROVED,
            proof.pilot,
            proof.who,
            proof.summary,
            version=proof.version,
            kind=proof.kind,
            passed=proof.passed,
            proof=proof.id,
        )


def made(
    kind: Kind,
    spec: PilotSpec,
    folder: Path,
    *,
    who: str,
    version: int | None,
    passed: bool,
    summary: str,
    details: Mapping[str, Any],
) -> Proof:
    """A proof of now."""
    return Proof(
        id=states.new_id(),
        pilot=spec.pilot,
        kind=kind,
        at=tables.now(),
        who=who,
        version=version,
        recipe=recipe(kind, spec, folder),
        passed=passed,
        summary=summary,
        details={**details, OWN: own_digest(kind, spec, folder)},
    )


def latest(connection: Connection, pilot: str) -> dict[Kind, Proof]:
    """The newest proof by kind."""
    table = tables.readiness_proofs
    found = {}
    for kind in Kind:
        query = select(table).where(table.c.pilot == pilot, table.c.kind == kind)
        row = connection.execute(query.order_by(table.c.at.desc(), table.c.id.desc()).limit(1)).first()
        if row is not None:
            found[kind] = Proof(**{**row._mapping, "kind": Kind(row.kind)})
    return found
