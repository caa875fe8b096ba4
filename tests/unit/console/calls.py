"""What calling the command line gives, and tables for it to be called on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Called:
    """What one call of the command line did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


Call = Callable[..., Called]
"""Calls `pilotage` with some arguments."""


def rows(count: int, line: Callable[[int], str], header: str = "a,b,y") -> str:
    """A CSV table of `count` lines."""
    return "\n".join([header, *(line(number) for number in range(count))]) + "\n"
