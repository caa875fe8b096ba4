"""Finds versions that `register` decided to release, where it had no database to say so.

The decision is on the version itself, in MLflow; that a transition was made of it
is in the database. What is tagged and has none gets one, whoever died in between.
"""

from __future__ import annotations

from sqlalchemy import Engine, select

from pilotage.core.artifacts import Decision
from pilotage.core.registry import Registry
from pilotage.core.registry.clients import RUN_TAG
from pilotage.core.registry.versions import DECISION_TAG, REASON_TAG
from pilotage.pipelines import tables
from pilotage.pipelines.machines import leases
from pilotage.pipelines.machines.leases import Lease
from pilotage.pipelines.transitions import requests
from pilotage.pipelines.transitions.requests import Wish


def discover(engine: Engine, registry: Registry, environment: str, who: str, lease: Lease | None) -> int:
    """Begin what was decided; returns how many transitions that made.

    Args:
        engine: the database.
        registry: where the decisions are.
        environment: where they are released to.
        who: named as the one who asked.
        lease: the leader's. None where nobody else can be.

    Raises:
        LeaseLost: another process leads.
        Unavailable: the registry does not answer.
    """
    decided = registry.tagged(DECISION_TAG, Decision.RELEASING.value)
    table = tables.transitions
    query = select(table.c.pilot, table.c.version).where(
        table.c.pilot.in_({pilot for pilot, _ in decided}), table.c.environment == environment
    )
    with tables.reading(engine) as connection:
        known = {(row.pilot, row.version) for row in connection.execute(query)}
    count = 0
    for pilot, version in decided:
        if (pilot, version) in known:
            continue
        tags = registry.version(pilot, version).tags
        wish = Wish(
            pilot=pilot,
            version=version,
            environment=environment,
            action=requests.PROMOTED,
            who=who,
            why=tags.get(REASON_TAG, ""),
            run=tags.get(RUN_TAG),
        )
        with engine.begin() as connection:
            leases.require(connection, lease)
            count += requests.ask(connection, wish)
    return count
