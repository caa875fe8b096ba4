"""What a release's commit says: one line, the evidence for people, and trailers for programs.

What people wrote is put on one line each, so that nobody can write a trailer or a header into it.
Trailers are git's own (`git interpret-trailers --parse` reads them).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

PREFIX = "Pilotage-"
_TRAILER = re.compile(rb"^Pilotage-([A-Za-z-]+): (.*)$")


@dataclass(frozen=True)
class Message:
    """What a commit or a request says."""

    subject: str
    body: str
    """Paragraphs, without the trailers."""
    trailers: Mapping[str, str]
    """By name, without the prefix."""

    def __str__(self) -> str:
        return f"{self.subject}\n\n{self.body}\n\n{_lines(self.trailers)}\n"


def line(text: str, most: int = 500) -> str:
    """What somebody wrote, on one line and without what a terminal or git would act on."""
    kept = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(kept.split())[:most]


def paragraph(title: str, items: Iterable[tuple[str, str]]) -> str:
    """Lines of `name: value` under a title."""
    return "\n".join([f"{title}:", *(f"  {name}: {line(value)}" for name, value in items if value)])


def trailers_of(message: bytes) -> dict[str, str]:
    """Our trailers of a commit: those in its last paragraph, by name without the prefix."""
    last = message.rstrip().rpartition(b"\n\n")[2]
    found = {}
    for each in last.splitlines():
        match = _TRAILER.match(each)
        if match is not None:
            found[match[1].decode()] = match[2].decode(errors="replace")
    return found


def _lines(trailers: Mapping[str, str]) -> str:
    return "\n".join(f"{PREFIX}{name}: {line(value)}" for name, value in trailers.items() if line(value))
