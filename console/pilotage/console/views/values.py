"""What a pilot has brought, on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from pilotage.console.views import tables

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.console.operations.monitoring.monitors import Interval
    from pilotage.console.operations.monitoring.values import Amount, Point, Value


def show(console: Console, found: Value) -> None:
    """Money by period and in all, or the metric."""
    if not found.points:
        console.print(f"No window of {found.pilot} is closed yet; `pilotage monitor` closes them.")
    elif found.total is None:
        _show_metric(console, found)
    else:
        _show_money(console, found, found.total)


def _show_money(console: Console, found: Value, total: Amount) -> None:
    columns = ("from (UTC)", "rows", "labelled", "brought", "baseline", "gain", "gain of all rows (estimate)")
    table = tables.table(*columns, right=columns[1:6])
    for point in found.points:
        if point.amount is not None:
            table.add_row(tables.moment(point.start), *_cells(point.amount))
    console.print(table)
    if not total.labelled:
        console.print(f"No label of {found.pilot} has come yet, so that nothing can be counted.")
        return
    share = total.labelled / total.rows if total.rows else 0.0
    console.print(
        f"{found.pilot} has brought {_money(total.measured)} {total.currency} on {total.labelled:,} labelled"
        f" rows, {_signed(total.gain)} against its baseline"
        f" ({_money(total.baseline)}). {share:.0%} of {total.rows:,} served rows are labelled."
    )
    if total.estimated is not None:
        console.print(
            f"On {total.estimated_rows:,} served rows it is an estimated {_interval(total.estimated)}"
            f" {total.currency} against the baseline, if labelled rows are like the others."
        )


def _cells(amount: Amount) -> tuple[str, ...]:
    return (
        f"{amount.rows:,}",
        f"{amount.labelled:,}",
        _money(amount.measured),
        _money(amount.baseline),
        _money(amount.gain),
        _interval(amount.estimated) if amount.estimated else "–",
    )


def _show_metric(console: Console, found: Value) -> None:
    table = tables.table("from (UTC)", escape(found.metric), "without labels (estimate)", "target")
    for point in found.points:
        table.add_row(tables.moment(point.start), *_metric(point), tables.number(found.target))
    console.print(table)
    console.print("pilot.yaml says no `goal.value`, so that nothing is counted in money.")


def _metric(point: Point) -> tuple[str, str]:
    first, second = (
        "–" if part is None else f"{part.value:.4g}" for part in (point.realized, point.estimated)
    )
    return first, second


def _interval(found: Interval) -> str:
    if found.low is None or found.high is None:
        return _money(found.value)
    return f"{_money(found.value)} ({_money(found.low)} to {_money(found.high)})"


def _money(amount: float) -> str:
    return f"{amount:,.0f}" if abs(amount) >= 100 else f"{amount:,.2f}"


def _signed(amount: float) -> str:
    return ("+" if amount > 0 else "") + _money(amount)
