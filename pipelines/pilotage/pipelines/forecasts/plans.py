"""Which trainings a forecast is made of: nested subsets of the rows, model sizes, halves of the features."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pilotage.components.forecasts.trials import Trial

SIZES = 8
"""Different numbers of rows; each has at most twice as many as the one before."""
SCALES = (0.25, 0.5, 2.0)
"""Model sizes, beside that of pilot.yaml."""
_SCALED_SIZES = 4
"""The largest numbers of rows, on which the model sizes are tried."""
_DRAWS = 3
"""Random halves of the features."""
_FEWEST_FEATURES = 4


class Options(BaseModel):
    """What a forecast is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: Annotated[tuple[Annotated[float, Field(gt=0, le=1e15)], ...], Field(max_length=50)] = ()
    """Numbers of training rows to forecast, beside 2, 5 and 10 times as many."""
    repeats: Annotated[int, Field(ge=2, le=20)] = 4
    """Trainings of each of the smaller sizes; larger ones get fewer."""
    models: bool = True
    """Whether model sizes are tried."""
    features: bool = True
    """Whether halves of the features are tried."""


def sizes(total: int, smallest: int) -> list[int]:
    """Ascending numbers of rows up to `total`, each a like part of the next, none below `smallest`."""
    least = min(smallest, max(total // 8, 2))
    ratio = min(2.0, (total / least) ** (1 / (SIZES - 1)))
    found = {round(total / ratio**step) for step in range(SIZES)}
    return sorted(size for size in found if size >= 2)


def plan(total: int, smallest: int, features: int, options: Options, *, scalable: bool) -> list[Trial]:
    """The trials, those of few rows first."""
    steps = sizes(total, smallest)
    trials = [
        Trial(size, repeat)
        for place, size in enumerate(steps)
        for repeat in range(_repeats(place, len(steps), options.repeats))
    ]
    if options.models and scalable:
        trials += [Trial(size, 0, scale) for size in steps[-_SCALED_SIZES:] for scale in SCALES]
        trials.append(Trial(total, 1, 2.0))
    if options.features and features >= _FEWEST_FEATURES:
        trials += [Trial(total, draw, 1.0, 0.5) for draw in range(_DRAWS)]
    return sorted(trials, key=lambda trial: (trial.rows, trial.scale, trial.share, trial.repeat))


def _repeats(place: int, count: int, most: int) -> int:
    """All of them for the smaller half, fewer for the larger ones, two at least."""
    if place < count // 2:
        return most
    return 2 if place == count - 1 else max(2, most - 1)
