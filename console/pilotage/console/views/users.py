"""Users on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from pilotage.console.views import tables

if TYPE_CHECKING:
    from rich.console import Console


def show(console: Console, found: Sequence[Mapping[str, Any]]) -> None:
    """Users as the API tells of them."""
    if not found:
        console.print("There are no users yet. `pilotage users add NAME` lets somebody in.")
        return
    table = tables.table("name", "full name", "state", "roles", "signs in with")
    for user in found:
        roles = (
            given["role"] if given["pilot"] == "*" else f"{given['role']}@{given['pilot']}"
            for given in user["grants"]
        )
        way = user["issuer"] or ("password" if user["has_password"] else "link")
        table.add_row(user["name"], escape(user["full_name"]), user["state"], ", ".join(roles) or "–", way)
    console.print(table)
