"""An adopted pilot on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from pilotage.console.views import tables

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.console.adoption.writing import Adopted


def show(console: Console, adopted: Adopted) -> None:
    """What was decided, what was not, and what to do next."""
    spec = adopted.spec
    names = ", ".join(file.name for file in adopted.files)
    console.print(f"Wrote [bold]{escape(adopted.folder.name)}[/]: {escape(names)}")
    data = adopted.decided["data"]
    facts = {
        "source": data["source"],
        "target": data["target"],
        "left out": ", ".join(data.get("exclude", ())),
        "time": data.get("time", ""),
        "estimator": spec.train.estimator,
        "parameters": spec.train.params or "",
        "searched": ", ".join(spec.train.search.space) if spec.train.search else "",
        "metric": f"{spec.goal.metric} ({spec.task.value})",
    }
    table = tables.table("what", "decided")
    for name, value in facts.items():
        if value != "":
            table.add_row(name, escape(str(value)))
    console.print(table)
    if adopted.notes:
        notes = tables.table("cell", "line", "not decided", "what to do", right=("cell", "line"))
        for note in adopted.notes:
            notes.add_row(str(note.cell), str(note.line), escape(note.what), escape(note.then or "–"))
        console.print(notes)
    console.print(f"Next: `pilotage check {escape(adopted.folder.name)}`")
