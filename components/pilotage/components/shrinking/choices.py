"""Which candidate is chosen, by a rule that is said in words, or by name, or none with the reason."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pilotage.components.shrinking.trials import ORIGINAL
from pilotage.core import errors
from pilotage.core.artifacts import Candidate

RULE = (
    "Of the candidates that pass every gate, lose no more than they may and have no more than the share"
    " asked for of the original's size, time for a row or time for a batch: the one with the smallest"
    " product of these three shares."
)


def choose(candidates: Sequence[Candidate], wanted: str | None = None) -> tuple[str | None, str]:
    """The name of the chosen candidate, None for none, and why.

    Args:
        candidates: measured and judged.
        wanted: a name; it must have passed.

    Raises:
        NotFound: no candidate has that name.
    """
    if wanted is not None:
        return _named(candidates, wanted)
    passed = [item for item in candidates if item.passed]
    if not passed:
        return None, _none(candidates)
    best = min(passed, key=lambda item: (_product(item), item.name))
    return best.name, f"of {len(passed)} that passed it has the smallest shares: {_shares(best)}"


def _named(candidates: Sequence[Candidate], wanted: str) -> tuple[str | None, str]:
    if wanted == ORIGINAL:
        return ORIGINAL, "the version as it is was asked for"
    for item in candidates:
        if item.name == wanted:
            if item.passed:
                return wanted, "it was asked for, and passed"
            return None, f"`{wanted}` was asked for, and did not pass: {'; '.join(item.reasons)}"
    known = ", ".join(item.name for item in candidates)
    raise errors.NotFound(
        f"No candidate is called `{wanted}`.", remedy=f"Candidates are {known}; or leave `--choose` out."
    )


def _product(item: Candidate) -> float:
    return math.prod(_numbers(item))


def _numbers(item: Candidate) -> tuple[float, float, float]:
    row = item.row.value if item.row else 1.0
    batch = item.batch.value if item.batch else 1.0
    return (1.0 if item.size is None else item.size), row, batch


def _shares(item: Candidate) -> str:
    size, row, batch = _numbers(item)
    return f"{size:.2f} of the size, {row:.2f} of the time for a row, {batch:.2f} for a batch"


def _none(candidates: Sequence[Candidate]) -> str:
    """Why none was chosen: what the one says that failed by least."""
    made = [item for item in candidates if item.size is not None]
    if not made:
        return "none of the candidates can be made of this version"
    near = min(made, key=lambda item: (len(item.reasons), _product(item), item.name))
    if len(near.reasons) == 1:
        return f"none passed; `{near.name}` fails only by this: {near.reasons[0]}"
    return f"none passed; `{near.name}` fails by least: {'; '.join(near.reasons)}"


def default_drop(metric: float | None) -> float:
    """What may be lost when nobody says: a hundredth of the metric's size."""
    return 0.01 * abs(metric or 0.0)


__all__ = ["ORIGINAL", "RULE", "choose", "default_drop"]
