"""The controller of rollouts: holds, takes the next step, takes the challenger back, or makes it champion.

Each look reads what servers counted since the step began and decides by that
alone, so it may be repeated, and killed, at any point: a decision is first
written to the rollout's one file, which servers obey, and then carried out in
steps that find out what was done already. One controller works at a time on a
machine; several machines meet in the registry, whose aliases have the last
word. What a person does to the aliases ends a rollout.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select

from pilotage.core import bounds, errors, rollouts
from pilotage.core.artifacts import Decision, Measured, Rollout, RolloutState, Stage
from pilotage.core.registry import Alias, Registry
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.pipelines import tables
from pilotage.pipelines.decisions import promotions
from pilotage.pipelines.journals import audits
from pilotage.pipelines.machines import locks, people
from pilotage.pipelines.readiness import limits

logger = logging.getLogger(__name__)

HALT = "halt"
"""What the audit calls taking a challenger back."""
_PATIENCE_SECONDS = 20.0
"""How long a person's word waits for a controller that is at work."""


class Move(StrEnum):
    """What becomes of a rollout now."""

    HOLD = "hold"
    NEXT = "next"
    COMPLETE = "complete"
    HALT = "halt"


@dataclass(frozen=True)
class Judgement:
    """What becomes of a rollout, and why."""

    move: Move
    reason: str
    measured: Measured | None = None


def judge(
    rollout: Rollout,
    aliases: Mapping[str, int],
    measured: Measured,
    halts: list[rollouts.Halt],
    now: datetime,
) -> Judgement:
    """What becomes of a running rollout, by what is known now; nothing is done."""
    reason = _alias_reason(rollout, aliases)
    if aliases.get(Alias.CHAMPION) == rollout.challenger:
        return Judgement(Move.COMPLETE, "it was promoted", measured)
    if reason:
        return Judgement(Move.HALT, reason, measured)
    if halts:
        return Judgement(Move.HALT, halts[0].reason, measured)
    if measured.beyond:
        return Judgement(Move.HALT, measured.beyond, measured)
    waits = _waits(rollout, measured, now)
    if waits:
        return Judgement(Move.HOLD, waits, measured)
    if rollout.step + 1 < len(rollout.steps):
        share = rollout.steps[rollout.step + 1]
        return Judgement(Move.NEXT, f"within all bounds, gets {share} % now", measured)
    return Judgement(Move.COMPLETE, "within all bounds in every step", measured)


def _alias_reason(rollout: Rollout, aliases: Mapping[str, int]) -> str:
    """Why the registry ends the rollout; empty while it does not."""
    champion, challenger = aliases.get(Alias.CHAMPION), aliases.get(Alias.CHALLENGER)
    if champion != rollout.champion:
        return "there is no champion any more" if champion is None else f"version {champion} became champion"
    if challenger != rollout.challenger:
        return "it is challenger no more" if challenger is None else f"version {challenger} took its place"
    return ""


def _waits(rollout: Rollout, measured: Measured, now: datetime) -> str:
    """What the step still waits for; empty when for nothing."""
    passed = (now - rollout.step_started_at).total_seconds()
    if passed < rollout.pause_seconds:
        return f"the step lasts {rollout.pause_seconds - passed:.0f} s more"
    for whose, found in (("the challenger", measured.requests), ("the champion", measured.champion_requests)):
        if found < rollout.min_requests:
            return f"{whose} answered {found} of the {rollout.min_requests} requests that a step takes"
    return ""


def find(settings: Settings, pilot: str) -> list[Rollout]:
    """A pilot's rollouts, newest first, with what was compared until now."""
    storage = Storage(settings.storage)
    return [
        rollout.model_copy(update={"measured": _measure(storage, rollout)}) if rollout.running else rollout
        for rollout in rollouts.find(storage, pilot)
    ]


def due(settings: Settings, pilot: str, now: datetime | None = None) -> bool:
    """Whether `settle` would do more than hold; light enough to be asked every second."""
    storage, moment = Storage(settings.storage), now or tables.now()
    open_ = [rollout for rollout in rollouts.find(storage, pilot) if rollout.ended_at is None]
    if not open_:
        return False
    aliases = Registry(settings).aliases(pilot)
    return any(
        not rollout.running or _judge(storage, rollout, aliases, moment).move is not Move.HOLD
        for rollout in open_
    )


def settle(pilot: str, settings: Settings, now: datetime | None = None) -> list[Rollout]:
    """Do what is due for the pilot's rollouts; returns those that it touched, as they are now.

    Nothing is done while another controller of this machine is at it.

    Raises:
        Unavailable: a store does not answer; the next look goes on where this one stopped.
    """
    storage, moment = Storage(settings.storage), now or tables.now()
    with locks.held(settings, _lock(pilot)) as mine:
        if not mine:
            return []
        open_ = [rollout for rollout in rollouts.find(storage, pilot) if rollout.ended_at is None]
        return [_settle(settings, storage, rollout, moment) for rollout in open_]


def _settle(settings: Settings, storage: Storage, rollout: Rollout, now: datetime) -> Rollout:
    if not rollout.running:
        return _finish(settings, storage, rollout, now)
    if now < rollout.step_started_at:  # the clock was put back: the step begins anew
        return _write(storage, rollout, step_started_at=now)
    judgement = _judge(storage, rollout, Registry(settings).aliases(rollout.pilot), now)
    if judgement.move is Move.NEXT:
        return _advance(storage, rollout, judgement, now)
    if judgement.move is Move.HALT:
        return _take_back(settings, storage, rollout, judgement, now)
    if judgement.move is Move.COMPLETE:
        return _complete(settings, storage, rollout, judgement, now)
    if judgement.measured != rollout.measured:
        return _write(storage, rollout, measured=judgement.measured, reason=judgement.reason)
    return rollout


