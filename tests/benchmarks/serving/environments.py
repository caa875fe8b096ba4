"""An environment for each peer, made from the versions pinned beside its script and kept between runs.

Where packages come from is the machine's configuration; nothing here names a place.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
REPOSITORY = Path(__file__).resolve().parents[3]
CACHE = REPOSITORY / ".cache" / "bench"
_UV = Path(sys.executable).with_name("uv")


def make(peer: str) -> Path:
    """The folder of the environment with what `peers/<peer>.txt` pins; made when it is not there yet."""
    requirements = PEERS / f"{peer}.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = CACHE / f"{peer}-{digest}"
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


def version(peer: str, package: str) -> str:
    """The pinned version of a package."""
    for line in (PEERS / f"{peer}.txt").read_text().splitlines():
        name, _, pinned = line.partition("==")
        if name == package:
            return pinned
    raise LookupError(f"peers/{peer}.txt does not pin {package}")


def variables(**more: str) -> dict[str, str]:
    """The environment of a server: one OpenMP thread, bytecode allowed, nothing of this installation's."""
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
