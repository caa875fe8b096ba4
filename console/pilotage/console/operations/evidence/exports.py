"""Compliance exports: what speaks for a version, in one file that proves itself and holds no secret.

`contents` gathers, `archives` writes and checks, `redactions` takes secrets out. A part that is not there is
named in the manifest with the reason. Taking one out is noted in the audit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import yaml
from sqlalchemy import select

from pilotage.components import cards
from pilotage.console.access.actors import Actor
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.evidence import archives, bills, dossiers, redactions
from pilotage.console.operations.evidence import audits as lines
from pilotage.console.operations.evidence.dossiers import Dossier
from pilotage.console.operations.execution import run_files
from pilotage.console.operations.listings import Model
from pilotage.core import errors, signatures, storage
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits

KIND = "pilotage-export"
ACTION = "export"
"""Of the audit."""
_CHAIN = "audit/chain.jsonl"
_RECORDS = "audit/records.jsonl"
_MOST_LINKS = 500_000
"""Of the audit's chain, each 80 bytes; beyond it the head alone tells."""


class Export(Model):
    """An archive that was written."""

    pilot: str
    version: int
    file: str
    bytes: int
    files: tuple[str, ...]
    missing: dict[str, str]
    """Why a part is not there."""
    signed: bool
    manifest: str
    """Digest of the manifest: noted elsewhere, it proves the whole archive."""


class Verdict(Model):
    """What came of checking an archive."""

    file: str
    verified: bool
    pilot: str
    version: int
    files: int
    signed: bool | None
    """Null where no PILOTAGE_VERIFY_KEY_FILE is set."""
    missing: dict[str, str]
    audit: str
    """How far the records of the audit are proven, in words."""
    problems: tuple[str, ...]


@dataclass
class _Contents:
    """Files by name, and why others are missing."""

    secrets: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, text: str) -> None:
        """A text, without secrets."""
        self.files[name] = redactions.text(text, self.secrets).encode()

    def add_json(self, name: str, document: Any) -> None:
        """A document, without secrets."""
        clean = redactions.document(document, self.secrets)
        self.add(name, json.dumps(clean, indent=2, ensure_ascii=False, default=str) + "\n")

    def attempt(self, name: str, make: Callable[[], None]) -> None:
        """Add something, or why it cannot be had."""
        try:
            make()
        except errors.PilotageError as error:
            self.missing[name] = redactions.text(error.message, self.secrets)


