"""Whether a command that Pilotage proposes is one that its command line understands."""

from __future__ import annotations

import shlex
from typing import Any

import typer

from pilotage.console import cli


def require_understood(line: str) -> None:
    """Parse each command of a line without carrying it out; commands of others have to be git."""
    for part in line.split("&&"):
        words = [word for word in shlex.split(part) if "=" not in word or word.startswith("-")]
        if words[0] == "git":
            continue
        assert words[0] == "pilotage", line
        require_parsed(words[1:])


def require_parsed(words: list[str]) -> None:
    """Go down groups until a command takes the rest."""
    command: Any = typer.main.get_command(cli.build())
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    assert not hasattr(command, "commands") or not words or words[0].startswith("-"), words
    with command.make_context(command.name or "", list(words)):
        pass
