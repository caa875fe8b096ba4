"""Takes out of a base image what lets somebody install or become something, and then itself.

Bases of base.sh have neither; public ones bring pip and programs that run as root. Both have `bash`, which
only one image needs: the others name it, as their inventories do. Run by the base's own Python, as the last
thing that a build runs.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import stat
import sys
from pathlib import Path

PLACES = ("/bin", "/sbin", "/usr", "/lib")
INFO = Path("/var/lib/dpkg/info")
STATUS = Path("/var/lib/dpkg/status")


def main() -> None:
    """Harden the root that this runs in."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without", nargs="*", default=(), help="Debian packages that nothing here needs")
    for package in parser.parse_args().without:
        remove(package)
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


def remove(package: str) -> None:
    """Remove a package's files and its entry, which scanners read; nothing where it is not installed."""
    lists = [*INFO.glob(f"{package}.list"), *INFO.glob(f"{package}:*.list")]
    for path in (Path(line) for file in lists for line in file.read_text().splitlines()):
        if path.is_symlink() or path.is_file():
            path.unlink()
    for path in [*INFO.glob(f"{package}.*"), *INFO.glob(f"{package}:*.*")]:
        path.unlink()
    if STATUS.is_file():
        stanzas = STATUS.read_text().strip().split("\n\n")
        named = re.compile(f"^Package: {re.escape(package)}$", re.MULTILINE)
        kept = [text for text in stanzas if not named.search(text)]
        STATUS.write_text("\n\n".join(kept) + "\n")


if __name__ == "__main__":
    main()
