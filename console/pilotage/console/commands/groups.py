"""Groups of commands that list when no command of theirs is named."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class ListsByDefault(TyperGroup):
    """`pilotage runs` and `pilotage runs --json` list; so does a pilot in place of a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        if not named and not ctx.resilient_parsing:  # which completion sets
            args = ["list", *args]
        return super().parse_args(ctx, args)