def _judge(storage: Storage, rollout: Rollout, aliases: Mapping[str, int], now: datetime) -> Judgement:
    return judge(rollout, aliases, _measure(storage, rollout), rollouts.halts(storage, rollout), now)


def _measure(storage: Storage, rollout: Rollout) -> Measured:
    return bounds.measure(rollouts.compared(storage, rollout), rollout.bounds, rollout.min_requests)


def _write(storage: Storage, rollout: Rollout, **changes: object) -> Rollout:
    changed = rollout.model_copy(update=changes)
    rollouts.write(storage, changed)
    return changed


def _advance(storage: Storage, rollout: Rollout, judgement: Judgement, now: datetime) -> Rollout:
    over = Stage(
        share=rollout.share, started_at=rollout.step_started_at, ended_at=now, measured=judgement.measured
    )
    logger.info("%s version %d: %s", rollout.pilot, rollout.challenger, judgement.reason)
    return _write(
        storage,
        rollout,
        step=rollout.step + 1,
        step_started_at=now,
        stages=(*rollout.stages, over),
        measured=None,
        reason=judgement.reason,
    )


def _complete(
    settings: Settings, storage: Storage, rollout: Rollout, judgement: Judgement, now: datetime
) -> Rollout:
    why = f"rollout: {judgement.reason}"
    try:
        promotions.promote(
            settings,
            rollout.pilot,
            rollout.challenger,
            who=promotions.PLATFORM,
            why=why,
            action=str(Decision.PROMOTED),
        )
    except (errors.PromotionRefused, errors.NotFound) as error:
        if (
            limits.DETAIL in error.details
        ):  # the version is well; it goes on as it is until the pilot is ready
            return _write(
                storage, rollout, step_started_at=now, measured=judgement.measured, reason=error.message
            )
        refused = Judgement(Move.HALT, error.message, judgement.measured)
        return _take_back(settings, storage, rollout, refused, now)
    ended = _write(
        storage,
        rollout,
        state=RolloutState.COMPLETED,
        reason=judgement.reason,
        measured=judgement.measured,
    )
    return _finish(settings, storage, ended, now)


def _take_back(
    settings: Settings, storage: Storage, rollout: Rollout, judgement: Judgement, now: datetime
) -> Rollout:
    logger.warning("%s version %d is taken back: %s", rollout.pilot, rollout.challenger, judgement.reason)
    halted = _write(
        storage,
        rollout,
        state=RolloutState.HALTED,
        reason=judgement.reason,
        measured=judgement.measured or _measure(storage, rollout),
    )
    return _finish(settings, storage, halted, now)


def _finish(settings: Settings, storage: Storage, rollout: Rollout, now: datetime) -> Rollout:
    """Carry out the end that the record says; each part finds out whether it was done before."""
    registry = Registry(settings)
    tags = {rollouts.TAG: f"{rollout.state.value}: {rollout.reason}"}
    if rollout.state is RolloutState.HALTED:
        registry.withdraw(rollout.pilot, rollout.challenger)
        _audit_halt(settings, rollout)
        champion = registry.aliases(rollout.pilot).get(Alias.CHAMPION)
        if champion != rollout.challenger:
            refused = f"its rollout was halted: {rollout.reason}"
            tags |= {"pilotage.decision": Decision.REFUSED.value, "pilotage.reason": refused}
    if any(known.version == rollout.challenger for known in registry.versions(rollout.pilot)):
        registry.tag(rollout.pilot, rollout.challenger, tags)
    return _write(storage, rollout, ended_at=now)


def _audit_halt(settings: Settings, rollout: Rollout) -> None:
    """Keep once that the rollout was halted."""
    audit = tables.audit
    told = select(audit.c.id).where(
        audit.c.pilot == rollout.pilot, audit.c.version == rollout.challenger, audit.c.action == HALT
    )
    with tables.connect(settings).begin() as connection:
        if connection.execute(told).first() is None:
            audits.write(
                connection,
                HALT,
                rollout.pilot,
                rollout.ended_by or promotions.PLATFORM,
                rollout.reason,
                version=rollout.challenger,
                champion=rollout.champion,
                step=rollout.step,
            )


def halt(settings: Settings, pilot: str, *, who: str | None = None, why: str = "") -> Rollout | None:
    """Take back the challenger whose rollout goes on; None when none does.

    Raises:
        Unavailable: another controller does not let go, or a store does not answer.
    """
    storage = Storage(settings.storage)
    person = who or people.user()
    with locks.held(settings, _lock(pilot), _PATIENCE_SECONDS) as mine:
        if not mine:
            raise errors.Unavailable(
                f"Another process is busy with the rollout of `{pilot}`.", remedy="Try again in a minute."
            )
        rollout = rollouts.running(storage, pilot)
        if rollout is None:
            return None
        judgement = Judgement(Move.HALT, f"taken back by {person}" + (f": {why}" if why else ""))
        named = rollout.model_copy(update={"ended_by": person})
        return _take_back(settings, storage, named, judgement, tables.now())


def reject(
    settings: Settings, pilot: str, version: int | None = None, *, who: str | None = None, why: str = ""
) -> Rollout | None:
    """Take the challenger back and keep it out; None when it is not `version` whose rollout goes on."""
    going = rollouts.running(Storage(settings.storage), pilot)
    if going is None or version not in (None, going.challenger):
        return None
    person = who or people.user()
    halted = halt(settings, pilot, who=person, why=why)
    promotions.turn_down(settings, pilot, going.challenger, who=person, why=why)
    return halted


def _lock(pilot: str) -> str:
    return f"{pilot}-rollout"
