"""Versions: what serves each pilot, how versions compare, and deciding about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from pilotage.console.access.actors import Permission
from pilotage.console.api.parameters import (
    ActorParameter,
    CursorParameter,
    DeskParameter,
    SearchParameter,
    VersionParameter,
)
from pilotage.console.api.versions import CARD_POLICY
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.evidence import dossiers
from pilotage.console.operations.models import approvals, decisions, environments, releases, versions
from pilotage.console.operations.models.versions import Version
from pilotage.console.pages import rendering, words
from pilotage.core import errors
from pilotage.core.artifacts import Estimate, Scorecard
from pilotage.core.registry import Alias
from pilotage.pipelines.decisions.approvals import ApprovalState

router = APIRouter()

Why = Annotated[str, Form(max_length=1000)]
MOST_COMPARED = 4
"""Versions beside each other."""
_GIT_SECONDS = 1.5
"""How long a page waits for what git says."""
_ON_THE_WAY = ("rolling_out", "releasing")
_VERSIONS, _RELEASES, _WAITING = 30, 15, 20


@router.get("/models")
def show_models(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    search: SearchParameter = "",
    cursor: CursorParameter = None,
) -> HTMLResponse:
    """What serves each pilot, and what waits for a person."""
    return rendering.page(
        request,
        "models.html.j2",
        actor=actor,
        listing=versions.list_live(desk, actor, search=search, cursor=cursor),
        waiting=approvals.list_approvals(desk, actor, limit=_WAITING),
        search=search,
        first=cursor is not None,
    )


@router.get("/pilots/{pilot}/models")
def show_versions(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    v: Annotated[list[int] | None, Query()] = None,
    cursor: CursorParameter = None,
) -> HTMLResponse:
    """Versions of a pilot, some beside each other."""
    listing = versions.list_versions(desk, actor, pilot, cursor=cursor, limit=_VERSIONS)
    compared = _compared(desk, actor, pilot, listing.items, v or [])
    cards = [_card(desk, actor, version) for version in compared]
    may = actor.may(Permission.APPROVE, pilot)
    return rendering.page(
        request,
        "pilot_models.html.j2",
        actor=actor,
        pilot=pilot,
        listing=listing,
        first=cursor is not None,
        compared=list(zip(compared, cards, strict=True)),
        metrics=_metrics(cards),
        gates=_gates(compared),
        slices=_slices(cards),
        groups=_groups(cards),
        waiting=[item for item in compared if _waits(item)]
        + _waiting_elsewhere(desk, actor, pilot, compared),
        releases=releases.list_releases(desk, actor, pilot, limit=_RELEASES).items,
        **_environments(desk, actor, pilot),
        champion=next((item.version for item in listing.items if Alias.CHAMPION in item.aliases), None),
        previous=any(Alias.PREVIOUS in item.aliases for item in listing.items),
        rolling=any(item.decision in _ON_THE_WAY and Alias.CHALLENGER in item.aliases for item in compared),
        may=may,
        may_force=may and actor.may(Permission.ADMINISTER, pilot),
        most=MOST_COMPARED,
        estimate=estimate,
    )


@router.get("/pilots/{pilot}/models/{version}/card")
def show_card(
    desk: DeskParameter, actor: ActorParameter, pilot: str, version: VersionParameter
) -> HTMLResponse:
    """The model card, which may neither run nor load anything."""
    text = dossiers.card_page(desk, actor, pilot, version)
    return HTMLResponse(text, headers={"Content-Security-Policy": CARD_POLICY})


@router.post("/pilots/{pilot}/models/{version}/approve")
def approve(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    version: VersionParameter,
    why: Why = "",
) -> RedirectResponse:
    """Say yes to a version that waits."""
    return _moved(request, decisions.approve(desk, actor, pilot, version, why=why))


@router.post("/pilots/{pilot}/models/{version}/reject")
def reject(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    version: VersionParameter,
    why: Why = "",
) -> RedirectResponse:
    """Say no to a version that waits or is being rolled out."""
    decisions.reject(desk, actor, pilot, version, why=why)
    return rendering.see(request, _page(pilot), f"Version {version} of {pilot} is rejected.")


@router.post("/pilots/{pilot}/models/{version}/promote")
def promote(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    version: VersionParameter,
    why: Why = "",
    force: Annotated[bool, Form()] = False,
) -> RedirectResponse:
    """Make a version champion at once."""
    return _moved(request, decisions.promote(desk, actor, pilot, version, why=why, force=force))


@router.post("/pilots/{pilot}/rollback")
def rollback(
    request: Request, desk: DeskParameter, actor: ActorParameter, pilot: str, why: Why = ""
) -> RedirectResponse:
    """End a rollout, or bring back the champion before."""
    return _moved(request, decisions.rollback(desk, actor, pilot, why=why))


def _page(pilot: str) -> str:
    return f"/pilots/{words.segment(pilot)}/models"


def _moved(request: Request, done: decisions.Moved) -> RedirectResponse:
    if done.releasing:
        told = (
            f"Version {done.version} of {done.pilot} is on its way; it is champion when the cluster runs it."
        )
    elif done.reason:
        stays = f"version {done.version} stays champion" if done.version else "there is no champion"
        told = f"Version {done.replaced} of {done.pilot} is taken back; {stays}."
    else:
        told = f"Version {done.version} of {done.pilot} is champion"
        told += " now." if done.changed else " already."
    return rendering.see(request, _page(done.pilot), told)


def estimate(found: Estimate | None) -> str:
    """A value with its interval."""
    if found is None or found.value is None:
        return words.NOTHING
    if found.low is None or found.high is None:
        return words.number(found.value)
    return f"{words.number(found.value)} ({words.number(found.low)} to {words.number(found.high)})"


def _waits(version: Version) -> bool:
    return version.approval is not None and version.approval.state is ApprovalState.PENDING


def _waiting_elsewhere(desk: Desk, actor: Any, pilot: str, compared: Sequence[Version]) -> list[Version]:
    """Versions that wait for a person and are not beside each other already."""
    shown = {version.version for version in compared}
    found = approvals.list_approvals(desk, actor, pilot=pilot, limit=_WAITING).items
    asked = {item.version for item in found} - shown
    if not asked:
        return []
    return [item for item in versions.list_versions(desk, actor, pilot).items if item.version in asked]


def _compared(
    desk: Desk, actor: Any, pilot: str, known: Sequence[Version], wanted: Sequence[int]
) -> list[Version]:
    """The versions that are asked for; else the champion, what waits, the challenger and the newest."""
    if wanted:
        by_number = {version.version: version for version in known}
        return [
            by_number.get(number) or versions.get_version(desk, actor, pilot, number)
            for number in dict.fromkeys(wanted[:MOST_COMPARED])
        ]
    ranked = sorted(known, key=lambda item: (_rank(item), -item.version))
    return sorted(ranked[:MOST_COMPARED], key=lambda item: -item.version)


def _rank(version: Version) -> int:
    roles = (Alias.CHAMPION in version.aliases, _waits(version), Alias.CHALLENGER in version.aliases)
    return roles.index(True) if any(roles) else len(roles)


def _environments(desk: Desk, actor: Any, pilot: str) -> dict[str, Any]:
    """What git says runs where; that it cannot be asked now takes nothing from the rest of the page."""
    try:
        found = environments.list_environments(desk, actor, pilot, wait_seconds=_GIT_SECONDS)
        return {"environments": found.items, "git_problem": ""}
    except errors.PilotageError as error:
        return {"environments": (), "git_problem": str(error)}


def _card(desk: Desk, actor: Any, version: Version) -> Scorecard | None:
    if version.metric is None:
        return None
    return versions.get_scorecard(desk, actor, version.pilot, version.version)


def _metrics(cards: Sequence[Scorecard | None]) -> list[str]:
    """Names of all metrics, the goals' first."""
    known = [card for card in cards if card is not None]
    goals = [card.metric for card in known]
    return list(dict.fromkeys([*goals, *(name for card in known for name in card.metrics)]))


def _gates(compared: Sequence[Version]) -> list[tuple[str, list[Any]]]:
    """By gate, each version's verdict, None where it had no such gate."""
    names = dict.fromkeys(gate.gate for version in compared for gate in version.gates)
    held = [{gate.gate: gate for gate in version.gates} for version in compared]
    return [(name, [verdicts.get(name) for verdicts in held]) for name in names]


def _slices(cards: Sequence[Scorecard | None]) -> list[tuple[str, list[Any]]]:
    """By slice, each version's."""
    held = [
        {f"{part.column} is {part.value}": part for part in card.slices} if card else {} for card in cards
    ]
    names = dict.fromkeys(name for parts in held for name in parts)
    return [(name, [parts.get(name) for parts in held]) for name in names]


def _groups(cards: Sequence[Scorecard | None]) -> list[tuple[str, list[Any]]]:
    """By column that groups are compared over, each version's differences."""
    held = [{part.by: part for part in card.fairness} if card else {} for card in cards]
    names = dict.fromkeys(name for parts in held for name in parts)
    return [(name, [parts.get(name) for parts in held]) for name in names]
