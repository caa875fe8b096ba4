"""The answer to whoever sends labels: how many are kept, and which of them the live version cannot read.

That they are kept all the same is `Endpoint.keep_labels`' decision.
"""

from __future__ import annotations

from typing import Any

from pilotage.serving.endpoints import Receipt

_SHOWN = 10
_WIDTH = 60


def document(receipt: Receipt) -> dict[str, Any]:
    """The receipt as `schemas.Stored` describes it."""
    shown = [
        {"label": each.label[:_WIDTH], "rows": each.rows, "first": each.first}
        for each in receipt.unknown[:_SHOWN]
    ]
    return {
        "stored": receipt.stored,
        "version": receipt.version,
        "unknown": receipt.rows,
        "unknown_labels": shown,
        "detail": _detail(receipt),
    }


def _detail(receipt: Receipt) -> str | None:
    if not receipt.unknown:
        return None
    first = receipt.unknown[0]
    classes = ", ".join(f"`{str(value)[:_WIDTH]}`" for value in receipt.classes[:_SHOWN])
    more = ", …" if len(receipt.classes) > _SHOWN else ""
    return (
        f"{receipt.rows:,} of {receipt.stored:,} labels are no class of version {receipt.version}, which "
        f"tells {classes}{more}; the first is `{first.label[:_WIDTH]}` in row {first.first}. They are kept, "
        "and count once a version knows them. If they are misspelt, send those ids again: the last label "
        "of an id counts."
    )
