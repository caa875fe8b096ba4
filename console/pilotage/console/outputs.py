"""What a command says and where: results on stdout, progress, logs and errors on stderr.

With `--json` stdout holds exactly one JSON document, whatever libraries print.
What is said is decided by the commands.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 200
"""Columns of what is no terminal: files and pipes need no line breaks."""


@dataclass
class Output:
    """Both streams of one command."""

    as_json: bool
    stdout: TextIO

    @classmethod
    @contextmanager
    def open(cls, *, as_json: bool) -> Iterator[Output]:
        """The output of a command; while one with `as_json` is open, what others print goes to stderr."""
        if not as_json:
            yield cls(as_json=False, stdout=sys.stdout)
            return
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
        try:
            with os.fdopen(os.dup(kept), "w", encoding="utf-8") as stdout:
                yield cls(as_json=True, stdout=stdout)
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)

    @cached_property
    def results(self) -> Console:
        """Where results go."""
        return _console(self.stdout)

    @cached_property
    def progress(self) -> Console:
        """Where progress, logs and errors go."""
        return _console(sys.stderr)

    @property
    def is_live(self) -> bool:
        """Whether progress can be redrawn in place."""
        return self.progress.is_terminal

    def answer(self, document: Mapping[str, Any], show: Callable[[Console], None]) -> None:
        """Give the result: `document` with `--json`, else what `show` prints."""
        if self.as_json:
            self.write_json(document)
        else:
            show(self.results)

    def write_json(self, document: Mapping[str, Any]) -> None:
        """Write the one JSON document; numbers that are not finite become null."""
        self.stdout.write(json.dumps(_finite(document), indent=2, ensure_ascii=False, default=str) + "\n")
        self.stdout.flush()

    def say(self, text: str) -> None:
        """One line of progress; `text` may hold rich's markup."""
        self.progress.print(text)

    def error(
        self, kind: str, message: str, remedy: str, exit_code: int, details: Mapping[str, Any] | None = None
    ) -> None:
        """Say what went wrong and what to do about it."""
        if self.as_json:
            found = {"type": kind, "message": message, "remedy": remedy.strip(), "exit_code": int(exit_code)}
            self.write_json({"error": {**found, "details": details or {}}})
            return
        from rich.text import Text

        self.progress.print(Text.assemble(("Error: ", "bold red"), (message, "red")))
        if remedy.strip():
            self.progress.print(Text(remedy.strip()))


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    terminal = stream.isatty()
    return Console(file=stream, highlight=False, soft_wrap=not terminal, width=None if terminal else _WIDE)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
