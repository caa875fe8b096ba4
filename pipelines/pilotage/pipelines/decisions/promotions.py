"""Who made which version champion, and why: promotions, rollbacks, and what people say to approvals.

The registry moves the alias; the audit record is written in the same breath.
Everything here may be repeated: what is so already is left so. Gates are
judged in `register`, and releases to other environments are not made here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, insert, select

from pilotage.core import errors
from pilotage.core.artifacts import Decision
from pilotage.core.registry import Alias, Registered, Registry
from pilotage.core.registry.tags import DECISION_TAG, REASON_TAG, RUN_TAG
from pilotage.core.settings import ClusterAccess, Settings
from pilotage.pipelines import tables
from pilotage.pipelines.decisions import approvals
from pilotage.pipelines.decisions.approvals import Approval, ApprovalState
from pilotage.pipelines.journals import audits
from pilotage.pipelines.machines import people
from pilotage.pipelines.readiness import limits
from pilotage.pipelines.transitions import requests

PLATFORM = "pilotage"
"""Who promotes when gates pass and no approval is asked for."""


@dataclass(frozen=True)
class Promotion:
    """What moving the champion came to."""

    pilot: str
    version: int
    """Champion now."""
    replaced: int | None
    """Champion before, if that was another."""
    changed: bool
    """False when everything was so already."""
    releasing: bool = False
    """It becomes champion later: when the cluster runs it, see `transitions`."""
    taken_back: str = ""
    """Why the release of `replaced` was ended, when that is what was done."""


def promote(
    settings: Settings,
    pilot: str,
    version: int,
    *,
    who: str | None = None,
    why: str = "",
    force: bool = False,
    action: str = "promote",
) -> Promotion:
    """Make `version` champion; the audit calls it `action`.

    Where releases are committed it is released, and champion later. Of one that is committed already, and
    that no cluster is watched for or whose champion is forced, it is taken that it is live.

    Raises:
        NotFound: there is no such version.
        Forbidden: PILOTAGE_FOUR_EYES is set, and `who` asked for the run that made it.
        PromotionRefused: its gates or a person said no, or the pilot is not ready, and it is not forced.
        Conflict: a release is under way, and these settings do not say where to.
    """
    registry, engine = Registry(settings), tables.connect(settings)
    registered = registry.version(pilot, version)
    champion = registry.aliases(pilot).get(Alias.CHAMPION)
    if champion == version:
        return Promotion(pilot, version, None, changed=False)
    person = who or people.user()
    _require_other(settings, engine, registered, person)
    if not force:
        _check_allowed(engine, registry, pilot, version)
        limits.require(settings, engine, registry, registered, settings.release_environment)
    if settings.release_to:
        return _release(settings, engine, registered, champion, person, why, action, force=force)
    _require_none_under_way(settings, engine, pilot)
    registry.client  # noqa: B018 - MLflow's import and start must not happen inside the transaction
    with engine.begin() as connection:
        audits.write(connection, action, pilot, person, why, version=version, replaced=champion, forced=force)
        approvals.decide(connection, pilot, version, ApprovalState.APPROVED, person, why)
        registry.promote(pilot, registered.version)
        _tag(registry, pilot, version, Decision.PROMOTED, person, why)
    return Promotion(pilot, version, champion, changed=True)


def rollback(settings: Settings, pilot: str, *, who: str | None = None, why: str = "") -> Promotion:
    """Make the previous champion champion again; where releases are committed, end one that is under way.

    Asked again while that goes on, it changes nothing.

    Raises:
        NotFound: there is none to go back to.
        Conflict: what is under way becomes champion at this moment.
    """
    registry, engine = Registry(settings), tables.connect(settings)
    aliases = registry.aliases(pilot)
    ended = _withdraw(settings, engine, aliases, pilot, None, who, why, Decision.REFUSED)
    if ended is not None:
        return ended
    champion, previous = aliases.get(Alias.CHAMPION), aliases.get(Alias.PREVIOUS)
    if previous is None or previous == champion:
        raise errors.NotFound(
            f"Pilot `{pilot}` has no previous champion to go back to.",
            remedy=f"`pilotage promote {pilot} VERSION` makes any version champion.",
            pilot=pilot,
        )
    if settings.release_to:
        registered, person = registry.version(pilot, previous), who or people.user()
        return _release(settings, engine, registered, champion, person, why, requests.ROLLBACK)
    registry.client  # noqa: B018 - see promote
    with engine.begin() as connection:
        audits.write(
            connection, "rollback", pilot, who or people.user(), why, version=previous, replaced=champion
        )
        registry.rollback(pilot)
    return Promotion(pilot, previous, champion, changed=True)


def approve(
    settings: Settings, pilot: str, version: int | None = None, *, who: str | None = None, why: str = ""
) -> Promotion:
    """Say yes to the version that waits (the newest when none is named) and make it champion.

    Raises:
        NotFound: nothing waits, or not this version.
        Forbidden: PILOTAGE_FOUR_EYES is set, and `who` asked for the run that made it.
        PromotionRefused: it was rejected before, or the pilot is not ready.
    """
    registry, engine = Registry(settings), tables.connect(settings)
    asked = approvals.asked(engine, pilot, version)
    champion = registry.aliases(pilot).get(Alias.CHAMPION)
    if asked.state is ApprovalState.REJECTED:
        raise errors.PromotionRefused(
            f"Version {asked.version} of `{pilot}` was rejected by {asked.who}.",
            remedy=f"`pilotage promote {pilot} {asked.version} --force` overrules that.",
        )
    if asked.state is ApprovalState.APPROVED and champion == asked.version:
        return Promotion(pilot, asked.version, None, changed=False)
    person = who or people.user()
    registered = registry.version(pilot, asked.version)
    _require_other(settings, engine, registered, person)
    limits.require(settings, engine, registry, registered, settings.release_environment)
    if settings.release_to:
        return _release(settings, engine, registered, champion, person, why, "approve")
    _require_none_under_way(settings, engine, pilot)
    registry.client  # noqa: B018 - see promote
    with engine.begin() as connection:
        audits.write(connection, "approve", pilot, person, why, version=asked.version, replaced=champion)
        approvals.decide(connection, pilot, asked.version, ApprovalState.APPROVED, person, why)
        registry.promote(pilot, asked.version)
        _tag(registry, pilot, asked.version, Decision.PROMOTED, person, why)
    return Promotion(pilot, asked.version, champion if champion != asked.version else None, changed=True)


def reject(
    settings: Settings, pilot: str, version: int | None = None, *, who: str | None = None, why: str = ""
) -> Approval:
    """Say no to the version that waits (the newest when none is named), or whose release is under way.

    Raises:
        NotFound: nothing waits, or not this version.
        PromotionRefused: it was approved before.
        Conflict: it becomes champion at this moment.
    """
    registry, engine = Registry(settings), tables.connect(settings)
    ended = _withdraw(settings, engine, {}, pilot, version, who, why, Decision.REJECTED)
    if ended is not None and ended.replaced is not None:
        with engine.begin() as connection:
            person = who or people.user()
            approvals.keep_out(connection, pilot, ended.replaced, who=person, why=why)
        return approvals.asked(engine, pilot, ended.replaced)
    asked = approvals.asked(engine, pilot, version)
    if asked.state is ApprovalState.APPROVED:
        raise errors.PromotionRefused(
            f"Version {asked.version} of `{pilot}` was approved by {asked.who} already.",
            remedy=f"`pilotage rollback {pilot}` takes it out of service.",
        )
    if asked.state is ApprovalState.PENDING:
        person = who or people.user()
        registry.client  # noqa: B018 - see promote
        with engine.begin() as connection:
            audits.write(connection, "reject", pilot, person, why, version=asked.version)
            approvals.decide(connection, pilot, asked.version, ApprovalState.REJECTED, person, why)
            _tag(registry, pilot, asked.version, Decision.REJECTED, person, why)
            registry.withdraw(pilot, asked.version)
    return approvals.asked(engine, pilot, asked.version)


def turn_down(settings: Settings, pilot: str, version: int, *, who: str, why: str = "") -> None:
    """Keep `version`, which nobody was asked about, from being promoted but by force; once."""
    with tables.connect(settings).begin() as connection:
        if approvals.keep_out(connection, pilot, version, who=who, why=why):
            audits.write(connection, "reject", pilot, who, why, version=version)


def require_releasable(
    settings: Settings, registered: Registered, environment: str, *, who: str, force: bool = False
) -> None:
    """Raise unless `who` may make this version live in an environment; the rules are those of `promote`.

    Raises:
        Forbidden: PILOTAGE_FOUR_EYES is set, and `who` asked for the run that made it.
        PromotionRefused: its gates or a person said no, or nobody has said yes yet, and it is not forced.
    """
    registry, engine = Registry(settings), tables.connect(settings)
    pilot, version = registered.name, registered.version
    _require_other(settings, engine, registered, who)
    if force:
        return
    _check_allowed(engine, registry, pilot, version)
    limits.require(settings, engine, registry, registered, environment)
    held = approvals.of(settings, pilot, version)
    if held is not None and held.state is ApprovalState.PENDING:
        raise errors.PromotionRefused(
            f"Version {version} of `{pilot}` waits for an approval.",
            remedy=f"`pilotage approve {pilot} {version}` gives it; `--force` with a reason does without.",
        )
    if registered.tags.get(DECISION_TAG) == Decision.REFUSED:
        reason = registered.tags.get(REASON_TAG, "")
        raise errors.PromotionRefused(
            f"Version {version} of `{pilot}` was refused when it was registered: {reason}.",
            remedy="Train a better one, or overrule that with `--force` and a reason.",
        )


def _tag(registry: Registry, pilot: str, version: int, decision: Decision, who: str, why: str) -> None:
    """Note a person's decision on the version itself, where a repeated registration finds it."""
    verb = "approved" if decision is Decision.PROMOTED else "rejected"
    reason = f"{verb} by {who}" + (f": {why}" if why else "")
    registry.tag(pilot, version, {DECISION_TAG: decision.value, REASON_TAG: reason})


