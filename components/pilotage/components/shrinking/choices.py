"""Which candidate is chosen, by a rule that is said in words, or by name, or none with the reason."""

from __future__ import annotations

from collections.abc import Sequence

from pilotage.components.shrinking import objectives
from pilotage.components.shrinking.trials import ORIGINAL
from pilotage.core import errors
from pilotage.core.artifacts import Candidate, Objective


def choose(
    candidates: Sequence[Candidate], wanted: str | None = None, objective: Objective = Objective.BALANCED
) -> tuple[str | None, str]:
    """The name of the chosen candidate, None for none, and why.

    Args:
        candidates: measured and judged for the objective.
        wanted: a name; it must have passed.
        objective: what a smaller model is for.

    Raises:
        NotFound: no candidate has that name.
    """
    if wanted is not None:
        return _named(candidates, wanted)
    passed = [item for item in candidates if item.passed]
    if not passed:
        return None, _none(candidates, objective)
    best = min(passed, key=lambda item: (objectives.cost(item, objective), item.name))
    what = objectives.COSTS[objective]
    return best.name, f"of {len(passed)} that passed it has the smallest {what}: {objectives.told(best)}"


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


def _none(candidates: Sequence[Candidate], objective: Objective) -> str:
    """Why none was chosen: what the one says that failed by least."""
    made = [item for item in candidates if item.size is not None]
    if not made:
        return "none of the candidates can be made of this version"
    near = min(made, key=lambda item: (len(item.reasons), objectives.cost(item, objective), item.name))
    if len(near.reasons) == 1:
        return f"none passed; `{near.name}` fails only by this: {near.reasons[0]}"
    return f"none passed; `{near.name}` fails by least: {'; '.join(near.reasons)}"


def default_drop(metric: float | None) -> float:
    """What may be lost when nobody says: a hundredth of the metric's size."""
    return 0.01 * abs(metric or 0.0)


__all__ = ["ORIGINAL", "choose", "default_drop"]
