"""How ready a pilot is for production: four sections, each test with its evidence and the next step."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import Markup

from pilotage.console.access.actors import Permission
from pilotage.console.api.parameters import ActorParameter, DeskParameter
from pilotage.console.operations import readiness, studies
from pilotage.console.operations.readiness import Entry, Note
from pilotage.console.pages import rendering, words
from pilotage.console.pages.figures import badges, series
from pilotage.console.pages.figures.series import Dot, Line
from pilotage.core import errors
from pilotage.pipelines.readiness import limits, rubrics
from pilotage.pipelines.readiness.notes import MOST_LETTERS, USUAL
from pilotage.pipelines.studies import Kind

router = APIRouter()

_SHOWN = 60
"""Entries of the history in its table; the picture shows more."""


@router.get("/pilots/{pilot}/readiness")
def show_readiness(request: Request, desk: DeskParameter, actor: ActorParameter, pilot: str) -> HTMLResponse:
    """One pilot's score."""
    found = readiness.get_readiness(desk, actor, pilot)
    entries = readiness.list_history(desk, actor, pilot).items
    notes = readiness.list_notes(desk, actor, pilot).items
    spec = limits.spec_of(desk.engine, pilot)
    return rendering.page(
        request,
        "pilot_readiness.html.j2",
        actor=actor,
        pilot=pilot,
        found=found,
        badge=badges.badge(found.score, found.band),
        bands=_bands(),
        chart=_draw(entries),
        entries=entries[: -_SHOWN - 1 : -1],
        held=_held(notes, found.at),
        asked=limits.limit(desk.settings, spec, desk.settings.release_environment),
        environment=desk.settings.release_environment,
        study=studies.latest(desk, actor, pilot, Kind.READINESS),
        may=actor.may(Permission.APPROVE, pilot),
        may_prove=actor.may(Permission.OPERATE, pilot),
        most=MOST_LETTERS,
        usual=(found.at + USUAL).date().isoformat(),
    )


@router.post("/pilots/{pilot}/readiness/notes")
def add_note(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    test: Annotated[str, Form(max_length=32)],
    text: Annotated[str, Form(max_length=MOST_LETTERS)] = "",
    until: Annotated[str, Form(max_length=40)] = "",
) -> RedirectResponse:
    """Vouch for a test."""
    note = readiness.add_note(desk, actor, pilot, test, text, until=_day(until))
    told = f"You vouch for {note.test} until {note.until:%Y-%m-%d}."
    return rendering.see(request, f"{_page(pilot)}#{words.segment(note.test)}", told)


@router.post("/pilots/{pilot}/readiness/notes/{note}/withdraw")
def withdraw_note(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    note: str,
    why: Annotated[str, Form(max_length=1000)] = "",
) -> RedirectResponse:
    """Take a note back."""
    ended = readiness.withdraw_note(desk, actor, pilot, note, why=why)
    told = f"Nobody vouches for {ended.test} any more."
    return rendering.see(request, f"{_page(pilot)}#{words.segment(ended.test)}", told)


@router.post("/pilots/{pilot}/readiness/prove")
def prove(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    what: Annotated[str, Form(max_length=16)],
) -> RedirectResponse:
    """Try something out, in a process of the console's machine."""
    try:
        begun = studies.start_study(desk, actor, pilot, Kind.READINESS, {"prove": [what]})
    except (errors.RunActive, errors.Conflict, errors.Unavailable) as error:
        return rendering.see(request, _page(pilot), f"{error.message} {error.remedy}".strip(), "failed")
    return rendering.see(request, _page(pilot), f"Study {begun.id} tries it out; look again in a minute.")


def _page(pilot: str) -> str:
    return f"/pilots/{words.segment(pilot)}/readiness"


def _day(text: str) -> datetime | None:
    """The end of a day that a form names."""
    if not text.strip():
        return None
    try:
        day = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise errors.SettingsError(
            f"`until` is `{text[:40]}`, which is no day.", remedy="Write it as 2027-03-01."
        ) from error
    return day.replace(tzinfo=UTC) if day.tzinfo is None else day


def _held(notes: Sequence[Note], now: datetime) -> dict[str, Note]:
    """The note that holds by test; the newest where there are several."""
    holding = [note for note in notes if note.withdrawn_at is None and note.until > now]
    return {note.test: note for note in reversed(holding)}


def _bands() -> list[tuple[str, str]]:
    """Scores, and what they stand for."""
    rows, before = [], None
    for most, meaning in rubrics.BANDS:
        span = "0" if before is None else f"more than {before:g}" + (f", up to {most:g}" if most < 7 else "")
        rows.append((span, meaning))
        before = most
    return rows


def _draw(entries: Sequence[Entry]) -> Markup:
    """The score over time, and the best section's beside it."""
    if len(entries) < 2:
        return Markup("")
    score = Line("score", "first", [Dot(entry.at, entry.score) for entry in entries])
    best = Line(
        "best section",
        "second",
        [Dot(entry.at, max(entry.sections.values(), default=entry.score)) for entry in entries],
    )
    return series.chart("readiness", "ML Test Score over time", [score, best], zero=True)
