"""Where the worked examples are: beside the rooms in a source tree, or inside an installed wheel."""

from __future__ import annotations

from pathlib import Path

import pilotage
from pilotage.core import errors, pilots


def find(name: str) -> Path:
    """The folder of example `name`.

    Raises:
        NotFound: this installation does not hold it.
    """
    source_tree = Path(__file__).resolve().parents[3] / "pilots"
    for place in (folder / name for folder in (source_tree, *_installed())):
        if (place / pilots.FILE_NAME).is_file():
            return place
    raise errors.NotFound(
        f"The example `{name}` is not part of this installation.",
        remedy="Install Pilotage from its wheel or a complete source tree.",
    )


def _installed() -> list[Path]:
    """A source tree that is installed for editing has a copy there, which may be older than the tree."""
    return [Path(portion) / "pilots" for portion in pilotage.__path__]
