"""What a study's trainings answer: the forecast, the target, the better buy and the cost, in numbers and in
words.

An answer that the trainings do not give is `cannot_tell`, with the reason. Values are in the goal's own
metric; curves are fitted to what it is short of (see `trials.loss_of`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from pilotage.components.forecasts.intervals import Interval
from pilotage.core.metrics import greater_is_better


class Verdict(StrEnum):
    """What an answer comes to."""

    REACHED = "reached"
    """The target is met already."""
    IN_REACH = "in_reach"
    OUT_OF_REACH = "out_of_reach"
    NO_TARGET = "no_target"
    DATA = "data"
    MODEL = "model"
    FEATURES = "features"
    """Better features, or labels: neither rows nor size bring more."""
    CANNOT_TELL = "cannot_tell"
    TOLD = "told"


class Part(BaseModel):
    """What documents are made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Bounds(Part):
    """A value with its interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, found: Interval) -> Bounds:
        return cls(value=found.value, low=found.low, high=found.high)


class Point(Part):
    """What was measured at one size, a mean over repeats."""

    n: int
    scale: float
    """Of the model, in that of pilot.yaml."""
    value: float
    stderr: float | None
    repeats: int
    cpu_seconds: float


class Expected(Part):
    """The metric at a size that was not tried."""

    n: int
    factor: float
    value: float
    low: float
    high: float
    only_interval: bool = False
    """So far beyond what was tried that the middle means little."""


class Drawn(Part):
    """One place of the curve in the plot."""

    n: float
    value: float
    low: float
    high: float


class Cost(Part):
    """What one training on more rows takes."""

    n: int
    factor: float
    cpu_seconds: Bounds
    energy_kwh: float | None
    co2_kg: float | None
    price: float | None
    currency: str | None


class Backtest(Part):
    """What the smaller sizes would have said of the largest one."""

    n: int
    known_until: int
    value: float
    low: float
    high: float
    actual: float


class Answer(Part):
    """One question, answered."""

    question: str
    verdict: Verdict
    words: str


class Law(Part):
    """The scaling law of model size and data, or why there is none."""

    parameters: dict[str, Bounds]
    level: float
    refused: str = ""


class Document(Part):
    """All that a forecast of a pilot found."""

    kind: str = "forecast"
    schema_version: int = 1
    study: str
    pilot: str
    metric: str
    greater_is_better: bool
    target: float | None
    estimator: str
    snapshot: str
    rows: int
    """Training rows, all of them."""
    test_rows: int
    level: float
    current: float
    """On all rows, a mean over repeats."""
    forecast: tuple[Expected, ...]
    refused: str
    """Why there is no forecast; empty where there is one."""
    behaviour: str
    target_rows: Bounds | None
    """Rows at which the target is met; the bounds are by those of the interval, as far as they get there."""
    answers: tuple[Answer, ...]
    costs: tuple[Cost, ...]
    points: tuple[Point, ...]
    drawn: tuple[Drawn, ...]
    backtest: Backtest | None
    floor: Bounds | None
    """Where the metric would end with any number of rows."""
    bigger_model: Bounds | None
    """Gain of a model twice as large on all rows, in units of the metric, better is positive."""
    fewer_features: Bounds | None
    """Loss when half of the features are gone."""
    law: Law | None
    cpu_seconds: float
    """All trainings of the study, also those that were kept from earlier ones."""
    trained: int
    kept: int

    def answer(self, verdicts: Sequence[Verdict]) -> Answer | None:
        """The first answer with one of the verdicts."""
        return next((answer for answer in self.answers if answer.verdict in verdicts), None)

    @property
    def short(self) -> dict[str, Any]:
        """What the table of studies keeps."""
        return {
            "metric": self.metric,
            "current": self.current,
            "forecast": [point.model_dump(mode="json") for point in self.forecast],
            "refused": self.refused,
            "answers": [answer.model_dump(mode="json") for answer in self.answers],
            "snapshot": self.snapshot,
        }


def more_data(document_level: float, current: float, expected: Sequence[Expected], refused: str) -> Answer:
    """What would more rows bring?"""
    question = "What would more rows bring?"
    if refused:
        return Answer(question=question, verdict=Verdict.CANNOT_TELL, words=f"Cannot tell: {refused}.")
    told = "; ".join(
        f"{point.factor:.3g} times as many ({point.n:,}): "
        + (
            f"between {_number(point.low)} and {_number(point.high)}"
            if point.only_interval
            else f"{_number(point.value)} ({_number(point.low)} to {_number(point.high)})"
        )
        for point in expected
    )
    return Answer(
        question=question,
        verdict=Verdict.TOLD,
        words=f"Now {_number(current)}. {told}. Each interval holds with {document_level:.0%}, for rows like"
        " these.",
    )


def target(
    metric: str,
    wanted: float | None,
    current: float,
    reached: tuple[float | None, float | None, float | None],
    rows: int,
    refused: str,
    farthest: float,
) -> tuple[Answer, Bounds | None]:
    """How many rows does the target need? `reached` is by the middle, the better and the worse bound."""
    question = "How many rows does the target need?"
    if wanted is None:
        return Answer(
            question=question, verdict=Verdict.NO_TARGET, words="pilot.yaml says no `goal.target`."
        ), None
    if (current >= wanted) if greater_is_better(metric) else (current <= wanted):
        words = f"None more: {metric} is {_number(current)}, the target {_number(wanted)}."
        return Answer(question=question, verdict=Verdict.REACHED, words=words), None
    if refused:
        return Answer(question=question, verdict=Verdict.CANNOT_TELL, words=f"Cannot tell: {refused}."), None
    middle, soonest, latest = reached
    most = f"{farthest:g} times as many rows ({farthest * rows:,.0f})"
    if soonest is None:
        words = f"More rows alone do not get there: with {most} {metric} stays short of {_number(wanted)}."
        return Answer(question=question, verdict=Verdict.OUT_OF_REACH, words=words), None
    if middle is None:
        words = f"Cannot tell: {soonest:,.0f} rows could be enough at best, and {most} may be too few."
        return Answer(question=question, verdict=Verdict.CANNOT_TELL, words=words), None
    end = f"{latest:,.0f}" if latest is not None else f"more than {farthest * rows:,.0f}"
    words = f"About {middle:,.0f} ({soonest:,.0f} to {end}), {middle / rows:.1f} times as many as now."
    bounds = Bounds(value=middle, low=soonest, high=latest if latest is not None else farthest * rows)
    return Answer(question=question, verdict=Verdict.IN_REACH, words=words), bounds


def better_buy(
    data: Interval | None,
    model: Interval | None,
    fewer: Interval | None,
    left: Interval | None,
    *,
    why_no_data: str,
    why_no_model: str,
) -> Answer:
    """More rows, a bigger model or better features? Gains are in units of the metric, better is positive.

    Args:
        data: gain of twice the rows, over the curve at all rows: one measurement there is noisier.
        model: gain of a model twice as large.
        fewer: loss when half of the features are gone.
        left: what any number of rows would bring at most.
        why_no_data: why `data` is not known.
        why_no_model: why `model` is not known.
    """
    question = "More rows, a bigger model, or better features?"
    told = [
        f"Twice the rows: {_gain(data)} over where the fitted curve is now."
        if data
        else f"Twice the rows: cannot tell, {why_no_data}.",
        f"A model twice as large: {_gain(model)}." if model else f"A larger model: {why_no_model}.",
    ]
    if fewer is not None:
        means = (
            "they carry what is known, and whether others would carry more cannot be told from them"
            if fewer.low > 0
            else "they repeat each other, so that more of the same kind would bring little"
        )
        gain = Interval(-fewer.value, -fewer.high, -fewer.low)
        told.append(f"Without half of the features: {_gain(gain)}; {means}.")
    if left is not None:
        told.append(f"Rows without end would bring {_gain(left)} at most; the rest is not in these features.")
    verdict, first = _choose(data, model, left)
    return Answer(question=question, verdict=verdict, words=" ".join([first, *told]))


def _choose(data: Interval | None, model: Interval | None, left: Interval | None) -> tuple[Verdict, str]:
    sure = {
        verdict: gain
        for verdict, gain in ((Verdict.DATA, data), (Verdict.MODEL, model))
        if gain is not None and gain.low > 0
    }
    if len(sure) == 2:
        rows, size = sure[Verdict.DATA], sure[Verdict.MODEL]
        if rows.low > size.high:
            return Verdict.DATA, "More rows."
        if size.low > rows.high:
            return Verdict.MODEL, "A bigger model."
        return Verdict.CANNOT_TELL, "Both more rows and a bigger model help; which more cannot be told."
    if Verdict.DATA in sure and model is not None:
        return Verdict.DATA, "More rows."
    if Verdict.MODEL in sure and data is not None:
        return Verdict.MODEL, "A bigger model."
    if sure:
        verdict = next(iter(sure))
        return (
            verdict,
            "More rows, as far as was tried."
            if verdict is Verdict.DATA
            else "A bigger model, as far as was tried.",
        )
    spent = [gain for gain in (data, model) if gain is not None]
    if len(spent) == 2 and left is not None and left.value < 2 * max(spent[0].high, 1e-12):
        return Verdict.FEATURES, "Better features or labels: neither rows nor size clearly bring more."
    return Verdict.CANNOT_TELL, "Cannot tell."


def at_what_cost(costs: Sequence[Cost], unknown: str) -> Answer:
    """What would a training on more rows cost?"""
    question = "What would a training on more rows cost?"
    if not costs:
        return Answer(question=question, verdict=Verdict.CANNOT_TELL, words=f"Cannot tell: {unknown}.")
    told = []
    for cost in costs:
        words = (
            f"{cost.factor:.3g} times: {_seconds(cost.cpu_seconds.value)} of CPU"
            f" ({_seconds(cost.cpu_seconds.low)} to {_seconds(cost.cpu_seconds.high)})"
        )
        if cost.energy_kwh is not None:
            words += f", {1000 * cost.energy_kwh:.3g} Wh"
        if cost.price is not None:
            words += f", {cost.price:.3g} {cost.currency}"
        told.append(words)
    words = (
        "; ".join(told)
        + ". On a machine like this one, for one training; what rows cost to collect is not in it."
    )
    return Answer(question=question, verdict=Verdict.TOLD, words=words)


def _gain(gain: Interval) -> str:
    return f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _seconds(value: float) -> str:
    if value < 120:
        return f"{value:.3g} s"
    return f"{value / 60:.3g} min" if value < 7200 else f"{value / 3600:.3g} h"
