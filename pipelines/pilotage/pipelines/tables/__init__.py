"""The database's tables, and the way into it.

Only shapes, types and connections; what the rows mean is in the modules that
write them (`records`, `triggers`, `promotions`, `outbox`, …).
"""

from __future__ import annotations

from pilotage.pipelines.tables.access import (
    grants,
    idempotency_keys,
    oidc_requests,
    sign_in_attempts,
    sign_in_links,
    tokens,
    users,
    web_sessions,
)
from pilotage.pipelines.tables.bases import Instant, metadata
from pilotage.pipelines.tables.catalogue import pilots
from pilotage.pipelines.tables.connections import connect, finite, migrate, now, open_engine, require_current
from pilotage.pipelines.tables.decisions import approvals, audit
from pilotage.pipelines.tables.deleting import deletions
from pilotage.pipelines.tables.executions import cache_entries, runs, steps
from pilotage.pipelines.tables.readiness import readiness_notes, readiness_proofs, readiness_scores
from pilotage.pipelines.tables.releasing import transitions
from pilotage.pipelines.tables.retraining import alarms, snoozes, triggers
from pilotage.pipelines.tables.scheduling import leases, schedules
from pilotage.pipelines.tables.studying import studies
from pilotage.pipelines.tables.supervision import services
from pilotage.pipelines.tables.telling import deliveries, delivery_attempts, disabled_endpoints, outbox
from pilotage.pipelines.tables.transactions import IN_USE, lock, reading
from pilotage.pipelines.tables.usages import usages
from pilotage.pipelines.tables.watching import days, windows

__all__ = [
    "IN_USE",
    "Instant",
    "alarms",
    "approvals",
    "audit",
    "cache_entries",
    "connect",
    "days",
    "deletions",
    "deliveries",
    "delivery_attempts",
    "disabled_endpoints",
    "finite",
    "grants",
    "idempotency_keys",
    "leases",
    "lock",
    "metadata",
    "migrate",
    "now",
    "oidc_requests",
    "open_engine",
    "outbox",
    "pilots",
    "readiness_notes",
    "readiness_proofs",
    "readiness_scores",
    "reading",
    "require_current",
    "runs",
    "schedules",
    "services",
    "sign_in_attempts",
    "sign_in_links",
    "snoozes",
    "steps",
    "studies",
    "tokens",
    "transitions",
    "triggers",
    "usages",
    "users",
    "web_sessions",
    "windows",
]
