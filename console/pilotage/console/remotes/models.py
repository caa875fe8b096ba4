"""`models`, `promote`, `rollback`, `approve` and `reject` at a console elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pilotage.console.commands import models as here
from pilotage.console.commands.arguments import name_of
from pilotage.console.remotes import releases
from pilotage.console.remotes.clients import Remote, require_nobody, segment
from pilotage.console.sessions import Session
from pilotage.console.views import models as views
from pilotage.core import errors
from pilotage.core.artifacts import Scorecard
from pilotage.core.registry import Registered


def models(session: Session, pilot: str) -> None:
    """Versions of a pilot there."""
    name, remote = name_of(pilot), session.remote
    found = [_registered(item) for item in remote.items(f"/pilots/{segment(name)}/versions")]
    scorecards = {item.version: _scorecard(remote, item) for item in found}
    document = {
        "pilot": name,
        "versions": [here.document_of(item, scorecards[item.version]) for item in found],
    }
    session.output.answer(document, lambda console: views.show_versions(console, found, scorecards))


def promote(
    session: Session, pilot: str, version: int, force: bool = False, who: str | None = None, why: str = ""
) -> None:
    """Make a version champion there."""
    path = f"/pilots/{segment(name_of(pilot))}/versions/{version}/promote"
    require_nobody(who)
    _answer(session, session.remote.post(path, {"why": why, "force": force}))


def rollback(
    session: Session,
    pilot: str,
    environment: str | None = None,
    to: str | None = None,
    version: int | None = None,
    branch: bool | None = None,
    who: str | None = None,
    why: str = "",
) -> None:
    """End a rollout there, or bring back the champion before; with an environment, its release in git."""
    require_nobody(who)
    releases.require_no_place(to, branch)
    if environment is not None:
        releases.rollback(session, name_of(pilot), environment, version, why)
        return
    here.require_no_environment(to, version, branch)
    _answer(session, session.remote.post(f"/pilots/{segment(name_of(pilot))}/rollback", {"why": why}))


def approve(
    session: Session, pilot: str, version: int | None = None, who: str | None = None, why: str = ""
) -> None:
    """Make the version that waits there champion."""
    require_nobody(who)
    path = _waiting(session.remote, name_of(pilot), version)
    _answer(session, session.remote.post(f"{path}/approve", {"why": why}))


def reject(
    session: Session, pilot: str, version: int | None = None, who: str | None = None, why: str = ""
) -> None:
    """Turn down a version there."""
    require_nobody(who)
    path = _waiting(session.remote, name_of(pilot), version)
    done = session.remote.post(f"{path}/reject", {"why": why})
    document = {
        "pilot": done["pilot"],
        "version": done["version"],
        "state": "rejected",
        "who": (done["approval"] or {}).get("who"),
        "why": why,
    }
    session.output.answer(
        document,
        lambda console: console.print(f"Version {done['version']} of {done['pilot']} is rejected."),
    )


def _waiting(remote: Remote, name: str, version: int | None) -> str:
    """Path of a version; of the newest that waits when none is named."""
    if version is None:
        waiting = [item["version"] for item in remote.items("/approvals", 200, pilot=name, state="pending")]
        if not waiting:
            raise errors.NotFound(
                f"No version of `{name}` waits for approval.", remedy=f"`pilotage models {name}` lists them."
            )
        version = max(waiting)
    return f"/pilots/{segment(name)}/versions/{version}"


def _answer(session: Session, done: Mapping[str, Any]) -> None:
    document = {key: done[key] for key in ("pilot", "version", "replaced", "changed")}
    if done.get("releasing"):
        document["releasing"] = True
        text = here.told_of_release(done["pilot"], done["version"], changed=done["changed"])
    elif done.get("reason"):
        text = here.told_of_halt(done["pilot"], done["replaced"], done["version"])
    else:
        text = here.told(done["pilot"], done["version"], done["replaced"], changed=done["changed"])
    session.output.answer(document, lambda console: console.print(text))


def _registered(item: Mapping[str, Any]) -> Registered:
    return Registered(
        name=item["pilot"],
        version=item["version"],
        run=item["mlflow_run"],
        location="",
        created_at=datetime.fromisoformat(item["created_at"]),
        tags=item["tags"],
        aliases=tuple(item["aliases"]),
    )


def _scorecard(remote: Remote, registered: Registered) -> Scorecard | None:
    path = f"/pilots/{segment(registered.name)}/versions/{registered.version}/scorecard"
    try:
        return Scorecard.model_validate(remote.get(path))
    except errors.NotFound:
        return None
