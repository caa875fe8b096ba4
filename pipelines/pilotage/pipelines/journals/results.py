"""What a run came to, as its caller and `pilotage run --json` are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilotage.pipelines.journals.events import StepOutcome
from pilotage.pipelines.journals.states import State

if TYPE_CHECKING:
    from pilotage.core.artifacts import Decision


@dataclass(frozen=True)
class RunResult:
    """What a run came to; `document` is what `pilotage run --json` prints."""

    run: str
    pilot: str
    state: State
    exit_code: int
    seconds: float
    steps: tuple[StepOutcome, ...]
    snapshot: str | None = None
    version: int | None = None
    promoted: bool = False
    decision: Decision | None = None
    reason: str = ""
    replaced: int | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)
    gates: tuple[dict[str, Any], ...] = ()
    error: dict[str, Any] | None = None
    logs: Path | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The result as one JSON document."""
        return {
            "run": self.run,
            "pilot": self.pilot,
            "state": self.state.value,
            "exit_code": self.exit_code,
            "seconds": round(self.seconds, 3),
            "snapshot": self.snapshot,
            "steps": [
                {
                    "name": step.name,
                    "state": step.state.value,
                    "seconds": round(step.seconds, 3),
                    "cached": step.cached,
                }
                for step in self.steps
            ],
            "version": self.version,
            "promoted": self.promoted,
            "decision": self.decision.value if self.decision else None,
            "reason": self.reason,
            "metrics": self.metrics,
            "gates": list(self.gates),
            "error": self.error,
            "logs": str(self.logs) if self.logs else None,
        }
