"""Which rows are held against each other: columns whose values make groups, and small ones."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

FEWEST_ROWS = 30
"""Of a group, where a gate says nothing else."""
BETWEEN = " × "
"""Between columns, and between the values of an intersection."""


class SmallGroups(StrEnum):
    """What becomes of groups with fewer rows than `min_group`."""

    EXCLUDE = "exclude"
    """They are not compared; how many rows that takes away is told."""
    MERGE = "merge"
    """All of them together are one group, if it is large enough then."""


class Grouping(NamedTuple):
    """One way to part the rows."""

    columns: tuple[str, ...]
    """With several, each combination of their values is a group."""
    min_group: int = FEWEST_ROWS
    small: SmallGroups = SmallGroups.EXCLUDE

    @property
    def label(self) -> str:
        """As gates and scorecards name it; two that are different are named differently."""
        told = BETWEEN.join(self.columns)
        if self.min_group != FEWEST_ROWS:
            told += f" in groups of {self.min_group} or more"
        return told if self.small is SmallGroups.EXCLUDE else f"{told}, smaller ones together"
