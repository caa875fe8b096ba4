"""A checked or drafted pilot on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from pilotage.console.views import tables

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.console.checks import Checked
    from pilotage.console.drafts import Draft
    from pilotage.core.artifacts import Snapshot

_MOST_COLUMNS = 40


def show_check(console: Console, checked: Checked) -> None:
    """What was found, column by column."""
    spec, snapshot = checked.pilot.spec, checked.snapshot
    console.print(f"[bold]{spec.pilot}[/] is fine: {escape(snapshot.source)}, {snapshot.rows:,} rows")
    _show_columns(console, snapshot)
    show_personal(console, snapshot)
    console.print(f"Estimator {spec.train.estimator}, metric {spec.goal.metric}")
    console.print("Gates: " + escape("; ".join(gate.label for gate in spec.all_gates)))
    if not checked.cacheable:
        console.print("[yellow]The source has no fingerprint: every run reads it anew.[/]")
    _warn(console, checked.warnings)


def show_personal(console: Console, snapshot: Snapshot) -> None:
    """Personal data by column, and what is done about it."""
    if not snapshot.personal:
        return
    table = tables.table("personal data in", "kind", "share", "found by", "policy", right=("share",))
    for item in snapshot.personal:
        share = "–" if item.share is None else f"{item.share:.1%}"
        policy = "[yellow]none: stored as it is[/]" if item.policy is None else item.policy.value
        table.add_row(escape(item.column), item.kind.value, share, item.found_by, policy)
    console.print(table)
    if any(item.policy is None for item in snapshot.personal):
        console.print("[yellow]Say what is done about it under `data.personal`: docs/personal-data.md.[/]")


def show_draft(console: Console, draft: Draft) -> None:
    """What was drafted and what to do next."""
    console.print(f"Wrote [bold]{draft.folder.name}/pilot.yaml[/] and {draft.expectations} expectations")
    _show_columns(console, draft.snapshot)
    snapshot = draft.snapshot
    console.print(f"Goal: {draft.spec.goal.metric} ({snapshot.task.value} of `{escape(snapshot.target)}`)")
    _warn(console, draft.warnings)
    console.print(f"Next: `pilotage run {draft.folder.name}`")


def _warn(console: Console, warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        console.print(f"[yellow]{escape(warning)}[/]", soft_wrap=True)


def _show_columns(console: Console, snapshot: Snapshot) -> None:
    kinds = {feature.name: feature.kind.value for feature in snapshot.features}
    reasons = {item.name: item.reason for item in snapshot.excluded}
    for role in ("target", "time", "key"):
        reasons[str(getattr(snapshot, role))] = f"is the {role}"
    table = tables.table("column", "type", "missing", "different", "use", right=("missing", "different"))
    for column in snapshot.columns[:_MOST_COLUMNS]:
        use = kinds.get(column.name)
        table.add_row(
            escape(column.name),
            column.type.value,
            f"{column.nulls:,}",
            f"{column.distinct:,}",
            f"[green]{use}[/]" if use else f"[dim]{escape(reasons.get(column.name, '–'))}[/]",
        )
    console.print(table)
    if len(snapshot.columns) > _MOST_COLUMNS:
        console.print(f"… and {len(snapshot.columns) - _MOST_COLUMNS:,} more columns")
