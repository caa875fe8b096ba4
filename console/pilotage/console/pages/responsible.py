"""What a pilot has to answer for: groups, reasons, its card, personal data, and the proof to take away.

What each part shows is in `sections`; a part that cannot be read does not take the others away.
"""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pilotage.console.access.actors import Actor
from pilotage.console.api.parameters import ActorParameter, DeskParameter, OptionalVersionParameter
from pilotage.console.operations import specs
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.models import versions
from pilotage.console.operations.models.versions import Version
from pilotage.console.pages import rendering
from pilotage.console.pages.sections import cards, explanations, exports, fairness, personal
from pilotage.console.pages.sections.bases import Section, Show, Subject
from pilotage.core import errors
from pilotage.core.registry import Alias
from pilotage.core.specs import PilotSpec

logger = logging.getLogger(__name__)

router = APIRouter()

SECTIONS: tuple[Show, ...] = (
    fairness.show,
    explanations.show,
    personal.show,
    personal.show_synthetic,
    cards.show,
    exports.show,
)
"""In the order in which they are shown."""
_VERSIONS = 30


@router.get("/pilots/{pilot}/responsible")
def show_responsible(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    version: OptionalVersionParameter = None,
) -> HTMLResponse:
    """One version of a pilot, the one that serves where none is named."""
    listing = versions.list_versions(desk, actor, pilot, limit=_VERSIONS).items
    shown = _chosen(desk, actor, pilot, listing, version)
    card = (
        None
        if shown is None or shown.metric is None
        else versions.get_scorecard(desk, actor, pilot, shown.version)
    )
    subject = Subject(desk, actor, pilot, shown, card, _spec(desk, actor, pilot))
    return rendering.page(
        request,
        "pilot_responsible.html.j2",
        actor=actor,
        pilot=pilot,
        subject=subject,
        shown=shown,
        listing=listing,
        versions_offered=[(str(item.version), _named(item)) for item in listing],
        sections=[section for show in SECTIONS if (section := _section(show, subject)) is not None],
    )


def _chosen(
    desk: Desk, actor: Actor, pilot: str, listing: tuple[Version, ...], version: int | None
) -> Version | None:
    """The version that is asked for, else the champion, else the newest."""
    if version is not None:
        return versions.get_version(desk, actor, pilot, version)
    champion = next((item for item in listing if Alias.CHAMPION in item.aliases), None)
    return champion or (listing[0] if listing else None)


def _named(version: Version) -> str:
    return " · ".join([f"Version {version.version}", *version.aliases])


def _spec(desk: Desk, actor: Actor, pilot: str) -> PilotSpec | None:
    try:
        return specs.find(desk, actor, pilot)
    except errors.NotFound:
        return None


def _section(show: Show, subject: Subject) -> Section | None:
    """A section, or in its place why it cannot be shown."""
    try:
        return show(subject)
    except errors.PilotageError as error:
        logger.warning("a section of %s cannot be shown: %s", subject.pilot, error)
        name = show.__module__.rpartition(".")[2]
        return Section(
            key=f"{name}-problem",
            title=name.replace("_", " ").capitalize(),
            template="sections/problem.html.j2",
            values={"error": error},
        )
