"""What a measured process does besides its work: reads its job, notes what its parts cost, writes its answer.

Imported first, by scripts in environments that have nothing of Pilotage. Costs are those of the process
and its children, in CPU seconds; what was spent before `begin` is start and imports.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path


def cpu_seconds():
    """Spent by this process and the children it has waited for."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


class Job:
    """The job in the file that the first argument names."""

    def __init__(self):
        self.asked = json.loads(Path(sys.argv[1]).read_text())
        self.parts = {}
        self.imports = {"cpu": cpu_seconds()}
        self._last = (self.imports["cpu"], time.perf_counter())

    def __getitem__(self, name):
        return self.asked[name]

    def get(self, name):
        """What was asked, or None."""
        return self.asked.get(name)

    def note(self, part):
        """Add what was spent since the last note to `part`."""
        now = (cpu_seconds(), time.perf_counter())
        held = self.parts.setdefault(part, {"cpu": 0.0, "wall": 0.0})
        held["cpu"] += now[0] - self._last[0]
        held["wall"] += now[1] - self._last[1]
        self._last = now

    def answer(self, found):
        """Write what was found, beside what it cost."""
        status = Path("/proc/self/status").read_text().splitlines()
        peak = next(line for line in status if line.startswith("VmHWM"))
        # VmHWM begins anew with the program; `ru_maxrss` would begin with the parent's.
        told = {"found": found, "parts": self.parts, "imports": self.imports}
        told["peak_mb"] = int(peak.split()[1]) / 1024
        file = Path(self.asked["answer"])
        beside = file.with_suffix(".writing")
        beside.write_text(json.dumps(told))
        beside.replace(file)
