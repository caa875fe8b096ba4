"""`release` and `diff` at a console elsewhere, which releases to where its own settings say."""

from __future__ import annotations

from typing import Any

from pilotage.console.commands import releases as here
from pilotage.console.commands.arguments import name_of
from pilotage.console.remotes.clients import require_nobody, segment
from pilotage.console.sessions import Session
from pilotage.core import errors


def release(
    session: Session,
    pilot: str,
    version: int | None = None,
    to: str | None = None,
    environment: str | None = None,
    branch: bool | None = None,
    force: bool = False,
    who: str | None = None,
    reason: str = "",
) -> None:
    """Release there."""
    require_nobody(who)
    require_no_place(to, branch)
    name = name_of(pilot)
    if version is None:
        version = _champion(session, name)
    content = {"version": version, "why": reason, "force": force}
    here.answer(session, session.remote.post(_path(session, name, environment, "release"), content))


def rollback(session: Session, name: str, environment: str, version: int | None, reason: str) -> None:
    """Take a release back there."""
    content: dict[str, Any] = {"why": reason, "version": version}
    here.answer(session, session.remote.post(_path(session, name, environment, "rollback"), content))


def diff(
    session: Session, pilot: str, to: str | None = None, environment: str | None = None, server: str = ""
) -> int:
    """Compare there."""
    require_no_place(to, None)
    if server:
        raise errors.SettingsError(
            "The console elsewhere asks the model server of its own settings.", remedy="Leave out `--server`."
        )
    return here.answer_difference(
        session, session.remote.get(_path(session, name_of(pilot), environment, "diff"))
    )


def require_no_place(to: str | None, branch: bool | None) -> None:
    """Raise SettingsError when a command says where to or how, which the console decides."""
    if to is not None or branch is not None:
        raise errors.SettingsError(
            "The console elsewhere releases to where its own settings say.",
            remedy="Leave out `--to`, `--branch` and `--commit`, or unset PILOTAGE_URL.",
        )


def _path(session: Session, name: str, environment: str | None, what: str) -> str:
    place = environment or session.settings.release_environment
    return f"/pilots/{segment(name)}/environments/{segment(place)}/{what}"


def _champion(session: Session, name: str) -> int:
    for item in session.remote.items(f"/pilots/{segment(name)}/versions"):
        if "champion" in item["aliases"]:
            return int(item["version"])
    raise errors.NotFound(
        f"Pilot `{name}` has no champion to release.", remedy=f"Name a version: `pilotage models {name}`."
    )