def record_decision(
    engine: Engine, pilot: str, version: int, decision: Decision, run: str, reason: str, replaced: int | None
) -> None:
    """Keep, once, what `register` decided: in the audit, and as a question when a person is to decide.

    What is to be released is found by `transitions`, which keep that.
    """
    if decision is Decision.RELEASING:
        return
    table, audit = tables.approvals, tables.audit
    told = select(audit.c.id).where(
        audit.c.pilot == pilot,
        audit.c.version == version,
        audit.c.who == PLATFORM,
        audit.c.action == str(decision),
    )
    with engine.begin() as connection:
        if connection.execute(told).first() is not None:
            return
        audits.write(
            connection, str(decision), pilot, PLATFORM, reason, version=version, run=run, replaced=replaced
        )
        if decision is Decision.PENDING:
            row = {
                "pilot": pilot,
                "version": version,
                "state": ApprovalState.PENDING,
                "run": run,
                "asked_at": tables.now(),
            }
            connection.execute(insert(table), row)


def _release(
    settings: Settings,
    engine: Engine,
    registered: Registered,
    champion: int | None,
    person: str,
    why: str,
    action: str,
    *,
    force: bool = False,
) -> Promotion:
    """Let a version be released on a person's word.

    Of one that is committed `promote` says that it is live; an approval or a rollback that is sent twice
    says no such thing.
    """
    pilot, version, environment = registered.name, registered.version, settings.release_environment
    confirms = action == "promote" and (force or settings.cluster is ClusterAccess.NONE)
    if confirms and requests.confirm(
        engine, pilot, environment, version, who=person, why=why, replaced=champion
    ):
        return Promotion(pilot, version, champion, changed=True, releasing=True)
    wish = requests.Wish(
        pilot=pilot,
        version=version,
        environment=environment,
        action=action,
        who=person,
        why=why,
        run=registered.tags.get(RUN_TAG),
        forced=force,
    )
    with engine.begin() as connection:
        changed = requests.ask(connection, wish)
        approvals.decide(connection, pilot, version, ApprovalState.APPROVED, person, why)
    return Promotion(pilot, version, champion, changed=changed, releasing=True)


