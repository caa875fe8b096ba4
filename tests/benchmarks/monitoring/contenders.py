"""Who is measured: the script that does each one's drift, in an environment of its own."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import environments

PEERS = Path(__file__).parent / "peers"
OURS, LIMIT = "pilotage", "plain-pass"
EVIDENTLY, NANNYML, ALIBI, WHYLOGS = "evidently", "nannyml", "alibi-detect", "whylogs"


@dataclass(frozen=True)
class Contender:
    """One tool."""

    name: str
    title: str
    script: str
    environment: str = ""
    """Name of its requirements among the peers, and its package; empty for this checkout's."""
    most_rounds: int = 2
    judges_windows: bool = True
    """Whether it has a verdict on windows whose false alarms and power are measured."""
    preset: str = ""
    """What is used of it."""

    @property
    def is_peer(self) -> bool:
        """Neither Pilotage nor the limit."""
        return bool(self.environment)

    @property
    def version(self) -> str:
        """Of its package."""
        return environments.version(self._requirements, self.environment) if self.environment else ""

    def command(self, job: Path) -> list[str]:
        """Runs a job; its environment is made on first use."""
        python = sys.executable
        if self.environment:
            python = str(environments.make(self._requirements) / "bin" / "python")
        return [python, "-W", "ignore", str(PEERS / self.script), str(job)]

    def variables(self) -> dict[str, str]:
        """Of its process."""
        path = [str(PEERS)] if self.environment else [str(PEERS), str(environments.REPOSITORY)]
        return environments.variables(PYTHONPATH=os.pathsep.join(path))

    @property
    def _requirements(self) -> Path:
        return PEERS / f"{self.environment}.txt"


CONTENDERS = (
    Contender(OURS, "Pilotage", "pilotage_drift.py", most_rounds=99, preset="profiles, then a comparison"),
    Contender(
        EVIDENTLY, "Evidently", "evidently_drift.py", EVIDENTLY, most_rounds=1,
        preset="`Report([DataDriftPreset()])`",
    ),
    Contender(
        NANNYML, "NannyML", "nannyml_drift.py", NANNYML, preset="`UnivariateDriftCalculator`",
    ),
    Contender(
        ALIBI, "alibi-detect", "alibi_detect_drift.py", ALIBI,
        preset="`TabularDrift`, p < 0.05 with Bonferroni's correction",
    ),
    Contender(
        WHYLOGS, "whylogs", "whylogs_drift.py", WHYLOGS, judges_windows=False,
        preset="`why.log` of both, `calculate_drift_scores`",
    ),
    Contender(
        LIMIT, "plain pass", "plain_pass.py", most_rounds=99, judges_windows=False,
        preset="read and sum, nothing else",
    ),
)  # fmt: skip
BY_NAME = {contender.name: contender for contender in CONTENDERS}
