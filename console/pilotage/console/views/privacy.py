"""Synthetic rows and deletions on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from pilotage.console.views import tables

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.core.artifacts import Estimate, Synthesis

_MOST_NAMED = 10


def show_synthesis(console: Console, report: Synthesis) -> None:
    """What was measured, and whether the rows were written."""
    made, table = report.synthetic, tables.table("measure", "value", "95 % interval", right=("value",))
    if made.fidelity is not None:
        table.add_row("fidelity (1 is alike)", f"{made.fidelity.score:.3f}", "")
    if made.utility is not None:
        name = escape(made.utility.metric)
        for what, value in {
            f"{name}, trained on real rows": made.utility.real,
            f"{name}, trained on synthetic rows": made.utility.synthetic,
            "difference": made.utility.difference,
        }.items():
            table.add_row(what, _value(value), _interval(value))
    if made.leakage is not None:
        table.add_row("copies of training rows", f"{made.leakage.copies:,}", "")
        for what, value in {
            "closer to training rows than to others (0.5 gives nothing away)": made.leakage.closeness,
            "membership attack, area under the curve (0.5 is guessing)": made.leakage.membership,
        }.items():
            table.add_row(what, _value(value), _interval(value))
    console.print(table)
    for note in made.notes:
        console.print(f"[yellow]{escape(note)}[/]")
    for verdict in report.gates:
        mark = "[green]✓[/]" if verdict.passed else "[red]✗[/]"
        console.print(f"{mark} {escape(verdict.gate)}: {escape(verdict.reason)}")
    if report.passed:
        kept = f" in study {escape(report.study)}" if report.file.startswith("synthetic.") else ""
        console.print(f"Wrote {report.rows:,} synthetic rows to [bold]{escape(report.file)}[/]{kept}")
    else:
        console.print("[red]The rows give training rows away, or nobody could tell: none were written.[/]")


def show_purged(console: Console, found: Sequence[Mapping[str, Any]]) -> None:
    """What went and what stays."""
    if not found:
        console.print("No pilot says `data.retention`: everything is kept.")
    for item in found:
        does = "would delete" if item["dry_run"] else "deleted"
        console.print(
            f"{item['pilot']}: {does} {len(item['snapshots'])} snapshots, {item['row_files']} files of "
            f"served rows and {item['label_files']} of labels from before {str(item['before'])[:19]}"
        )
        for kept in item["kept"]:
            console.print(f"  kept {kept['digest'][:12]}: {escape(kept['why'])}")


def show_preview(console: Console, document: Mapping[str, Any], keys: Sequence[str] = ()) -> None:
    """What would be erased."""
    rows, versions = document["snapshots"], document["versions"]
    console.print(
        f"Would erase {sum(rows.values()):,} rows of {len(rows)} snapshots, "
        f"{document['logged_rows']:,} logged "
        f"rows, {document['labels']:,} labels, {document['reference_rows']:,} rows of reference samples and "
        f"{document['score_rows']:,} of kept scores."
    )
    if versions:
        console.print(f"Would mark versions {', '.join(map(str, versions))}, which were trained on them.")
    _show_nowhere(console, document, keys)


def show_erased(console: Console, document: Mapping[str, Any], keys: Sequence[str] = ()) -> None:
    """What was erased."""
    rows = sum(item["rows"] for item in document["snapshots"])
    console.print(
        f"Erased {rows:,} rows of {len(document['snapshots'])} snapshots, {document['logged_rows']:,} logged "
        f"rows, {document['labels']:,} labels, {document['reference_rows']:,} rows of reference samples and "
        f"{document['score_rows']:,} of kept scores."
    )
    for item in document["snapshots"]:
        console.print(f"  {item['digest'][:12]} → {(item['replaced_by'] or 'nothing is left')[:15]}")
    if document["versions"]:
        versions = ", ".join(map(str, document["versions"]))
        console.print(
            f"[yellow]Versions {versions}: {document['mark']}. `pilotage run` trains one without.[/]"
        )
    for note in document["notes"]:
        console.print(f"[yellow]{escape(note)}[/]")
    _show_nowhere(console, document, keys)


def _show_nowhere(console: Console, document: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Name the keys that no row has, to who typed them: the answer itself has their positions only."""
    missing = document.get("nowhere")
    if not missing:
        return
    named = ", ".join(f"`{keys[at - 1]}`" for at in missing[:_MOST_NAMED] if at <= len(keys))
    more = f" and {len(missing) - _MOST_NAMED:,} more" if len(missing) > _MOST_NAMED else ""
    console.print(
        f"[yellow]{len(missing):,} of the keys named were found nowhere: {escape(named)}{more}. "
        "Mistyped, or erased before?[/]"
    )


def _value(found: Estimate) -> str:
    return "–" if found.value is None else f"{found.value:.3f}"


def _interval(found: Estimate) -> str:
    return "" if found.low is None or found.high is None else f"{found.low:.3f} to {found.high:.3f}"
