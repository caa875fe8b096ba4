"""All that is known of one version, gathered where it is kept; what is gone is named with the reason.

A card and a compliance export are made from it. What people say for the card (`card`, `owner` and
`description` of pilot.yaml) is taken as it is now, for it is about the version and does not make it;
all else is as the version's run had it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from pilotage.components import cards
from pilotage.components.cards import Card, Known
from pilotage.console.access.actors import Actor
from pilotage.console.operations import listings, readiness, specs
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.execution import run_files, runs
from pilotage.console.operations.models import versions
from pilotage.console.operations.models.versions import Version
from pilotage.console.operations.readiness import Entry
from pilotage.core import errors
from pilotage.core.artifacts import Model, Report, Scorecard, Snapshot
from pilotage.core.registry import Registered
from pilotage.core.specs import PilotSpec

T = TypeVar("T")

_SPOKEN = ("card", "owner", "description")
"""Keys of pilot.yaml that only speak of the version."""


class Gap(listings.Model):
    """What a card should say and does not."""

    what: str
    remedy: str


class Told(listings.Model):
    """A card, and what it does not say."""

    pilot: str
    version: int
    gaps: tuple[Gap, ...]
    markdown: str
    html: str


@dataclass
class Dossier:
    """A version, and what could be found of it."""

    version: Version
    registered: Registered
    scorecard: Scorecard | None = None
    model: Model | None = None
    snapshot: Snapshot | None = None
    report: Report | None = None
    run: runs.Run | None = None
    spec: PilotSpec | None = None
    document: dict[str, Any] = field(default_factory=dict)
    """pilot.yaml as the run had it, only what was set."""
    readiness: Entry | None = None
    """How ready the pilot was when it was last judged."""
    missing: dict[str, str] = field(default_factory=dict)
    """Why something is not there, by what it is."""


def gather(desk: Desk, actor: Actor, pilot: str, version: int, spoken: PilotSpec | None = None) -> Dossier:
    """What is known of a version.

    Args:
        desk: the installation.
        actor: who asks.
        pilot: its name.
        version: its number.
        spoken: a pilot.yaml whose words count for the card, in place of the one that is known.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    told = versions.get_version(desk, actor, pilot, version)
    found = Dossier(told, desk.registry.version(pilot, version))
    registered = found.registered
    found.scorecard = _try(found, "scorecard", lambda: desk.scorecards.get(registered))
    found.model = _try(found, "model", lambda: desk.registry.model(registered))
    if told.run is None:
        found.missing["run"] = "the version was not registered by a run of this installation"
    else:
        found.run = _try(found, "run", lambda: runs.get_run(desk, actor, str(told.run)))
    found.snapshot = _try(found, "snapshot", lambda: _snapshot(desk, actor, found))
    found.report = _try(found, "report", lambda: _report(desk, actor, found))
    found.spec, found.document = _spec(desk, actor, found, spoken)
    found.readiness = _try(found, "readiness.json", lambda: _readiness(desk, actor, pilot))
    return found


def read_card(
    desk: Desk, actor: Actor, pilot: str, version: int, spoken: PilotSpec | None = None
) -> Card | None:
    """The card of a version as it is known now; None where that is too little, and its run's own is all.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    return card_of(gather(desk, actor, pilot, version, spoken))


def card_page(desk: Desk, actor: Actor, pilot: str, version: int) -> str:
    """The card of a version as a page; the one that its run wrote where it cannot be made anew.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    card = read_card(desk, actor, pilot, version)
    return versions.read_card(desk, actor, pilot, version) if card is None else cards.page(card)


def tell(desk: Desk, actor: Actor, pilot: str, version: int, spoken: PilotSpec | None = None) -> Told:
    """The card of a version as Markdown and as a page, and what it does not say.

    Raises:
        NotFound: it is not there, not for this actor, or too little is known of it.
    """
    card = read_card(desk, actor, pilot, version, spoken)
    if card is None:
        raise errors.NotFound(
            f"Too little is known of version {version} of `{pilot}` for a card: it has no scorecard.",
            remedy="Run the pilot again.",
        )
    return Told(
        pilot=pilot,
        version=version,
        gaps=tuple(Gap(what=gap.what, remedy=gap.remedy) for gap in card.gaps),
        markdown=cards.markdown(card),
        html=cards.page(card),
    )


