"""`forecast` at a console elsewhere: the study runs there, and what it found is shown here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pilotage.console.commands import forecasts
from pilotage.console.commands.arguments import name_of
from pilotage.console.remotes.clients import segment
from pilotage.console.sessions import Session
from pilotage.console.views import forecasts as views
from pilotage.console.views.studies import StudyProgress
from pilotage.core import errors
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.studies import Kind, Progress

_EVERY_SECONDS = 1.0


def forecast(
    session: Session,
    pilot: str | None = None,
    points: Path | None = None,
    at: list[str] | None = None,
    repeats: int = 4,
    models: bool = True,
    features: bool = True,
    plot: Path | None = None,
    study: str | None = None,
) -> None:
    """Start a forecast there and follow it; given points need no console.

    Raises:
        SettingsError: a study of this machine is named.
    """
    if points is not None or pilot is None:
        forecasts.forecast(session, pilot, points, at, repeats, models, features, plot, study)
        return
    if study is not None:
        raise errors.SettingsError(
            "`--study` is for an installation of this machine; a new study there keeps what was trained.",
            remedy="Leave it out.",
        )
    options = forecasts.options_of(at, repeats, models, features).model_dump(mode="json")
    found = carry_out(session, name_of(pilot), Kind.FORECAST, options)
    document = dict(found["document"])
    if plot is not None:
        forecasts.write_plot(plot, document)
    session.output.answer(document, lambda console: views.show(console, document))


def carry_out(session: Session, pilot: str, kind: Kind, options: Mapping[str, Any]) -> dict[str, Any]:
    """Start a study of a pilot there and wait for its end; the study with all that it found.

    Raises:
        Failure: it did not succeed.
    """
    place = f"/pilots/{segment(pilot)}/studies"
    begun = session.remote.post(place, {"kind": str(kind), "options": dict(options)})
    session.output.say(f"Study {begun['id']} of {pilot} goes on at {session.remote.url}.")
    with StudyProgress(session.output) as progress:
        while True:
            found: dict[str, Any] = session.remote.get(f"{place}/{segment(begun['id'])}")
            if found["progress"]:
                progress.on_progress(Progress(**found["progress"]))
            if found["state"] not in (State.PENDING, State.RUNNING):
                break
            time.sleep(_EVERY_SECONDS)
    if found["state"] != State.SUCCEEDED or found["document"] is None:
        raise errors.Failure(
            f"Study {found['id']} {found['state']}: {found['message']}",
            remedy=found["remedy"],
            study=found["id"],
        )
    return found
