"""What the runs of a pilot may use in a calendar month, and whether it is used up.

Counted are all its runs and studies, also those that persons started; only retrainings that
start by themselves wait, and a person may start one still. Months are those of the clock, in UTC.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from pilotage.core.costs import estimates, prices
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.core.specs.retraining import Monthly
from pilotage.pipelines.decisions import promotions
from pilotage.pipelines.journals import audits, outbox, usages
from pilotage.pipelines.journals.outbox import Kind

logger = logging.getLogger(__name__)

_HOUR = 3600.0


@dataclass(frozen=True)
class Share:
    """One limit, and how much of it is used."""

    what: str
    """`cost`, `cpu_hours` or `gpu_hours`."""
    unit: str
    used: float
    limit: float

    @property
    def spent(self) -> bool:
        return self.used >= self.limit


@dataclass(frozen=True)
class Month:
    """What a pilot used in the month that some moment is in."""

    pilot: str
    begin: datetime
    end: datetime
    shares: tuple[Share, ...]

    @property
    def reason(self) -> str:
        """Why retrainings wait, in a sentence; empty while they need not."""
        spent = [f"{part.used:.4g} of {part.limit:g} {part.unit}" for part in self.shares if part.spent]
        if not spent:
            return ""
        return f"the runs of {self.begin:%B %Y} used {' and '.join(spent)}, what `retrain.monthly` allows"


def month_of(moment: datetime) -> tuple[datetime, datetime]:
    """Begin and end of the month, in UTC."""
    begin = moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return begin, begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)


def limits(settings: Settings, spec: PilotSpec) -> Monthly | None:
    """What pilot.yaml allows; where it says nothing, what the installation allows every pilot."""
    if spec.retrain.monthly is not None or not settings.monthly_budget:
        return spec.retrain.monthly
    return Monthly(cost=settings.monthly_budget)


def look(connection: Connection, settings: Settings, spec: PilotSpec, clock: datetime) -> Month:
    """How much of its month's limits a pilot has used."""
    begin, end = month_of(clock)
    allowed = limits(settings, spec)
    if allowed is None:
        return Month(spec.pilot, begin, end, ())
    used = [record.usage for record in usages.of_pilot(connection, spec.pilot, begin, end)]
    shares = []
    if allowed.cost is not None:
        table = prices.load(settings)
        if table is None:
            logger.warning(
                "%s has a budget in money and there are no prices: set PILOTAGE_PRICES", spec.pilot
            )
        else:
            paid = [
                prices.price(table, part, estimates.energy_of(settings, part)[0] if table.kwh else None)
                for part in used
            ]
            shares.append(Share("cost", table.currency, sum(part.total for part in paid), allowed.cost))
    if allowed.cpu_hours is not None:
        hours = sum(part.cpu_seconds for part in used) / _HOUR
        shares.append(Share("cpu_hours", "CPU hours", hours, allowed.cpu_hours))
    if allowed.gpu_hours is not None:
        hours = sum(part.gpu_seconds for part in used) / _HOUR
        shares.append(Share("gpu_hours", "GPU hours", hours, allowed.gpu_hours))
    return Month(spec.pilot, begin, end, tuple(shares))


def refuse(connection: Connection, settings: Settings, spec: PilotSpec, clock: datetime) -> Month | None:
    """The month if a retraining may not start in it by itself, which is told once a month; else None."""
    month = look(connection, settings, spec, clock)
    if not month.reason:
        return None
    event = f"budget_{spec.pilot}_{month.begin:%Y_%m}"
    if event not in outbox.events(connection, spec.pilot, Kind.BUDGET_SPENT):
        data: dict[str, Any] = {
            "pilot": spec.pilot,
            "month": f"{month.begin:%Y-%m}",
            "reason": month.reason,
            "used": {part.what: part.used for part in month.shares},
            "limits": {part.what: part.limit for part in month.shares},
            "until": month.end.isoformat(),
        }
        subject = f"budget/{month.begin:%Y-%m}"
        outbox.emit(connection, Kind.BUDGET_SPENT, spec.pilot, subject, data, event=event)
        audits.write(connection, "budget-spent", spec.pilot, promotions.PLATFORM, month.reason)
        logger.warning("%s is not trained again before %s: %s", spec.pilot, month.end.date(), month.reason)
    return month
