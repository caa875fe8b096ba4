"""Confidence-based performance estimation: a classification metric from calibrated scores.

The model's scores become chances by a curve fitted on the reference, and the metric is
expected from the chances of the window's rows (CBPE; Białek, Kuberski, Perrakis and Bifet,
2023). With weights that make the reference resemble the window the curve is that of rows
like the window's (close to PAPE; Białek, Perrakis, Kuberski and Bifet, 2025). The error is
the bootstrap's (Efron, 1979) over the rows of both samples. Which estimate is shown, and
when there is none, is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pilotage.serving.monitor.performance import curves, expectations
from pilotage.serving.monitor.performance.curves import Shape
from pilotage.serving.monitor.performance.expectations import Answers
from pilotage.serving.monitor.performance.outcomes import Outcomes
from pilotage.serving.monitor.rows.matrices import Numbers

DRAWS = 100
_MOST_CURVES = 400
"""Curves fitted for the error; with many classes there are fewer draws."""


@dataclass(frozen=True)
class Confidence:
    """A metric, and all that its expectation is made from."""

    metric: str
    classes: int
    shapes: tuple[Shape, ...]
    reference: Outcomes
    window: Answers

    def value(self, weights: Numbers) -> float:
        """The expected metric of the window; `weights` are those of the reference's rows."""
        return self._expected(weights, np.ones(len(self.window.score)))

    def error(self, weights: Numbers, seed: int) -> float:
        """The standard error of `value`; NaN where it cannot be told."""
        generator = np.random.default_rng(seed)
        held, served = len(self.reference.truth), len(self.window.score)
        found = []
        for _ in range(int(np.clip(_MOST_CURVES // len(self.shapes), 20, DRAWS))):
            drawn = generator.multinomial(held, np.full(held, 1 / held)) * weights
            times = generator.multinomial(served, np.full(served, 1 / served)).astype(float)
            if drawn.sum() > 0:
                found.append(self._expected(drawn, times))
        values = np.array(found)
        values = values[np.isfinite(values)]
        return float(values.std(ddof=1)) if len(values) > 1 else float("nan")

    def _expected(self, weights: Numbers, times: Numbers) -> float:
        kept = weights > 0
        chances = curves.calibrate(
            self.shapes,
            scores_of(self.reference, self.classes)[kept],
            self.reference.truth[kept].astype(np.intp),
            scores_of(self.window, self.classes),
            weights[kept],
        )
        return expectations.expected(self.metric, self.window, chances, times)


def scores_of(answers: Outcomes | Answers, classes: int) -> Numbers:
    """What curves are fitted on: `(n, 1)` for two classes, else the probabilities `(n, classes)`."""
    if answers.probabilities is None:
        return answers.score[:, None]
    return answers.probabilities[:, 1:] if classes == 2 else answers.probabilities


def prepare(metric: str, classes: int, reference: Outcomes, window: Answers, seed: int) -> Confidence:
    """Choose the curves' shapes.

    Args:
        metric: one of `pilotage.core.metrics.CLASSIFICATION`.
        classes: how many the model has.
        reference: held-out rows with their truth.
        window: what the version answered.
        seed: of the folds.
    """
    scores = scores_of(reference, classes)
    positives = [1] if scores.shape[1] == 1 else range(classes)
    shapes = tuple(
        curves.choose(scores[:, place], (reference.truth == positive).astype(float), seed)
        for place, positive in enumerate(positives)
    )
    return Confidence(metric, classes, shapes, reference, window)
