"""Fits the weights of `calibrations` to measured curves and says how often intervals hold on other tables.

`python -m tests.benchmarks.forecasts.calibration [CURVES.csv]` prints weights to take over, and the figures
of docs/forecast.md; without a file, of the curves that were measured for it and are kept beside this module.
Curves of a table are alike, so a table is never on both sides.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from pilotage.components.forecasts import behaviours, curves
from pilotage.components.forecasts.curves import Curve, Mean

KEPT = Path(__file__).with_name("curves.csv.gz")
"""Curves that `curves` measured on the tables that it names."""
FOLDS = 5
LEVEL = 0.8
_START = (0.9, 1.7, 0.3, 0.002, 0.4)
_FEWEST_SIZES = 6
_LARGE = 500
_CUTS = (0, 1, 2, 3)
"""Places from the end of a curve that are forecast."""


@dataclass(frozen=True)
class Case:
    """One forecast of a point that was hidden."""

    table: str
    learner: str
    n: float
    """The largest size that was known."""
    factor: float
    behaviour: str
    error: float
    """What is true less what was forecast."""
    unchanged: float
    """The same of the latest loss."""
    signs: tuple[float, ...]
    points: float
    holds: bool
    """Whether the interval as it is now has it."""


def read(path: Path) -> dict[tuple[str, str], Curve]:
    """Curves by table and learner; sizes at which many splits failed are left out."""
    found: dict[tuple[str, str], dict[int, tuple[float, float, int]]] = defaultdict(dict)
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    for row in csv.DictReader(text.decode().splitlines()):
        numbers = float(row["error"]), float(row["stderr"]), int(row["splits"])
        found[row["table"], row["learner"]][int(row["n"])] = numbers
    whole = {}
    for key, points in found.items():
        most = max(splits for _, _, splits in points.values())
        kept = sorted(n for n, (_, _, splits) in points.items() if splits >= 0.8 * most)
        if len(kept) >= _FEWEST_SIZES:
            columns = np.array([points[n][:2] for n in kept])
            whole[key] = Curve(np.array(kept, float), columns[:, 0], columns[:, 1])
    return whole


def cases(found: dict[tuple[str, str], Curve], octaves: int, *, errors: bool) -> list[Case]:
    """Forecasts `octaves` beyond what was known; with `errors` the standard errors are given, too."""
    told = []
    for (table, learner), curve in found.items():
        for cut in _CUTS:
            hidden = len(curve.n) - 1 - cut
            known = hidden - 2 * octaves + 1
            if known >= _FEWEST_SIZES and abs(curve.n[hidden] / curve.n[known - 1] - 2**octaves) < 0.1:
                told.append(_case(table, learner, curve, known, hidden, errors))
    return told


def _case(table: str, learner: str, curve: Curve, known: int, hidden: int, errors: bool) -> Case:
    stderr = curve.stderr[:known] if errors and curve.stderr is not None else None
    part = Curve(curve.n[:known], curve.loss[:known], stderr)
    verdict = behaviours.judge(part) or behaviours.judge_backtest(part, curves.look_back(part))
    mean = Mean(part)
    value, spread = mean.at(float(curve.n[hidden]))
    true = float(curve.loss[hidden])
    loss = curves.predict(mean, float(curve.n[hidden])).loss
    return Case(
        table=table,
        learner=learner,
        n=float(part.n[-1]),
        factor=float(curve.n[hidden] / part.n[-1]),
        behaviour=verdict.kind if verdict else "",
        error=true - value,
        unchanged=true - float(part.loss[-1]),
        signs=(spread, behaviours.recent_noise(part), abs(mean.here - value), part.span),
        points=len(part.n) / part.density,
        holds=loss.low <= true <= loss.high,
    )


def widths(told: Sequence[Case], weights: Any) -> Any:
    """Half widths by the formula of `calibrations.half_width`."""
    signs = np.array([case.signs for case in told])
    few = np.array([max(case.points - 4.0, 1.0) for case in told])
    return np.sqrt(((signs * weights[:4]) ** 2).sum(axis=1)) * (1 + weights[4] / few)


def fit(told: Sequence[Case]) -> Any:
    """Weights by maximum likelihood of a Student's t of four degrees, then scaled so that LEVEL holds."""
    errors, first = np.array([case.error for case in told]), np.log(_START)

    def surprise(logs: Any) -> float:
        scale = widths(told, np.exp(logs))
        penalty = 1e-3 * float(((logs - first) ** 2).sum())
        return float(np.mean(np.log(scale) + 2.5 * np.log1p((errors / scale) ** 2 / 4))) + penalty

    weights = np.exp(
        minimize(
            surprise, first, method="Nelder-Mead", options={"maxiter": 1200, "xatol": 1e-2, "fatol": 1e-5}
        ).x
    )
    rank = min(1.0, LEVEL * (1 + 1 / len(told)))
    weights[:4] *= np.quantile(np.abs(errors) / widths(told, weights), rank)
    return weights


def held_out(told: Sequence[Case]) -> Any:
    """Of each case, whether its interval holds with weights of other tables."""
    fold = np.array([int(hashlib.sha256(case.table.encode()).hexdigest(), 16) % FOLDS for case in told])
    holds = np.zeros(len(told), bool)
    for number in np.unique(fold):
        weights = fit([case for case, place in zip(told, fold, strict=True) if place != number])
        mine = [case for case, place in zip(told, fold, strict=True) if place == number]
        holds[fold == number] = np.abs([case.error for case in mine]) <= widths(mine, weights)
    return holds


def main(path: Path) -> None:
    """Print weights and figures."""
    found = read(path)
    write = sys.stdout.write
    write(f"{len(found)} curves of {len({table for table, _ in found})} tables\n")
    weights = []
    for octaves in (1, 2, 3, 4):
        everything = cases(found, octaves, errors=False)
        told = [case for case in everything if not case.behaviour]
        if octaves == 1:
            write(f"{Counter(case.behaviour or 'forecast' for case in everything)}\n")
        weights.append(fit(told))
        holds = held_out(told)
        given = [case for case in cases(found, octaves, errors=True) if not case.behaviour]
        write(f"{2**octaves:2d} times: {_figures(told, holds)}; with standard errors {_share(given):.1%}\n")
    for name, column in zip(("SPREAD", "NOISE", "FALL", "LEAST", "FEW"), np.array(weights).T, strict=True):
        write(f"{name} = ({', '.join(f'{value:.4f}' for value in column)})\n")


def _figures(told: Sequence[Case], holds: Any) -> str:
    large = [case for case in told if case.n > _LARGE]
    unchanged = float(np.median(np.abs([case.unchanged for case in told])))
    on_large = holds[[case.n > _LARGE for case in told]].mean()
    return (
        f"{len(told)} forecasts, median error {_middle(told):.4f} (no change: {unchanged:.4f}), held out"
        f" {holds.mean():.1%}, from more than {_LARGE} rows {on_large:.1%} and {_middle(large):.4f};"
        f" as it is now {_share(told):.1%}"
    )


def _share(told: Sequence[Case]) -> float:
    return float(np.mean([case.holds for case in told]))


def _middle(told: Sequence[Case]) -> float:
    return float(np.median(np.abs([case.error for case in told]))) if told else float("nan")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else KEPT)
