"""What a smaller model is for: which share must be small, where it may not be slower, which counts.

Times are told with intervals, since they are measured on a machine that does other things, too: one counts as
longer only where its whole interval says so. What a candidate may lose is not asked here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from pilotage.core.artifacts import Candidate, Objective, Share

SLOWER = 1.05
"""Share of the original's time from which on a model is slower, if its interval begins there."""
SAVED: Mapping[Objective, tuple[str, ...]] = {
    Objective.BALANCED: ("size", "row", "batch"),
    Objective.SIZE: ("size",),
    Objective.LATENCY: ("row",),
    Objective.THROUGHPUT: ("batch",),
}
"""Of which one must be at most the share asked for; their product is what counts."""
_KEPT: Mapping[Objective, tuple[str, ...]] = {
    Objective.BALANCED: ("row", "row_p99", "batch"),
    Objective.SIZE: (),
    Objective.LATENCY: ("row", "row_p99"),
    Objective.THROUGHPUT: ("batch",),
}
"""Times that may not be longer than the original's."""
_WORDS = {
    "size": "the size",
    "row": "the time for a row",
    "row_p99": "the 99th percentile of the time for a row",
    "batch": "the time for a batch",
}
COSTS: Mapping[Objective, str] = {
    Objective.BALANCED: "product of shares",
    Objective.SIZE: "size",
    Objective.LATENCY: "time for a row",
    Objective.THROUGHPUT: "time for a batch",
}
"""By what one is chosen."""


def rule(objective: Objective) -> str:
    """How one is chosen, in words."""
    saved = " or ".join(_WORDS[name] for name in SAVED[objective])
    kept = ", ".join(_WORDS[name] for name in _KEPT[objective])
    slower = f"are not slower than the original ({kept}), " if kept else ""
    return (
        "Of the candidates that pass every gate, lose no more than they may,"
        f" {slower}and have at most the share asked for of {saved}: the one with the smallest"
        f" {COSTS[objective]}. One that is slower than the original in any of these times is promoted by a"
        " person alone."
    )


def cost(candidate: Candidate, objective: Objective) -> float:
    """What counts: the smaller, the better."""
    return math.prod(_value(candidate, name) for name in SAVED[objective])


def told(candidate: Candidate) -> str:
    """A candidate's shares in words."""
    size, row, batch = (_value(candidate, name) for name in ("size", "row", "batch"))
    return f"{size:.2f} of the size, {row:.2f} of the time for a row, {batch:.2f} for a batch"


def saves_too_little(candidate: Candidate, objective: Objective, at_most: float) -> Iterator[str]:
    """Why it is not small enough, if it is not."""
    shares = {_WORDS[name]: _value(candidate, name) for name in SAVED[objective]}
    if min(shares.values()) > at_most:
        found = ", ".join(f"{share:.2f} of {what}" for what, share in shares.items())
        which = "one must be" if len(shares) > 1 else "it must be"
        yield f"it saves too little: {found}; {which} at most {at_most:g}"


def slower(candidate: Candidate, objective: Objective | None = None) -> Iterator[str]:
    """Where it takes longer than the original: of what the objective does not allow, or of all times."""
    for name in _KEPT[objective or Objective.BALANCED]:
        share = getattr(candidate, name)
        if isinstance(share, Share) and share.low > SLOWER:
            yield f"{share.value:.2f} of {_WORDS[name]} ({share.low:.2f} to {share.high:.2f})"


def _value(candidate: Candidate, name: str) -> float:
    found = getattr(candidate, name)
    if found is None:
        return 1.0
    return found.value if isinstance(found, Share) else float(found)
