"""What a run and a pilot cost: time, memory, energy, CO2 and money, by month, by kind and by step.

Used are the rows that runs and studies left and the windows of served traffic; energy and prices are
worked out anew each time, so that a corrected table of prices corrects all that was. What is
not known is said to be, and nothing is made up for it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, Row, select

from pilotage.console.access.actors import Actor
from pilotage.console.operations import specs
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.execution import savings
from pilotage.console.operations.execution.runs import find_run
from pilotage.console.operations.execution.savings import Advice, Served
from pilotage.console.operations.listings import Model
from pilotage.core import errors
from pilotage.core.artifacts import Usage
from pilotage.core.costs import estimates, prices
from pilotage.core.costs.estimates import Bill
from pilotage.core.costs.prices import Prices
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.core.storage import Storage
from pilotage.pipelines import tables
from pilotage.pipelines.journals import usages
from pilotage.pipelines.journals.usages import Kind, Record
from pilotage.pipelines.retraining import budgets

_MOST_SNAPSHOTS = 500
_MANIFEST = "manifest.json"

Name = Callable[[Record], str]


class PartCost(Model):
    """What a part of a run cost, all its attempts together."""

    part: str
    """A step, or `platform`: the process that carries the run out, and what steps' processes import."""
    attempts: int
    bill: Bill


class RunCost(Model):
    """What one run cost."""

    run: str
    pilot: str
    total: Bill | None
    """Null where nothing is known of what it used."""
    parts: tuple[PartCost, ...]


class Group(Model):
    """What belongs together, and what it cost."""

    name: str
    count: int
    """Runs or studies of it."""
    bill: Bill


class Serving(Model):
    """What predictions cost, from the windows that the monitor closed."""

    rows: int
    requests: int
    cpu_seconds: float
    per_thousand: Bill | None
    """A thousand rows; null where the servers did not tell, or none was served."""
    peak_memory_bytes: int
    """Most memory that one server process had."""


class MonthCost(Model):
    """A calendar month, in UTC."""

    month: str
    """As 2026-11."""
    runs: int
    """Without studies."""
    training: Bill | None
    """Of runs and studies."""
    serving: Serving | None


class BudgetShare(Model):
    """A limit of the month and how much of it is used."""

    what: str
    unit: str
    used: float
    limit: float


class Budget(Model):
    """What runs may use in this month."""

    month: str
    until: datetime
    shares: tuple[BudgetShare, ...]
    spent: str
    """Why retrainings wait; empty while they need not."""


class Costs(Model):
    """What a pilot cost."""

    pilot: str
    since: datetime | None
    until: datetime | None
    prices: Prices | None
    """Null where PILOTAGE_PRICES is not set: then all is told in hours."""
    total: Bill | None
    """Of runs and studies."""
    by_month: tuple[MonthCost, ...]
    """Newest first."""
    by_kind: tuple[Group, ...]
    by_part: tuple[Group, ...]
    """The dearest first."""
    serving: Serving | None
    stored_bytes: int
    """Of the snapshots that its runs used."""
    stored_cost_per_month: float | None
    budget: Budget | None
    advice: tuple[Advice, ...]


def get_run_cost(desk: Desk, actor: Actor, run: str) -> RunCost:
    """What one run cost.

    Raises:
        NotFound: there is no such run for this actor.
    """
    row = find_run(desk, actor, run)
    return run_cost(desk.settings, row.id, row.pilot, usages.of_subject(desk.engine, row.id))


def run_cost(settings: Settings, run: str, pilot: str, records: Sequence[Record]) -> RunCost:
    """What these records come to."""
    bills = {record: estimates.bill(settings, record.usage) for record in records}
    parts: dict[str, list[Bill]] = defaultdict(list)
    for record, bill in bills.items():
        parts[record.part].append(bill)
    return RunCost(
        run=run,
        pilot=pilot,
        total=_together(bills),
        parts=tuple(
            PartCost(part=name, attempts=len(held), bill=estimates.together(held))
            for name, held in parts.items()
        ),
    )


def get_costs(
    desk: Desk, actor: Actor, pilot: str, *, since: datetime | None = None, until: datetime | None = None
) -> Costs:
    """What a pilot cost from `since` to before `until`.

    Raises:
        NotFound: it is not there, or not for this actor.
        SettingsError: the table of prices is wrong.
    """
    return count(desk, specs.find(desk, actor, pilot), since=since, until=until)


def count(
    desk: Desk, spec: PilotSpec, *, since: datetime | None = None, until: datetime | None = None
) -> Costs:
    """As `get_costs`, of a pilot whose pilot.yaml is at hand."""
    settings, pilot = desk.settings, spec.pilot
    table = prices.load(settings)
    with tables.reading(desk.engine) as connection:
        records = usages.of_pilot(connection, pilot, since, until)
        windows = _windows(connection, pilot, since, until)
        digests = _snapshots(connection, pilot)
        month = budgets.look(connection, settings, spec, tables.now())
    bills = {record: estimates.bill(settings, record.usage) for record in records}
    stored = _stored_bytes(settings, digests)
    per_gb = table.storage_gb_month if table is not None else None
    return Costs(
        pilot=pilot,
        since=since,
        until=until,
        prices=table,
        total=_together(bills),
        by_month=_by_month(settings, bills, windows),
        by_kind=_groups(bills, lambda record: record.kind.value),
        by_part=_groups(bills, lambda record: record.part),
        serving=_serving(settings, windows),
        stored_bytes=stored,
        stored_cost_per_month=None if per_gb is None else stored / 1e9 * per_gb,
        budget=_budget(month),
        advice=savings.find(spec, windows),
    )


