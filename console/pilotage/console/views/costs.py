"""What a pilot or a run cost, on a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.markup import escape

from pilotage.console.views import tables

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.console.operations.execution.costs import Costs, Group, RunCost, Serving
    from pilotage.core.costs.estimates import Bill

_MOST_PLACES = 6
"""Of money behind the point."""
_NUMBERS = ("CPU", "GPU", "peak memory", "energy", "CO2", "cost")


def show(console: Console, found: Costs) -> None:
    """By month, by step, of predictions; the budget and the advice."""
    if found.total is None and found.serving is None:
        console.print(f"Nothing of {found.pilot} is known to have cost anything yet; `pilotage run` begins.")
        return
    table = tables.table(
        "month (UTC)", "runs", *_NUMBERS, "rows served", right=("runs", *_NUMBERS, "rows served")
    )
    for month in found.by_month:
        rows = f"{month.serving.rows:,}" if month.serving else "–"
        table.add_row(month.month, str(month.runs), *cells(month.training), rows)
    if found.total is not None and len(found.by_month) > 1:
        table.add_row("[bold]all[/]", "", *cells(found.total), "")
    console.print(table)
    for title, groups in (("kind", found.by_kind), ("step", found.by_part)):
        _show_groups(console, title, groups)
    if found.serving is not None:
        console.print(_served(found.serving))
    if found.stored_bytes:
        paid = "" if found.stored_cost_per_month is None else f", {_money(found.stored_cost_per_month)} "
        currency = found.prices.currency + " a month" if found.prices and paid else ""
        console.print(f"Snapshots take {_size(found.stored_bytes)}{paid}{currency}.")
    _show_notes(console, found)


def _show_groups(console: Console, title: str, groups: tuple[Group, ...]) -> None:
    if not groups:
        return
    table = tables.table(title, "runs", *_NUMBERS, right=("runs", *_NUMBERS))
    for group in groups:
        table.add_row(group.name, str(group.count), *cells(group.bill))
    console.print(table)


def _show_notes(console: Console, found: Costs) -> None:
    if found.budget is not None:
        for share in found.budget.shares:
            console.print(
                f"Budget of {found.budget.month}: {share.used:.4g} of {share.limit:g} {share.unit} used."
            )
        if found.budget.spent:
            console.print(
                f"[red]Retrainings wait until {tables.moment(found.budget.until)} UTC[/]:"
                f" {found.budget.spent}."
            )
            console.print("A person may still start a run: `pilotage run`.")
    for advice in found.advice:
        console.print(f"[yellow]{'Save' if advice.saves else 'Give more'}[/]: {escape(advice.seen)} Write")
        console.print(advice.fragment.rstrip(), markup=False, highlight=False)
    if found.total is not None:
        console.print(f"[dim]{escape(basis(found.total))}[/]")
    if found.prices is None:
        console.print(
            "[dim]There are no prices, so that costs are told in hours; PILOTAGE_PRICES sets them.[/]"
        )


def _served(serving: Serving) -> str:
    if serving.per_thousand is None:
        return f"{serving.rows:,} rows were served; their servers did not tell their CPU time."
    energy = serving.per_thousand.energy
    told = [f"{serving.per_thousand.cpu_seconds:.3g} CPU seconds"]
    told += [] if energy is None else [f"{energy.kwh * 1000:.3g} Wh"]
    told += [] if serving.per_thousand.cost is None else [_price(serving.per_thousand)]
    return f"{serving.rows:,} rows were served; a thousand take {', '.join(told)}."


def show_run(console: Console, found: RunCost) -> None:
    """By step and in all."""
    if found.total is None:
        return
    table = tables.table("part", "attempts", *_NUMBERS, right=("attempts", *_NUMBERS))
    for part in found.parts:
        table.add_row(part.part, str(part.attempts), *cells(part.bill))
    table.add_row("[bold]all[/]", "", *cells(found.total))
    console.print(table)
    console.print(f"[dim]{escape(basis(found.total))}[/]")


def cells(bill: Bill | None) -> tuple[str, ...]:
    """CPU, GPU, memory, energy, CO2 and cost."""
    if bill is None:
        return ("–",) * len(_NUMBERS)
    energy = bill.energy
    co2 = energy.co2_kg if energy is not None else None
    return (
        duration(bill.cpu_seconds),
        duration(bill.gpu_seconds) if bill.gpu_seconds else "–",
        f"{bill.peak_memory_bytes / 1e6:,.0f} MB" if bill.peak_memory_bytes else "–",
        "–" if energy is None else weighed(energy.kwh * 1000, "Wh"),
        "–" if co2 is None else weighed(co2 * 1000, "g"),
        "–" if bill.cost is None else _price(bill),
    )


def basis(bill: Bill) -> str:
    """How energy is known, or why it is not."""
    told = []
    if bill.energy is not None:
        told.append(f"Energy is {bill.energy.basis.value}: {bill.energy.by}.")
    if bill.energy_unknown:
        what = "CO2" if bill.energy is not None else "Energy"
        told.append(f"{what} is not known: {bill.energy_unknown}.")
    if bill.cost is not None and bill.cost.unpriced:
        told.append(f"Without a price: {', '.join(bill.cost.unpriced)}.")
    return " ".join(told)


def duration(seconds: float) -> str:
    """CPU time as people read it."""
    return f"{seconds:.3g} s" if seconds < 3600 else f"{seconds / 3600:,.3g} h"


def weighed(amount: float, unit: str) -> str:
    """An amount in the unit that fits: a thousandth, one or a thousand of `unit`."""
    if amount and amount < 0.1:
        return f"{amount * 1000:.3g} m{unit}"
    return f"{amount:.3g} {unit}" if amount < 1000 else f"{amount / 1000:,.3g} k{unit}"


def _price(bill: Bill) -> str:
    return "–" if bill.cost is None else f"{_money(bill.cost.total)} {bill.cost.currency}"


def _money(amount: float) -> str:
    """An amount; a small one with its first two digits, and never as a power of ten."""
    if abs(amount) >= 1 or not amount:
        return f"{amount:,.2f}"
    places = max(2, 1 - math.floor(math.log10(abs(amount))))
    return f"{amount:.{places}f}" if places <= _MOST_PLACES else f"below {10**-_MOST_PLACES:.{_MOST_PLACES}f}"


def _size(count: float) -> str:
    """Bytes in the unit that leaves few digits before the point."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:,.3g} {unit}"
    return f"{count:,.0f} bytes"
