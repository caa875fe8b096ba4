"""`users` at a console elsewhere."""

from __future__ import annotations

from typing import Any

from pilotage.console.access.accounts import UserState, parse_grant
from pilotage.console.commands import users as here
from pilotage.console.remotes.clients import segment
from pilotage.console.sessions import Session


def list_users(session: Session, limit: int = 200) -> None:
    """Users there."""
    here.show(session, list(session.remote.items("/users", limit)))


def add_user(
    session: Session,
    name: str,
    role: list[str] | None = None,
    full_name: str = "",
    with_password: bool = False,
    why: str = "",
) -> None:
    """Let somebody in there."""
    new = {"name": name, "full_name": full_name, "why": why, "grants": [_role(text) for text in role or ()]}
    if with_password:
        new["password"] = here.read_password()
    here.answer_document(session, session.remote.post("/users", new))


def grant(session: Session, name: str, role: str, why: str = "") -> None:
    """Give a role there."""
    found = session.remote.post(f"/users/{segment(name)}/grant", {**_role(role), "why": why})
    here.answer_document(session, found)


def revoke(session: Session, name: str, role: str, why: str = "") -> None:
    """Take a role back there."""
    found = session.remote.post(f"/users/{segment(name)}/revoke", {**_role(role), "why": why})
    here.answer_document(session, found)


def disable(session: Session, name: str, why: str = "") -> None:
    """Let somebody in there no more."""
    _change(session, name, UserState.DISABLED, why)


def enable(session: Session, name: str, why: str = "") -> None:
    """Let somebody in there again."""
    _change(session, name, UserState.ACTIVE, why)


def password(session: Session, name: str, why: str = "") -> None:
    """Give somebody a new password there."""
    wanted = {"password": here.read_password(), "why": why}
    here.answer_document(session, session.remote.put(f"/users/{segment(name)}/password", wanted))


def token(
    session: Session,
    user: str,
    role: list[str] | None = None,
    days: int = 90,
    name: str = "command line",
    why: str = "",
) -> None:
    """Make an API token there."""
    wanted = {"user": user, "name": name, "grants": role or ["viewer"], "days": days, "why": why}
    here.show_token(session, session.remote.post("/tokens", wanted))


def _change(session: Session, name: str, state: UserState, why: str) -> None:
    found = session.remote.patch(f"/users/{segment(name)}", {"state": state, "why": why})
    here.answer_document(session, found)


def _role(text: str) -> dict[str, Any]:
    found = parse_grant(text)
    return {"role": found.role, "pilot": found.pilot}