def _withdraw(
    settings: Settings,
    engine: Engine,
    aliases: Mapping[str, int],
    pilot: str,
    version: int | None,
    who: str | None,
    why: str,
    outcome: Decision,
) -> Promotion | None:
    """Take back the release that is under way; None when none is, or not of `version`."""
    person = who or people.user()
    environment = settings.release_environment
    ended = requests.withdraw(engine, pilot, environment, version, who=person, why=why, outcome=outcome.value)
    if ended is None:
        return None
    champion = aliases.get(Alias.CHAMPION, 0)
    if ended.action == requests.ROLLBACK and version is None:
        return Promotion(pilot, ended.version, champion or None, changed=False, releasing=True)
    reason = f"taken back by {person}" + (f": {why}" if why else "")
    return Promotion(pilot, champion, ended.version, changed=True, taken_back=reason)


def _require_none_under_way(settings: Settings, engine: Engine, pilot: str) -> None:
    """Move no alias by hand, where this process would not tell git, while another one releases the pilot.

    Raises:
        Conflict: one is under way.
    """
    going = requests.going(engine, pilot, settings.release_environment)
    if going is not None:
        raise errors.Conflict(
            f"Version {going.version} of `{pilot}` is being released to {going.environment},"
            " and PILOTAGE_RELEASE_TO is not set here.",
            remedy="Set it as it is for the console, or let the console do it (PILOTAGE_URL);"
            f" `pilotage rollback {pilot}` takes that release back.",
            version=going.version,
        )


