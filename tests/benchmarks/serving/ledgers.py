"""The file that keeps what was measured; a scenario that is run alone replaces only its own part."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.serving import environments
from tests.benchmarks.serving.contenders import CONTENDERS

FILE = "serving.json"
PACKAGES = ("numpy", "onnxruntime", "orjson", "msgspec", "uvicorn", "uvloop", "httptools", "scikit-learn")


class Ledger:
    """`serving.json` in a folder."""

    def __init__(self, folder: Path, command: str) -> None:
        self._file = folder / FILE
        self._command = command
        self.folder = folder
        self.found: dict[str, Any] = json.loads(self._file.read_text()) if self._file.is_file() else {}

    def note(self, scenario: str, measured: Any) -> None:
        """Keep what a scenario measured, with when, of which commit and by which command."""
        self.found["machine"], self.found["versions"] = machine(), versions()
        self.found[scenario] = measured
        self.found.setdefault("taken", {})[scenario] = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": _commit(),
            "command": self._command,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self.found, indent=1, sort_keys=True) + "\n")


def machine() -> dict[str, str]:
    """What the figures depend on."""
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": cpu[0].partition(":")[2].strip() if cpu else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "wrk": subprocess.run(["wrk", "-v"], capture_output=True, text=True)
        .stdout.partition(" Copyright")[0]
        .strip(),
    }


def versions() -> dict[str, str]:
    """Of the contenders, and of what Pilotage's server is made of."""
    from importlib.metadata import version

    ours = {name: version(name) for name in ("pilotage", *PACKAGES)}
    return ours | {one.package: one.version for one in CONTENDERS if one.package and one.package not in ours}


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"],
        cwd=environments.REPOSITORY, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()
