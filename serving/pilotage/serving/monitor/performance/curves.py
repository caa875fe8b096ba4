"""From a model's scores to chances: calibration curves fitted on rows whose truth is known.

Two curves are tried. Platt's (1999), a logistic curve of the score's log-odds with his
smoothed targets, has two parameters; isotonic regression (Zadrozny and Elkan, 2002) has
as many as it finds steps, and follows the noise of a small sample into chances that look
more certain than they are. So the isotonic one is taken only where its log loss on rows
it was not fitted on is clearly lower. Weights of rows carry over. What the chances are
used for is not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from pilotage.serving.monitor.rows.matrices import Numbers

FOLDS = 5
_CLEARLY = 2.0
"""Standard errors by which isotonic regression has to be better."""
_EPSILON = 1e-4
_STEPS = 25
_RIDGE = 1e-3

Curve = Callable[[Numbers], Numbers]
"""From scores to chances, both of shape `(n,)`."""


class Shape(StrEnum):
    LOGISTIC = "logistic"
    ISOTONIC = "isotonic"


def fit(shape: Shape, scores: Numbers, truth: Numbers, weights: Numbers) -> Curve:
    """The curve of `shape` through rows with `truth` 0 or 1; `weights` are not negative and not all 0."""
    return (_isotonic if shape is Shape.ISOTONIC else _logistic)(scores, truth, weights)


def choose(scores: Numbers, truth: Numbers, seed: int) -> Shape:
    """The logistic curve, unless the isotonic one has a clearly lower log loss out of fold."""
    fold = np.random.default_rng(seed).permutation(np.arange(len(scores)) % FOLDS)
    losses = {shape: np.zeros(len(scores)) for shape in Shape}
    for number in range(FOLDS):
        inside = fold != number
        if not inside.any() or inside.all():
            return Shape.LOGISTIC
        for shape, loss in losses.items():
            curve = fit(shape, scores[inside], truth[inside], np.ones(int(inside.sum())))
            loss[~inside] = _log_loss(truth[~inside], curve(scores[~inside]))
    gain = losses[Shape.LOGISTIC] - losses[Shape.ISOTONIC]
    better = gain.mean() > _CLEARLY * gain.std() / np.sqrt(len(gain))
    return Shape.ISOTONIC if better else Shape.LOGISTIC


def _log_loss(truth: Numbers, chance: Numbers) -> Numbers:
    chance = np.clip(chance, _EPSILON, 1 - _EPSILON)
    loss: Numbers = -np.where(truth == 1, np.log(chance), np.log1p(-chance))
    return loss


def _isotonic(scores: Numbers, truth: Numbers, weights: Numbers) -> Curve:
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    model.fit(scores, truth, sample_weight=weights)
    return lambda asked: np.asarray(model.predict(asked), dtype=np.float64)


def _logistic(scores: Numbers, truth: Numbers, weights: Numbers) -> Curve:
    """Newton's method on two parameters; a slight pull of the slope towards none makes it end."""
    scale = _scale(scores)
    x = scale(scores)
    centre, spread = float(np.mean(x)), float(np.std(x)) or 1.0
    x = (x - centre) / spread
    ones, zeros = float(weights @ truth), float(weights @ (1 - truth))
    target = np.where(truth == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    level, slope = float(np.log((ones + 1) / (zeros + 1))), 0.0
    for _ in range(_STEPS):
        chance = _sigmoid(level + slope * x)
        off, curvature = weights * (chance - target), weights * chance * (1 - chance)
        down = np.array([off.sum(), off @ x + _RIDGE * slope])
        a, b, c = curvature.sum() + 1e-9, curvature @ x, curvature @ (x * x) + _RIDGE
        step = np.array([c * down[0] - b * down[1], a * down[1] - b * down[0]]) / max(a * c - b * b, 1e-12)
        step = np.clip(step, -2, 2)
        level, slope = level - float(step[0]), slope - float(step[1])
        if np.abs(step).max() < 1e-7:
            break
    return lambda asked: _sigmoid(level + slope * (scale(asked) - centre) / spread)


def _scale(scores: Numbers) -> Curve:
    """Log-odds where the scores are chances, else the scores as they are."""
    if ((scores >= 0) & (scores <= 1)).all():
        return _log_odds
    return lambda asked: asked


def _log_odds(chance: Numbers) -> Numbers:
    inside = np.clip(chance, _EPSILON, 1 - _EPSILON)
    odds: Numbers = np.log(inside / (1 - inside))
    return odds


def _sigmoid(x: Numbers) -> Numbers:
    from scipy import special

    found: Numbers = special.expit(x)
    return found


def calibrate(
    shapes: tuple[Shape, ...],
    scores: Numbers,
    truth: npt.NDArray[np.intp],
    asked: Numbers,
    weights: Numbers,
) -> Numbers:
    """Chances of all classes for rows `asked`, shape `(m, classes)`.

    Args:
        shapes: one a column of `scores`.
        scores: of rows with a truth, `(n, 1)` for the positive one of two classes, else `(n, classes)`,
            each column then being fitted against the others and the chances divided by their sum.
        truth: positions of the classes, shape `(n,)`.
        asked: likewise, shape `(m, …)`.
        weights: of the rows with a truth.
    """
    if scores.shape[1] == 1:
        chance = fit(shapes[0], scores[:, 0], (truth == 1).astype(float), weights)(asked[:, 0])
        return np.column_stack([1 - chance, chance])
    columns = [
        fit(shape, scores[:, place], (truth == place).astype(float), weights)(asked[:, place])
        for place, shape in enumerate(shapes)
    ]
    together = np.clip(np.column_stack(columns), 1e-9, 1)
    chances: Numbers = together / together.sum(axis=1, keepdims=True)
    return chances