def _check_allowed(engine: Engine, registry: Registry, pilot: str, version: int) -> None:
    table = tables.approvals
    with tables.reading(engine) as connection:
        row = connection.execute(
            select(table).where(table.c.pilot == pilot, table.c.version == version)
        ).first()
    if row is not None and row.state == ApprovalState.REJECTED:
        raise errors.PromotionRefused(
            f"Version {version} of `{pilot}` was rejected by {row.who}.", remedy="`--force` overrules that."
        )
    scorecard = registry.scorecard(registry.version(pilot, version))
    failed = [verdict for verdict in scorecard.gates if not verdict.passed]
    if failed:
        reasons = "; ".join(f"{verdict.gate}: {verdict.reason}" for verdict in failed)
        raise errors.PromotionRefused(
            f"Version {version} of `{pilot}` did not pass its gates: {reasons}.",
            remedy="Train a better one, change the gates in pilot.yaml, or overrule them with `--force`.",
            gates=[verdict.gate for verdict in failed],
        )


def _require_other(settings: Settings, engine: Engine, registered: Registered, person: str) -> None:
    """Four eyes, where the installation wants them: who asked for a run does not decide about its version.

    Raises:
        Forbidden: they are the same.
    """
    run = registered.tags.get(RUN_TAG)
    if not settings.four_eyes or run is None:
        return
    with tables.reading(engine) as connection:
        asked_by = connection.scalar(select(tables.runs.c.asked_by).where(tables.runs.c.id == run))
    if asked_by == person:
        raise errors.Forbidden(
            f"`{person}` asked for the run that made this version, and may not decide about it.",
            remedy="Somebody else who may approve decides; PILOTAGE_FOUR_EYES asks for two people.",
            asked_by=asked_by,
        )
