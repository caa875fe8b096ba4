"""Why a version says what it says: what it leans on, and a few held-out rows taken apart."""

from __future__ import annotations

from enum import StrEnum

from pilotage.core.artifacts.bases import Part, Scalar


class Span(Part):
    """A value with its 95 % interval."""

    value: float
    low: float | None = None
    high: float | None = None


class Importance(Part):
    """How much one feature matters on the held-out rows."""

    feature: str
    drop: Span | None = None
    """What the goal's metric loses when the feature's values are permuted (Breiman, 2001)."""
    contribution: Span | None = None
    """Mean size of its contributions to predictions; only where these are exact."""


class RowKind(StrEnum):
    """Why a row was chosen to be shown."""

    TYPICAL = "typical"
    """Right, and as sure, or as far off, as most."""
    BORDERLINE = "borderline"
    """Nearly another class."""
    WRONG = "wrong"
    """The surest of the wrong ones, or the furthest off."""


class ExplainedRow(Part):
    """A held-out row: what was true, what was said, and what each feature contributed. It has no key."""

    kind: RowKind
    truth: Scalar
    predicted: Scalar
    score: float
    """Probability of the positive class, highest class probability, or predicted number."""
    explained: Scalar | None = None
    """The class whose output the contributions add up to; None of a number."""
    base: float
    value: float
    """Base and contributions add up to it."""
    values: dict[str, str | None]
    """What the row holds, by feature, as text that is cut short; None where it is missing."""
    contributions: dict[str, float]


class Dependence(Part):
    """What the model says on average when one feature is set to a value in all rows (Friedman, 2001)."""

    feature: str
    ordered: bool
    """Whether the values are numbers or times, in ascending order; else categories, the commonest first."""
    values: tuple[str, ...]
    places: tuple[float, ...]
    """Where each value is on an axis; empty unless ordered."""
    means: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    """10 % and 90 % of the rows' own answers (Goldstein, Kapelner, Bleich, Pitkin, 2015)."""


class Explanations(Part):
    """What evaluation could tell of a model's reasons, and what it could not."""

    metric: str
    rows: int
    """Held-out rows that importances were measured on."""
    repeats: int
    """How often each feature was permuted."""
    importances: tuple[Importance, ...] = ()
    """The most important first."""
    method: str = ""
    """How contributions were found: `tree`, `linear`, or `permutation`, which estimates them."""
    exact: bool = False
    output: str = ""
    """What contributions add up to."""
    examples: tuple[ExplainedRow, ...] = ()
    dependences: tuple[Dependence, ...] = ()
    dependence_of: Scalar | None = None
    """The class whose probability dependences are of; None of a number."""
    gaps: tuple[str, ...] = ()
    """What is missing, and why."""
