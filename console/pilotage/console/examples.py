"""Where the worked examples are: inside an installed wheel, or beside the rooms in a source tree."""

from __future__ import annotations

from pathlib import Path

import pilotage
from pilotage.core import errors, pilots


def find(name: str) -> Path:
    """The folder of example `name`.

    Raises:
        NotFound: this installation does not hold it.
    """
    places = [Path(portion) / "pilots" / name for portion in pilotage.__path__]
    places.append(Path(__file__).resolve().parents[3] / "pilots" / name)
    for place in places:
        if (place / pilots.FILE_NAME).is_file():
            return place
    raise errors.NotFound(
        f"The example `{name}` is not part of this installation.",
        remedy="Install Pilotage from its wheel or a complete source tree.",
    )
