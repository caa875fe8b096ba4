"""The part of a pilot's scaling page about smaller models: picture, table, registering one that passed."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse
from markupsafe import Markup

from pilotage.console.api.parameters import ActorParameter, DeskParameter
from pilotage.console.operations import studies
from pilotage.console.operations.studies import Study
from pilotage.console.pages import rendering
from pilotage.core import errors
from pilotage.pipelines.studies import Kind

router = APIRouter()

LOOK = {"register": False}
"""Options of a study that the page starts: people see what it found before they register one."""


def show_shrink(pilot: str, newest: Study | None, done: Study | None) -> str:
    """The part of the page about smaller models."""
    document = None if done is None else done.document
    return rendering.fragment(
        "parts/scaling_shrink.html.j2",
        pilot=pilot,
        newest=newest,
        done=done,
        document=document,
        rows=[] if document is None else [document["original"], *document["candidates"]],
        picture=None if document is None else _picture(document),
    )


@router.post("/pilots/{pilot}/scaling/shrink/{study}/register/{candidate}")
def register_candidate(
    request: Request, desk: DeskParameter, actor: ActorParameter, pilot: str, study: str, candidate: str
) -> RedirectResponse:
    """Register a candidate of a study as a version; what was measured is kept, so that is all it does."""
    place = f"/pilots/{pilot}/scaling"
    found = studies.get_study(desk, actor, pilot, study)
    try:
        begun = studies.start_study(desk, actor, pilot, Kind.SHRINK, _asked(found, candidate))
    except (errors.RunActive, errors.Conflict, errors.Unavailable) as error:
        return rendering.see(request, place, f"{error.message} {error.remedy}".strip(), "failed")
    return rendering.see(request, place, f"Study {begun.id} registers `{candidate}`.")


def _asked(study: Study, candidate: str) -> dict[str, object]:
    """The options under which the study's measurements are kept, with the version that it took.

    Raises:
        Conflict: it found nothing.
    """
    if study.document is None:
        raise errors.Conflict(f"Study {study.id} found nothing yet.", remedy="Wait for its end.")
    asked = {name: study.options.get(name) for name in ("max_drop", "at_most", "objective")}
    known = {name: value for name, value in asked.items() if value is not None}
    return {**known, "version": study.document["version"], "choose": candidate, "register": True}


def _picture(document: Mapping[str, object]) -> Markup:
    from pilotage.components.shrinking import plots

    drawn = plots.of_document(document, styled=False, key="shrink-plot")
    return Markup(drawn)  # noqa: S704 - it escapes what it is given
