"""Takes out of a base image what lets somebody install or become something, and then itself.

Bases of base.sh have neither; public ones bring pip and programs that run as root. Run by the base's own
Python, as the last thing that a build runs.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

PLACES = ("/bin", "/sbin", "/usr", "/lib")


def main() -> None:
    """Harden the root that this runs in."""
    prefix = Path(sys.prefix)
    library = prefix / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in [library / "ensurepip", *prefix.glob("bin/pip*"), *library.glob("site-packages/pip*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for place in PLACES:
        for folder, _, names in os.walk(place):
            for path in (Path(folder) / name for name in names):
                mode = path.lstat().st_mode
                if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                    path.chmod(stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID))
    Path(__file__).unlink()


if __name__ == "__main__":
    main()
