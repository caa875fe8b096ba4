"""What given points say, as JSON has it: a forecast, the parameters of a law, or why there is neither.

Nothing here trains or reads a pilot, so that a call takes a fraction of a second; thousands of curves are
best forecast in one process: `documents.of_points(points.parse(text))`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pilotage.components.forecasts import curves
from pilotage.components.forecasts.points import Points
from pilotage.core import errors


def of_points(points: Points, at: Sequence[tuple[float, float | None]] = ()) -> dict[str, Any]:
    """What given points say: `parameters` of a law, the `forecast` of a curve, or why they are `refused`.

    Args:
        points: the measurements.
        at: sizes to forecast; of a law each with its data.

    Raises:
        SettingsError: a size has no data where there is a law, or has some where there is none.
    """
    for n, d in at:
        if (d is None) != (points.d is None):
            raise errors.SettingsError(
                f"`--at {n:g}` {'needs data' if d is None else 'has data'}, as the points"
                f" {'have' if d is None else 'have no'} column `d`.",
                remedy="Write `--at N,D` for points with `n` and `d`, `--at N` for a curve.",
            )
    if points.d is not None:
        return _law_document(points, [(n, d) for n, d in at if d is not None])
    return _curve_document(points, [n for n, _ in at])


def _law_document(points: Points, at: Sequence[tuple[float, float]]) -> dict[str, Any]:
    from pilotage.components.forecasts import laws  # its optimizer takes longer to load than a curve to fit

    data = np.ones_like(points.n) if points.d is None else points.d
    zero = int((points.loss <= 0).sum())
    if zero:
        found = laws.refusal(f"{zero} of the losses are 0, and the law is of their logarithms")
    else:
        found = laws.fit(points.n, data, points.loss)
    told: dict[str, Any] = {"kind": "law", "points": len(points.n), "refused": found.refused or None}
    aside = [
        {
            "row": place + 1,
            "n": float(points.n[place]),
            "d": float(data[place]),
            "loss": float(points.loss[place]),
        }
        for place in found.set_aside
    ]
    told["set_aside"] = aside
    if found.law is None:
        return told
    return {
        **told,
        "formula": "E + A / n^alpha + B / d^beta",
        "parameters": {name: interval.document for name, interval in found.parameters.items()},
        "level": laws.LEVEL,
        "tied": found.tied,
        "residual": found.residual,
        "forecast": [{"n": n, "d": d, **laws.predict(found, n, d, curves.LEVEL).document} for n, d in at],
        "forecast_level": curves.LEVEL,
    }


def _curve_document(points: Points, at: Sequence[float]) -> dict[str, Any]:
    curve = curves.gather(points.n, points.loss, points.stderr)
    found = curves.forecast(curve, at)
    beyond = [size for size in at if size > curves.FARTHEST * curve.largest * 1.001]
    refused = found.refused
    if not refused and beyond:
        refused = (
            f"{beyond[0]:,.0f} is more than {curves.FARTHEST:g} times the largest size, {curve.largest:,.0f}:"
            " nothing is said that far out"
        )
    return {
        "kind": "curve",
        "points": len(points.n),
        "sizes": len(curve.n),
        "largest": curve.largest,
        "level": curves.LEVEL,
        "refused": refused or None,
        "behaviour": found.behaviour or None,
        "forecast": [] if refused else [_told(point) for point in found.predicted],
        "floor": None if found.floor is None else found.floor.document,
        "backtest": None if found.backtest is None else _looked_back(found.backtest),
        "families": found.shares,
    }


def picture(points: Points, told: Mapping[str, Any]) -> dict[str, Any]:
    """A curve of given points as `plots.of_document` draws it; `told` is their document."""
    curve = curves.gather(points.n, points.loss, points.stderr)
    found = curves.forecast(curve)
    errors_known = curve.stderr if curve.stderr is not None else [None] * len(curve.n)
    return {
        "pilot": "given points",
        "metric": points.name,
        "target": None,
        "rows": round(curve.largest),
        "current": float(curve.loss[-1]),
        "refused": told["refused"] or "",
        "forecast": told["forecast"],
        "points": [
            {"n": round(n), "scale": 1.0, "value": float(loss), "stderr": error, "repeats": 1}
            for n, loss, error in zip(curve.n, curve.loss, errors_known, strict=True)
        ],
        "drawn": [{"n": place.n, **place.loss.document} for place in found.drawn],
    }


def _told(point: curves.Predicted) -> dict[str, Any]:
    """A forecast of a curve as JSON has it."""
    return {
        "n": point.n,
        "factor": point.factor,
        **point.loss.document,
        "only_interval": point.factor > curves.ONLY_INTERVAL,
    }


def _looked_back(found: curves.Backtest) -> dict[str, Any]:
    """A backtest as JSON has it."""
    return {"n": found.n, "known_until": found.known_until, **found.loss.document, "actual": found.actual}
