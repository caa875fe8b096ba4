"""Smaller models on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from pilotage.console.views import tables

if TYPE_CHECKING:
    from rich.console import Console


def show(console: Console, document: Mapping[str, Any]) -> None:
    """The candidates, which was chosen, and what became of it."""
    table = tables.table(
        *(
            "#",
            "candidate",
            document["metric"],
            "lost",
            "size",
            "row",
            "row p99",
            "batch",
            "memory",
            "verdict",
        ),
        right=("#", document["metric"], "lost", "size", "row", "row p99", "batch", "memory"),
    )
    for number, item in enumerate([document["original"], *document["candidates"]]):
        table.add_row(str(number), escape(item["name"]), *_numbers(item), _verdict(number, item, document))
    console.print(table)
    console.print(
        f"Rows that judged: {document['test_rows']:,}. Size, row and batch are shares of version"
        f" {document['version']}'s; a batch has {document['batch_rows']:,} rows."
    )
    for item in document["candidates"]:
        if item["reasons"]:
            console.print(f"[dim]{escape(item['name'])}: {escape('; '.join(item['reasons']))}[/]")
    _conclude(console, document)


def _numbers(item: Mapping[str, Any]) -> list[str]:
    memory = item["memory_bytes"]
    return [
        "–" if item["metric"] is None else f"{item['metric']:.4f}",
        "–" if item["drop"] is None else f"{item['drop']:.4f}",
        _share(item["size"]),
        _share(item["row"] and item["row"]["value"]),
        _share((item.get("row_p99") or {}).get("value")),
        _share(item["batch"] and item["batch"]["value"]),
        "–" if memory is None else f"{memory / 1e6:.1f} MB",
    ]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _verdict(number: int, item: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    if number == 0:
        return "[dim]as it is[/]"
    if item["name"] == document["chosen"]:
        return "[bold green]chosen[/]"
    return "[green]passed[/]" if item["passed"] else "[yellow]no[/]"


def _conclude(console: Console, document: Mapping[str, Any]) -> None:
    chosen = document["chosen"]
    if chosen is None:
        console.print(f"[yellow]None was chosen[/]: {escape(document['reason'])}.")
        return
    console.print(f"[bold]{escape(chosen)}[/]: {escape(document['reason'])}.")
    if document["decision"] is not None:
        held = f"; a person is asked, for {escape(document['held'])}" if document.get("held") else ""
        console.print(f"Version {document['registered']}: {document['decision']}{held}.")
    if document.get("bundle"):
        console.print(f"Bundle: [bold]{escape(document['bundle'])}[/]")
