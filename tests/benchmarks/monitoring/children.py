"""One contender's work in a process of its own, with what it cost, and the answers of earlier runs.

CPU seconds are user and system time of the child and what it has waited for, as the kernel tells them
at its end; start and imports are what the script had spent when it began. Answers are kept below
`.cache/bench`, so that a run without the slow peers can show their last figures of the same machine,
marked as such.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks import ledgers
from tests.benchmarks.monitoring import tables
from tests.benchmarks.monitoring.contenders import Contender

Answer = dict[str, Any]


def run(contender: Contender, job: Mapping[str, Any], folder: Path) -> Answer:
    """What a contender found, and its `cpu`, `wall`, `whole_cpu`, `whole_wall` seconds and `peak_mb`.

    Raises:
        RuntimeError: it did not end well; with the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    answer, log, file = (folder / f"{contender.name}.{kind}" for kind in ("answer", "log", "job"))
    answer.unlink(missing_ok=True)
    asked = {"numbers": tables.NUMBERS, "categories": tables.CATEGORIES, "answer": str(answer), **job}
    file.write_text(json.dumps(asked))
    command = contender.command(file)
    with log.open("wb") as stream:
        began = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=folder, env=contender.variables(), stdout=stream, stderr=stream,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            raise
        wall = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        told = log.read_text(errors="replace")[-3000:]
        raise RuntimeError(f"`{' '.join(command)}` ended with {child.returncode}:\n{told}")
    found: Answer = json.loads(answer.read_text())
    cpu = usage.ru_utime + usage.ru_stime
    begun = float(found["imports"]["cpu"])
    return found | {
        "whole_cpu": cpu,
        "whole_wall": wall,
        "cpu": cpu - begun,
        "wall": sum(part["wall"] for part in found["parts"].values()),
    }


@dataclass
class Archive:
    """Answers by name and contender; those of this run are not asked for twice."""

    folder: Path
    fresh: set[str] = field(default_factory=set)
    """Names and contenders of this run's answers."""

    def keep(self, name: str, contender: Contender, found: Any) -> Any:
        """Keep an answer of this run, with the machine and the time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        told = {"machine": ledgers.machine(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
        file = self._file(name, contender)
        beside = file.with_suffix(".writing")
        beside.write_text(json.dumps(told | {"found": found}))
        beside.rename(file)
        self.fresh.add(file.name)
        return found

    def last(self, name: str, contender: Contender) -> tuple[Any, str] | None:
        """The last answer of this machine and, unless it is of this run, when it was; or None."""
        file = self._file(name, contender)
        if not file.is_file():
            return None
        told = json.loads(file.read_text())
        if told["machine"] != ledgers.machine():
            return None
        return told["found"], "" if file.name in self.fresh else told["at"]

    def _file(self, name: str, contender: Contender) -> Path:
        return self.folder / f"{name}-{contender.name}.json"
