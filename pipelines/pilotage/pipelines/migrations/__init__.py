"""How the database came to have its tables: numbered steps, each a file of literal operations.

`python -m pilotage.pipelines.migrations` writes them anew from the tables that
`tables` defines. This module is light: Alembic is imported by `upgrades`, when a
database is to be migrated, and by nothing else. When that is, is decided by
`tables`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class History:
    """The migrations in one folder: `NNNN_what.py`, applied in the order of their numbers."""

    folder: Path

    @cached_property
    def revisions(self) -> tuple[str, ...]:
        """Numbers of the migrations, oldest first."""
        return tuple(sorted(path.name.partition("_")[0] for path in self.folder.glob("[0-9]*_*.py")))

    @property
    def head(self) -> str:
        """The number of the latest."""
        return self.revisions[-1]


HISTORY = History(Path(__file__).parent / "versions")
"""The migrations of this version of Pilotage."""
