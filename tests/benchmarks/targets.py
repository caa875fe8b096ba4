"""What a benchmark is to reach, and how far it was reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """One goal and how far it was reached."""

    scenario: str
    text: str
    wanted: str
    reached: str
    met: bool

    def __str__(self) -> str:
        return f"{'met   ' if self.met else 'MISSED'}  {self.text}: {self.reached} (wanted {self.wanted})"
