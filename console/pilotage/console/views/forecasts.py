"""Forecasts on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from pilotage.console.views import tables

if TYPE_CHECKING:
    from rich.console import Console


def show(console: Console, document: Mapping[str, Any]) -> None:
    """Answers in words, then the numbers."""
    for answer in document["answers"]:
        console.print(f"[bold]{escape(answer['question'])}[/]")
        console.print(f"  {escape(answer['words'])}")
    table = tables.table(
        "rows", "model", document["metric"], "repeats", "CPU s", right=("rows", "repeats", "CPU s")
    )
    for point in document["points"]:
        size = "" if point["scale"] == 1.0 else f"{point['scale']:g} x"
        table.add_row(
            f"{point['n']:,}",
            size,
            f"{point['value']:.4f}",
            str(point["repeats"]),
            f"{point['cpu_seconds']:.2f}",
        )
    console.print(table)
    _show_expected(console, document["forecast"], document["level"], document["metric"])
    if document["law"] and document["law"]["parameters"]:
        _show_parameters(console, document["law"]["parameters"], document["law"]["level"])
    console.print(
        f"Study {document['study']}: {document['trained']} trainings, {document['kept']} kept from before,"
        f" {document['cpu_seconds']:.1f} s of CPU. `pilotage up` shows it at"
        f" /pilots/{escape(document['pilot'])}/scaling."
    )


def show_points(console: Console, document: Mapping[str, Any]) -> None:
    """What given points say."""
    if document["refused"]:
        console.print(f"No forecast: {escape(document['refused'])}.")
        return
    if document["kind"] == "law":
        console.print(f"L = {document['formula']}, fitted to {document['points']} points:")
        _show_parameters(console, document["parameters"], document["level"])
        for point in document["set_aside"]:
            console.print(
                f"Set aside, far off the law: n {point['n']:.3g}, d {point['d']:.3g}, {point['loss']:.4g}"
            )
        for point in document["forecast"]:
            console.print(
                f"At n {point['n']:.4g}, d {point['d']:.4g}: {point['value']:.4g}"
                f" ({point['low']:.4g} to {point['high']:.4g}, {document['forecast_level']:.0%})"
            )
        return
    _show_expected(console, document["forecast"], document["level"], "expected")


def _show_expected(console: Console, points: Any, level: float, name: str) -> None:
    if not points:
        return
    table = tables.table("rows", "times", name, f"interval ({level:.0%})", right=("rows", "times"))
    for point in points:
        table.add_row(
            f"{point['n']:,.0f}",
            f"{point['factor']:.3g}",
            "–" if point["only_interval"] else f"{point['value']:.4f}",
            f"{point['low']:.4f} to {point['high']:.4f}",
        )
    console.print(table)


def _show_parameters(console: Console, parameters: Mapping[str, Any], level: float) -> None:
    table = tables.table("parameter", "value", f"interval ({level:.0%})")
    for name, bounds in parameters.items():
        table.add_row(name, f"{bounds['value']:.4g}", f"{bounds['low']:.4g} to {bounds['high']:.4g}")
    console.print(table)
