"""An environment for each peer, made from the versions that a requirements file pins and kept between runs.

Where packages come from is the machine's configuration; nothing here names a place.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".cache" / "bench"
_UV = Path(sys.executable).with_name("uv")


def make(requirements: Path) -> Path:
    """The folder of the environment with what the file pins; made when it is not there yet."""
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = CACHE / f"{requirements.stem}-{digest}"
    if (folder / "complete").is_file():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    python = str(folder / "bin" / "python")
    _run(str(_UV), "venv", "--quiet", "--python", sys.executable, str(folder))
    _run(
        str(_UV),
        "pip",
        "install",
        "--quiet",
        "--compile-bytecode",
        "--python",
        python,
        "-r",
        str(requirements),
    )
    (folder / "complete").touch()
    return folder


def version(requirements: Path, package: str) -> str:
    """The pinned version of a package."""
    for line in requirements.read_text().splitlines():
        name, _, pinned = line.partition("==")
        if name == package:
            return pinned
    raise LookupError(f"{requirements} does not pin {package}")


def variables(**more: str) -> dict[str, str]:
    """The environment of a child process: one OpenMP thread, bytecode, nothing of this installation's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PILOTAGE_", "MLFLOW_", "PYTEST_", "COVERAGE_", "VIRTUAL_ENV"))
        and name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
    }
    return kept | {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"} | more


def _run(*command: str) -> None:
    done = subprocess.run(command, env=variables(), capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` ended with {done.returncode}:\n{done.stderr[-3000:]}")
