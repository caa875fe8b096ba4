"""The least readiness with which a version becomes champion or is released, and who asks for it.

pilot.yaml asks with a gate, `{metric: readiness, min: 2}`, wherever the pilot is promoted; the installation
asks with PILOTAGE_READINESS for an environment. Readiness is known where the database is, so steps judge
neither: what `register` would promote waits, and is promoted here. What was champion before may always go
back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine, select

from pilotage.core import errors
from pilotage.core.artifacts import Verdict
from pilotage.core.metrics import Measure
from pilotage.core.registry import Registered, Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import Approval, PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import catalogues
from pilotage.pipelines.readiness import judgements
from pilotage.pipelines.readiness.scores import Readiness

logger = logging.getLogger(__name__)

DETAIL = "readiness"
"""In the details of a refusal: the score."""
_SHOWN = 5
_CHAMPIONS = ("promoted", "promote", "approve")


@dataclass(frozen=True)
class Limit:
    """What is asked for, and by whom."""

    least: float
    source: str


def limit(settings: Settings, spec: PilotSpec | None, environment: str) -> Limit | None:
    """The highest readiness that is asked for; None where nobody asks."""
    found = []
    asked = [item.min for item in spec.decided_gates if item.min is not None] if spec is not None else []
    if asked:
        found.append(Limit(max(asked), f"pilot.yaml, gate readiness >= {max(asked):g}"))
    if environment in settings.readiness:
        least = settings.readiness[environment]
        found.append(Limit(least, f"PILOTAGE_READINESS, {environment}={least:g}"))
    return max(found, key=lambda item: item.least, default=None)


def verdict(found: Readiness, asked: Limit) -> Verdict:
    """A readiness as the verdict of a gate."""
    passed = found.score >= asked.least
    relation = "within the limits" if passed else f"below {asked.least:g} ({asked.source})"
    return Verdict(
        gate=f"{Measure.READINESS} >= {asked.least:g}",
        passed=passed,
        value=found.score,
        limit=asked.least,
        reason=f"{found.score:.4g} is {relation}" + ("" if passed else f"; {to_earn(found, asked.least)}"),
    )


def to_earn(found: Readiness, least: float) -> str:
    """Which tests would lift the sections that are below `least`."""
    parts = []
    for section in found.sections:
        if section.score < least:
            left = [test.id for test in section.tests if test.points < 1]
            more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
            parts.append(f"{section.name} has {section.score:g}, earn {', '.join(left[:_SHOWN])}{more}")
    return "; ".join(parts)


def require(
    settings: Settings, engine: Engine, registry: Registry, registered: Registered, environment: str
) -> None:
    """Do nothing if the version is ready enough for the environment, or was champion before.

    Raises:
        PromotionRefused: it is not; the message says which tests to earn.
    """
    found = judge(settings, engine, registry, registered, environment)
    if found is None or found.passed:
        return
    pilot = registered.name
    raise errors.PromotionRefused(
        f"Version {registered.version} of `{pilot}` is not ready for {environment}: {found.reason}.",
        remedy=f"`pilotage readiness {pilot}` says how to earn them; `--force` with a reason overrules that.",
        **{DETAIL: found.value, "limit": found.limit},
    )


def judge(
    settings: Settings, engine: Engine, registry: Registry, registered: Registered, environment: str
) -> Verdict | None:
    """What the limit says of a version; None where none is set or it was champion before."""
    spec = spec_of(engine, registered.name)
    asked = limit(settings, spec, environment)
    if asked is None or _was_champion(engine, registered):
        return None
    if spec is None:
        raise errors.PromotionRefused(
            f"How ready `{registered.name}` is for {environment} is not known: its"
            " pilot.yaml is not known here.",
            remedy="`pilotage readiness FOLDER` takes it in; `--force` with a reason does without.",
            **{DETAIL: None},
        )
    found = judgements.assess(settings, registered.name, registered.version, engine=engine, registry=registry)
    return verdict(found, asked)


def spec_of(engine: Engine, pilot: str) -> PilotSpec | None:
    """pilot.yaml as it was last read; None where it was never taken in."""
    with tables.reading(engine) as connection:
        try:
            return catalogues.get(connection, pilot).spec
        except errors.NotFound:
            return None


def waiting(settings: Settings, engine: Engine) -> list[tuple[str, int]]:
    """Versions that wait for nobody but their readiness: the newest of each pilot."""
    table = tables.approvals
    query = select(table.c.pilot, table.c.version).where(table.c.state == "pending")
    with tables.reading(engine) as connection:
        rows = connection.execute(query.order_by(table.c.pilot, table.c.version)).all()
        specs = {entry.name: entry.spec for entry in catalogues.entries(connection)} if rows else {}
    newest = {row.pilot: row.version for row in rows}
    return [
        (pilot, version)
        for pilot, version in newest.items()
        if (spec := specs.get(pilot)) is not None
        and spec.approval is Approval.AUTO
        and limit(settings, spec, settings.release_environment) is not None
    ]


def catch_up(settings: Settings, engine: Engine, promote: Callable[[str, int], object]) -> None:
    """Promote what waits for its readiness, if it is ready by now; `promote` asks."""
    for pilot, version in waiting(settings, engine):
        try:
            promote(pilot, version)
        except errors.LeaseLost:
            raise
        except errors.PilotageError as error:
            logger.info("version %d of %s waits on: %s", version, pilot, error.message)


def _was_champion(engine: Engine, registered: Registered) -> bool:
    table = tables.audit
    query = select(table.c.id).where(
        table.c.pilot == registered.name,
        table.c.version == registered.version,
        table.c.action.in_(_CHAMPIONS),
    )
    with tables.reading(engine) as connection:
        return connection.execute(query.limit(1)).first() is not None
