"""The file that keeps what was measured; a scenario that is run alone replaces only its own part."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks import environments


class Ledger:
    """The JSON file of one benchmark in a folder."""

    def __init__(
        self, folder: Path, file: str, command: str, facts: Callable[[], dict[str, dict[str, str]]]
    ) -> None:
        """`facts` tell what is kept beside the figures: `machine` and `versions`."""
        self._file = folder / file
        self._command = command
        self._facts = facts
        self.folder = folder
        self.found: dict[str, Any] = json.loads(self._file.read_text()) if self._file.is_file() else {}

    def note(self, scenario: str, measured: Any) -> None:
        """Keep what a scenario measured, with when, of which commit and by which command."""
        self.found |= self._facts()
        self.found[scenario] = measured
        self.found.setdefault("taken", {})[scenario] = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
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
    }


def commit() -> str:
    """Of this checkout, as git names it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"],
        cwd=environments.REPOSITORY, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()