def write(
    desk: Desk,
    actor: Actor,
    pilot: str,
    version: int,
    target: IO[bytes],
    *,
    file: str = "",
    spoken: PilotSpec | None = None,
) -> Export:
    """Write the export of a version to `target` and note it in the audit.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    found = dossiers.gather(desk, actor, pilot, version, spoken)
    made = contents(desk, actor, found)
    facts = _facts(found, made.missing)
    digest = archives.write(target, made.files, facts, desk.settings)
    size = target.tell()
    with desk.engine.begin() as connection:
        audits.write(
            connection, ACTION, pilot, actor.name, "", version=version, manifest=digest, files=len(made.files)
        )
    return Export(
        pilot=pilot,
        version=version,
        file=file,
        bytes=size,
        files=tuple(sorted(made.files)),
        missing=made.missing,
        signed=desk.settings.signing_key_file is not None,
        manifest=digest,
    )


def spool(desk: Desk, actor: Actor, pilot: str, version: int) -> IO[bytes]:
    """An export in a file without a name, from its beginning."""
    stream = TemporaryFile()  # noqa: SIM115 - whoever sends it closes it
    try:
        write(desk, actor, pilot, version, stream)
        stream.seek(0)
    except BaseException:
        stream.close()
        raise
    return stream


def name_of(pilot: str, version: int) -> str:
    """What the file is called."""
    return f"{pilot}-{version}-export.zip"


def contents(desk: Desk, actor: Actor, found: Dossier) -> _Contents:
    """Every file of an export; the same state gives the same bytes."""
    made = _Contents(redactions.secrets(desk.settings, found.document))
    made.missing.update({name: redactions.text(why, made.secrets) for name, why in found.missing.items()})
    if found.document:
        clean = redactions.document(found.document, made.secrets)
        made.add("pilot.yaml", yaml.safe_dump(clean, sort_keys=False, allow_unicode=True))
    for name, artifact in (
        ("data/snapshot.json", found.snapshot),
        ("validation/report.json", found.report),
        ("evaluation/scorecard.json", found.scorecard),
        ("model/model.json", found.model),
    ):
        if artifact is not None:
            made.add_json(name, artifact.model_dump(mode="json"))
    _add_card(made, found)
    _add_page(made, desk, actor, found)
    made.attempt("model/digests.json", lambda: _add_model(made, desk, found))
    made.attempt("bill-of-materials.cdx.json", lambda: _add_bill(made, found))
    made.add_json("decisions/version.json", found.version.model_dump(mode="json"))
    if found.version.approval is None:
        made.missing["decisions/approval"] = "nobody was asked: `approval` is auto, or a gate said no"
    made.add_json("lineage.json", _lineage(found))
    _add_audit(made, desk, actor, found.version.pilot)
    if found.readiness is not None:
        made.add_json("readiness.json", found.readiness.model_dump(mode="json"))
    return made


def _facts(found: Dossier, missing: Mapping[str, str]) -> dict[str, Any]:
    return {
        "kind": KIND,
        "schema_version": 1,
        "pilot": found.version.pilot,
        "version": found.version.version,
        "made_by": f"pilotage {installed('pilotage')}",
        "missing": dict(sorted(missing.items())),
    }


def _add_card(made: _Contents, found: Dossier) -> None:
    card = dossiers.card_of(found)
    if card is None:
        made.missing["card"] = "it needs a scorecard and a pilot.yaml"
        return
    made.add(f"card/{cards.PAGE}", cards.page(card))
    made.add(f"card/{cards.MARKDOWN}", cards.markdown(card))


def _add_page(made: _Contents, desk: Desk, actor: Actor, found: Dossier) -> None:
    """The validation report as a page."""
    run = found.run
    if run is not None:
        made.attempt(
            "validation/report.html",
            lambda: made.add("validation/report.html", run_files.get_report_page(desk, actor, run.id)),
        )


def _add_model(made: _Contents, desk: Desk, found: Dossier) -> None:
    """Digests of every file of the model, and its signature."""
    folder = desk.registry.folder(found.registered)
    digests = {
        file.relative_to(folder).as_posix(): storage.file_digest(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }
    made.add_json("model/digests.json", digests)
    signature = folder / signatures.FILE
    if signature.is_file():
        made.files["model/model.sig"] = signature.read_bytes()
    else:
        made.missing["model/model.sig"] = "the model is not signed: PILOTAGE_SIGNING_KEY_FILE was not set"


def _add_bill(made: _Contents, found: Dossier) -> None:
    if found.model is None:
        raise errors.NotFound("The model's facts are gone.")
    made.add("bill-of-materials.cdx.json", bills.write(found.model, found.version.version, found.snapshot))


def _lineage(found: Dossier) -> dict[str, Any]:
    run = found.run
    return {
        "pilot": found.version.pilot,
        "version": found.version.version,
        "run": found.version.run,
        "mlflow_run": found.version.mlflow_run,
        "asked_by": None if run is None else run.asked_by,
        "why": None if run is None else run.why,
        "parameters": {} if run is None else run.parameters,
        "trigger": None if run is None else run.trigger,
        "schedule": None if run is None else run.schedule,
        "steps": []
        if run is None
        else [{"name": step.name, "state": step.state, "cached": step.cached} for step in run.steps],
        "snapshot": None if found.snapshot is None else found.snapshot.digest,
        "data_files": {}
        if found.snapshot is None
        else {item.name: item.sha256 for item in found.snapshot.files},
        "source": None if found.snapshot is None else found.snapshot.source,
        "suite": None if found.report is None else found.report.suite,
        "compared_with": None
        if found.scorecard is None or found.scorecard.champion is None
        else found.scorecard.champion.version,
        "tags": found.version.tags,
    }


def _add_audit(made: _Contents, desk: Desk, actor: Actor, pilot: str) -> None:
    """The pilot's records, and the chain's links from the first of them to the end."""
    kept, first = [], None
    for piece in lines.batches(desk, actor, lines.Filter(pilot=pilot)):
        for line in piece:
            first = line.id if first is None else first
            told = line.model_dump(mode="json")
            clean = redactions.document(told, made.secrets)
            kept.append(
                json.dumps({**clean, "redacted": True} if clean != told else clean, ensure_ascii=False)
            )
    if first is None:
        made.missing["audit"] = "nothing of this pilot is in the audit"
        return
    made.files[_RECORDS] = ("\n".join(kept) + "\n").encode()
    links = _links(desk, first)
    if links is None:
        made.missing[_CHAIN] = f"the audit has more than {_MOST_LINKS} records since this pilot's first"
        return
    made.files[_CHAIN] = "".join(f"{json.dumps(link)}\n" for link in links).encode()


def _links(desk: Desk, first: int) -> list[tuple[int, str]] | None:
    """Id and digest of each record from the one before `first` on; None where there are too many."""
    table = tables.audit
    query = (
        select(table.c.id, table.c.digest)
        .where(table.c.id >= first - 1)
        .order_by(table.c.id)
        .limit(_MOST_LINKS + 1)
    )
    with tables.reading(desk.engine) as connection:
        found = [(int(row.id), str(row.digest)) for row in connection.execute(query)]
    return None if len(found) > _MOST_LINKS else found


def verify(file: Path, settings: Settings) -> Verdict:
    """Check every digest of an export, its signature where a key is set, and the audit's records in it.

    Raises:
        NotFound, DataError: there is no such file, or it is no export.
    """
    found = archives.look(file, settings)
    facts = found.manifest
    if facts.get("kind") != KIND or facts.get("schema_version") != 1:
        raise errors.DataError(
            f"`{file}` is no export of this version of Pilotage.",
            remedy="Name a file that `pilotage export` wrote.",
        )
    proven, problems = _check_audit(found.contents)
    problems = (*found.problems, *problems)
    return Verdict(
        file=str(file),
        verified=not problems,
        pilot=str(facts.get("pilot")),
        version=int(facts.get("version", 0)),
        files=found.files,
        signed=found.signed,
        missing={str(key): str(value) for key, value in facts.get("missing", {}).items()},
        audit=proven,
        problems=problems,
    )


def _check_audit(held: Mapping[str, bytes]) -> tuple[str, tuple[str, ...]]:
    """Whether records are what their digests say and are in the chain; in words, and what is wrong."""
    if _RECORDS not in held:
        return "no records", ()
    try:
        records = [json.loads(line) for line in held[_RECORDS].splitlines()]
        chain = {int(own): str(digest) for own, digest in map(json.loads, held.get(_CHAIN, b"").splitlines())}
        return _walk(records, chain)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return "no records that can be read", (f"`{_RECORDS}` cannot be read: {type(error).__name__}.",)


def _walk(records: list[dict[str, Any]], chain: Mapping[int, str]) -> tuple[str, tuple[str, ...]]:
    problems, redacted = [], 0
    for record in records:
        own = int(record["id"])
        if record.pop("redacted", False):
            redacted += 1
        else:
            row = {**record, "at": datetime.fromisoformat(record["at"])}
            if audits.digest_of(row) != record["digest"]:
                problems.append(
                    f"Record {own} of the audit was changed: its digest is not that of its content."
                )
        if chain and chain.get(own) != record["digest"]:
            problems.append(f"Record {own} of the audit is not in the chain.")
        if chain and own > 1 and chain.get(own - 1) != record["previous"]:
            problems.append(f"Record {own} of the audit does not follow record {own - 1}.")
    told = f"{len(records)} records"
    if redacted:
        told += f", {redacted} of them without a secret that was in them"
    if not chain:
        return f"{told}, without the chain", tuple(problems)
    last = max(chain)
    return f"{told} in a chain up to {last}:{chain[last]}", tuple(problems)