def chosen(desk: Desk, pilot: str, version: int | None) -> int:
    """The version that is asked for, else the champion, else the newest.

    Raises:
        NotFound: there is none.
    """
    if version is not None:
        return version
    champion = desk.registry.champion(pilot)
    known = desk.registry.versions(pilot)
    if champion is None and not known:
        raise errors.NotFound(f"Pilot `{pilot}` has no version.", remedy="`pilotage run PILOT` makes one.")
    return (champion or known[0]).version


def card_of(found: Dossier) -> Card | None:
    """The card that a dossier makes; None without a scorecard or a pilot.yaml."""
    if found.scorecard is None or found.spec is None:
        return None
    return cards.build(
        Known(
            spec=found.spec,
            scorecard=found.scorecard,
            model=found.model,
            snapshot=found.snapshot,
            report=found.report,
            version=found.version.version,
            decisions=tuple(_decisions(found)),
        )
    )


def _decisions(found: Dossier) -> list[tuple[str, str]]:
    told, version = [], found.version
    if version.decision is not None:
        told.append(("Decision", f"{version.decision.replace('_', ' ')}: {version.reason}".rstrip(": ")))
    if version.aliases:
        told.append(("Now", ", ".join(version.aliases)))
    said = version.approval
    if said is not None:
        told.append(("Approval", f"{said.state.value}, asked {said.asked_at:%Y-%m-%d %H:%M} UTC"))
        if said.decided_at is not None:
            why = f": {said.why}" if said.why else ""
            told.append(("Decided by", f"{said.who} at {said.decided_at:%Y-%m-%d %H:%M} UTC{why}"))
    ready = found.readiness
    if ready is not None:
        judged = "nothing" if ready.version is None else f"version {ready.version}"
        told.append(
            ("Readiness", f"{ready.score:g} (ML Test Score of {judged}, {ready.at:%Y-%m-%d %H:%M} UTC)")
        )
    return told


def _try(found: Dossier, what: str, read: Callable[[], T]) -> T | None:
    try:
        return read()
    except errors.PilotageError as error:
        found.missing[what] = error.message
        return None


def _snapshot(desk: Desk, actor: Actor, found: Dossier) -> Snapshot:
    """The manifest that evaluation kept, else the one of the run."""
    try:
        return Snapshot.read(desk.registry.run_file(found.registered.run, Snapshot.FILE))
    except errors.NotFound:
        if found.run is None:
            raise
        return Snapshot.model_validate(run_files.get_manifest(desk, actor, found.run.id))


def _report(desk: Desk, actor: Actor, found: Dossier) -> Report:
    try:
        return Report.read(desk.registry.run_file(found.registered.run, Report.FILE))
    except errors.NotFound:
        if found.run is None:
            raise
        return Report.model_validate(run_files.get_report(desk, actor, found.run.id))


def _readiness(desk: Desk, actor: Actor, pilot: str) -> Entry:
    """The last entry of its history."""
    entries = readiness.list_history(desk, actor, pilot, limit=1).items
    if not entries:
        raise errors.NotFound(f"How ready `{pilot}` is was never judged: `pilotage readiness {pilot}`.")
    return entries[-1]


def _spec(
    desk: Desk, actor: Actor, found: Dossier, spoken: PilotSpec | None
) -> tuple[PilotSpec | None, dict[str, Any]]:
    """pilot.yaml as the run had it, with today's words; else as it is known now."""
    now = spoken
    if now is None:
        now = _try(found, "pilot.yaml now", lambda: specs.find(desk, actor, found.version.pilot))
    if found.run is not None:
        try:
            then = PilotSpec.model_validate(found.run.spec)
        except ValidationError:
            found.missing["pilot.yaml"] = "the run's pilot.yaml is of another version of Pilotage"
        else:
            words = {} if now is None else {key: getattr(now, key) for key in _SPOKEN}
            return then.model_copy(update=words), found.run.spec
    found.missing.setdefault("pilot.yaml", "the run that had it is not known here")
    return now, {}