def _together(bills: Mapping[Record, Bill]) -> Bill | None:
    """All of it; how long a run took is what the process beside its steps took, where that is known."""
    if not bills:
        return None
    total = estimates.together(list(bills.values()))
    whole = {record.subject for record in bills if record.part == usages.BESIDE}
    seconds = sum(
        bill.wall_seconds
        for record, bill in bills.items()
        if record.part == usages.BESIDE or record.subject not in whole
    )
    return total.model_copy(update={"wall_seconds": seconds})


def _groups(bills: Mapping[Record, Bill], name: Name) -> tuple[Group, ...]:
    held: dict[str, dict[Record, Bill]] = defaultdict(dict)
    for record, bill in bills.items():
        held[name(record)][record] = bill
    made = [
        Group(
            name=key,
            count=len({record.subject for record in part}),
            bill=estimates.together(list(part.values())),
        )
        for key, part in held.items()
    ]
    return tuple(sorted(made, key=lambda group: -group.bill.cpu_seconds))


def _by_month(
    settings: Settings, bills: Mapping[Record, Bill], windows: Sequence[Served]
) -> tuple[MonthCost, ...]:
    held: dict[str, dict[Record, Bill]] = defaultdict(dict)
    served: dict[str, list[Served]] = defaultdict(list)
    for record, bill in bills.items():
        held[_month(record.at)][record] = bill
    for window in windows:
        served[_month(window.start)].append(window)
    return tuple(
        MonthCost(
            month=month,
            runs=len({record.subject for record in held.get(month, {}) if record.kind is Kind.RUN}),
            training=_together(held.get(month, {})),
            serving=_serving(settings, served.get(month, [])),
        )
        for month in sorted({*held, *served}, reverse=True)
    )


def _month(moment: datetime) -> str:
    return f"{budgets.month_of(moment)[0]:%Y-%m}"


def _serving(settings: Settings, windows: Sequence[Served]) -> Serving | None:
    """Priced as on a machine like the console's, since windows do not say what machine served them."""
    if not windows:
        return None
    told = [window for window in windows if window.cpu_seconds is not None and window.rows]
    rows = sum(window.rows for window in told)
    spent = sum(window.cpu_seconds or 0.0 for window in told)
    bill = None
    if rows:
        used = Usage(wall_seconds=0.0, cpu_seconds=1000 * spent / rows)
        bill = estimates.bill(settings, used)
    return Serving(
        rows=sum(window.rows for window in windows),
        requests=sum(window.requests for window in windows),
        cpu_seconds=spent,
        per_thousand=bill,
        peak_memory_bytes=max((window.peak_memory_bytes or 0 for window in windows), default=0),
    )


def _windows(
    connection: Connection, pilot: str, since: datetime | None, until: datetime | None
) -> list[Served]:
    table = tables.windows
    names = ("start", "end", "rows", "requests", "cpu_seconds", "peak_memory_bytes")
    query = select(*(table.c[name] for name in names)).where(table.c.pilot == pilot)
    query = query if since is None else query.where(table.c.start >= since)
    query = query if until is None else query.where(table.c.start < until)
    rows: Iterable[Row[tuple[object, ...]]] = connection.execute(query.order_by(table.c.start))
    return [Served(**row._mapping) for row in rows]


def _snapshots(connection: Connection, pilot: str) -> list[str]:
    runs, steps = tables.runs, tables.steps
    digest = steps.c.outputs["snapshot"]["digest"].as_string()
    query = select(digest).join(runs, runs.c.id == steps.c.run).distinct()
    query = query.where(runs.c.pilot == pilot, steps.c.name == "ingest", digest.is_not(None))
    return list(connection.scalars(query.limit(_MOST_SNAPSHOTS)))


def _stored_bytes(settings: Settings, digests: Sequence[str]) -> int:
    """Those that are gone take nothing."""
    total = 0
    storage = Storage(settings.storage)
    for digest in digests:
        try:
            content = storage.read(f"snapshots/{digest}/{_MANIFEST}")
            total += sum(int(file["bytes"]) for file in json.loads(content)["files"])
        except (errors.PilotageError, ValueError, KeyError, TypeError):
            continue
    return total


def _budget(month: budgets.Month) -> Budget | None:
    if not month.shares:
        return None
    return Budget(
        month=f"{month.begin:%Y-%m}",
        until=month.end,
        shares=tuple(BudgetShare(**vars(part)) for part in month.shares),
        spent=month.reason,
    )
