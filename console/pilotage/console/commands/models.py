"""`models`, `promote`, `rollback`, `approve` and `reject`: versions and who made which champion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilotage.console.commands import releases as releases_commands
from pilotage.console.commands.arguments import (
    NameArgument,
    VersionArgument,
    WhoOption,
    WhyOption,
    name_of,
    versions_of,
)
from pilotage.console.commands.releases import BranchOption, ReasonOption, ToOption
from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from pilotage.core.artifacts import Rollout, Scorecard
    from pilotage.core.registry import Registered, Registry
    from pilotage.pipelines.decisions.promotions import Promotion

OptionalVersion = Annotated[
    int | None, typer.Argument(metavar="[VERSION]", min=1, help="The newest that waits when left out.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for name, function in (
        ("models", models),
        ("promote", promote),
        ("rollback", rollback),
        ("approve", approve),
        ("reject", reject),
    ):
        command(app, name, f"pilotage.console.remotes.models:{name}")(function)


def models(session: Session, pilot: NameArgument) -> None:
    """Versions of a pilot with their aliases and scorecards.

    Form `ready` means that servers answer from the compiled model; --json says why one was refused.
    """
    from pilotage.console.views import models as views
    from pilotage.core.registry import Registry

    name = name_of(pilot)
    registry = Registry(session.settings)
    found = versions_of(registry, name)
    scorecards = {item.version: _scorecard(registry, item) for item in found}
    document = {
        "pilot": name,
        "versions": [document_of(item, scorecards[item.version]) for item in found],
    }
    session.output.answer(document, lambda console: views.show_versions(console, found, scorecards))


def promote(
    session: Session,
    pilot: NameArgument,
    version: VersionArgument,
    force: Annotated[bool, typer.Option("--force", help="Overrule gates and a rejection.")] = False,
    who: WhoOption = None,
    why: WhyOption = "",
) -> None:
    """Make a version champion at once.

    Model servers follow. A rollout of this version ends without its remaining steps. Where
    PILOTAGE_RELEASE_TO names a repository it is released, and champion when the cluster runs it;
    of one that is committed, --force (or that no cluster is watched) takes your word that it is live.
    """
    from pilotage.pipelines.decisions import promotions, rollouts

    name = name_of(pilot)
    done = promotions.promote(session.settings, name, version, who=who, why=why, force=force)
    rollouts.settle(name, session.settings)
    _answer(session, done)


def rollback(
    session: Session,
    pilot: NameArgument,
    environment: Annotated[
        str | None, typer.Option("--env", help="Take the release to this environment back, in git.")
    ] = None,
    to: ToOption = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="With --env: nothing is done where git says another version.")
    ] = None,
    branch: BranchOption = None,
    who: WhoOption = None,
    why: ReasonOption = "",
) -> None:
    """End a rollout, or bring back the champion before.

    While a version is being rolled out it is taken back; otherwise the previous champion is champion again.
    With --env, git says of that environment what it said before its last release, and champions stay.
    """
    from pilotage.pipelines import releases
    from pilotage.pipelines.decisions import promotions, rollouts

    name = name_of(pilot)
    if environment is not None:
        settings = releases_commands.changed(session.settings, to, branch)
        done = releases.revert(settings, name, environment=environment, by=who, reason=why, version=version)
        releases_commands.answer(session, releases_commands.document_of(done))
        return
    require_no_environment(to, version, branch)
    halted = rollouts.halt(session.settings, name, who=who, why=why)
    if halted is not None:
        _answer_halted(session, halted)
    else:
        _answer(session, promotions.rollback(session.settings, name, who=who, why=why))


def require_no_environment(to: str | None, version: int | None, branch: bool | None) -> None:
    """Raise SettingsError when an option was given that is for git, and no environment."""
    from pilotage.core import errors

    if to is not None or version is not None or branch is not None:
        raise errors.SettingsError(
            "`--to`, `--version` and `--branch` are for a release in git, and no environment is named.",
            remedy="Name it with `--env`; without, a rollback is about champions.",
        )


def approve(
    session: Session,
    pilot: NameArgument,
    version: OptionalVersion = None,
    who: WhoOption = None,
    why: WhyOption = "",
) -> None:
    """Make the version that waits for approval champion."""
    from pilotage.pipelines.decisions import promotions

    _answer(session, promotions.approve(session.settings, name_of(pilot), version, who=who, why=why))


def reject(
    session: Session,
    pilot: NameArgument,
    version: OptionalVersion = None,
    who: WhoOption = None,
    why: WhyOption = "",
) -> None:
    """Turn down a version that waits or is being rolled out."""
    from pilotage.pipelines.decisions import promotions, rollouts

    name = name_of(pilot)
    halted = rollouts.reject(session.settings, name, version, who=who, why=why)
    if halted is not None:
        _answer_halted(session, halted)
        return
    done = promotions.reject(session.settings, name, version, who=who, why=why)
    document = {
        "pilot": done.pilot,
        "version": done.version,
        "state": done.state.value,
        "who": done.who,
        "why": done.why,
    }
    session.output.answer(
        document,
        lambda console: console.print(f"Version {done.version} of {done.pilot} is {done.state.value}."),
    )


def _answer_halted(session: Session, halted: Rollout) -> None:
    document = {
        "pilot": halted.pilot,
        "version": halted.champion,
        "replaced": halted.challenger,
        "changed": True,
        "state": halted.state.value,
        "reason": halted.reason,
    }
    text = told_of_halt(halted.pilot, halted.challenger, halted.champion)
    session.output.answer(document, lambda console: console.print(text))


def _answer(session: Session, done: Promotion) -> None:
    document: dict[str, Any] = {
        "pilot": done.pilot,
        "version": done.version,
        "replaced": done.replaced,
        "changed": done.changed,
    }
    text = told(done.pilot, done.version, done.replaced, changed=done.changed)
    if done.releasing:
        document["releasing"] = True
        text = told_of_release(done.pilot, done.version, changed=done.changed)
    elif done.taken_back:
        document["reason"] = done.taken_back
        text = told_of_halt(done.pilot, done.replaced, done.version)
    session.output.answer(document, lambda console: console.print(text))


def told(pilot: str, version: int, replaced: int | None, *, changed: bool) -> str:
    """What became of the champion, in words."""
    if not changed:
        return f"Version {version} of {pilot} is champion already."
    if replaced is None:
        return f"Version {version} of {pilot} is champion now."
    return f"Version {version} of {pilot} is champion now, in place of {replaced}."


def told_of_release(pilot: str, version: int, *, changed: bool) -> str:
    """That a version is on its way into a cluster, in words."""
    begun = "is released" if changed else "is on its way already"
    return (
        f"Version {version} of {pilot} {begun}; it becomes champion when the cluster runs it."
        f" `pilotage rollouts {pilot}` shows where it stands."
    )


def told_of_halt(pilot: str, version: int | None, champion: int) -> str:
    """That a version is taken back on its way, in words."""
    stays = f"version {champion} stays champion" if champion else "there is no champion"
    return f"The rollout of version {version} of {pilot} is halted; {stays}."


def _scorecard(registry: Registry, registered: Registered) -> Scorecard | None:
    from pilotage.core import errors

    try:
        return registry.scorecard(registered)
    except errors.PilotageError:
        return None  # a version that something else registered, or whose files are gone


def document_of(registered: Registered, scorecard: Scorecard | None) -> dict[str, Any]:
    """A version as `--json` prints it."""
    found = scorecard.metrics.get(scorecard.metric) if scorecard else None
    return {
        "version": registered.version,
        "aliases": list(registered.aliases),
        "created_at": registered.created_at.isoformat(),
        "mlflow_run": registered.run,
        "tags": registered.tags,
        "metric": scorecard.metric if scorecard else None,
        "value": found.value if found else None,
        "low": found.low if found else None,
        "high": found.high if found else None,
        "metrics": {key: item.value for key, item in scorecard.metrics.items()} if scorecard else {},
        "gates": [gate.model_dump(mode="json") for gate in scorecard.gates] if scorecard else [],
        "snapshot": scorecard.snapshot if scorecard else None,
    }
