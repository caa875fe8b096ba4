"""Fetches the packages that an image's lock names into a folder of the build context.

It happens outside of the build, with this machine's own pip and whatever pip is configured with here, so no
address, certificate or credential of a package index gets into an image, and a machine without network builds
from a folder that another one filled. Every file is held against the lock's hashes, here and again in
the build. Nothing is installed or run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PYTHON = "313"
"""Of the base images; what is compiled is compiled for one."""
NEWEST_GLIBC = 41
"""Of Debian 13."""
TOOLS = "tools"
"""The lock of what builds: pip, hatchling, setuptools and what writes the bill of materials."""
LOCKS = Path(__file__).parent / "locks"


def fetch(extra: str, machine: str, wheels: Path) -> Path:
    """The folder with everything that lock `extra` and the tools name, fetched where it is not there yet.

    Args:
        extra: name of a lock without its suffix.
        machine: `x86_64` or `aarch64`.
        wheels: holds a folder for each lock, and one for the tools.
    """
    for lock in (TOOLS, extra):
        folder = wheels / lock
        done = folder / ".lock"
        wanted = (LOCKS / f"{lock}.lock").read_text(encoding="utf-8") + f"# {machine}\n"
        if done.is_file() and done.read_text(encoding="utf-8") == wanted:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        _download(lock, machine, folder, [path for path in wheels.glob("*") if path != folder])
        done.write_text(wanted, encoding="utf-8")
    return wheels / extra


def _download(lock: str, machine: str, folder: Path, others: list[Path]) -> None:
    """Download into a fresh folder, so that what a lock no longer names does not stay."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as scratch:
        places = [word for place in [folder, *others] for word in ("--find-links", str(place))]
        done = subprocess.run(  # noqa: S603 - this interpreter's own pip
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
                *("--no-deps", "--require-hashes", "--requirement", str(LOCKS / f"{lock}.lock")),
                *("--implementation", "cp", "--python-version", PYTHON, *places),
                *("--abi", f"cp{PYTHON}", "--abi", "abi3", "--abi", "none"),
                *(word for name in _platforms(machine) for word in ("--platform", name)),
                *("--dest", scratch),
            ],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "PIP_NO_INPUT": "1"},
        )
        if done.returncode:
            raise SystemExit(f"The packages of {lock}.lock could not be fetched:\n{done.stderr[-4000:]}")
        for path in folder.iterdir():
            path.unlink()
        for path in Path(scratch).iterdir():
            path.rename(folder / path.name)


def _platforms(machine: str) -> list[str]:
    """What runs on Debian 13, newest first."""
    names = [f"manylinux_2_{minor}_{machine}" for minor in range(NEWEST_GLIBC, 4, -1)]
    old = [f"manylinux{year}_{machine}" for year in ("2014", "2010", "1")]
    return [*names, *old, f"linux_{machine}"]
