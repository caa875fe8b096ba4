"""What a picture of a forecast shows is whole."""

from __future__ import annotations

import re
from typing import Any

from pilotage.components.forecasts import plots


def document(stderr: float) -> dict[str, Any]:
    points = [
        {"n": n, "scale": scale, "value": value, "stderr": stderr, "repeats": 3}
        for n, scale, value in ((100, 1.0, 0.7), (200, 1.0, 0.71), (200, 2.0, 0.9))
    ]
    told = {"metric": "roc_auc", "pilot": "p", "target": None, "rows": 200, "current": 0.71}
    return told | {"refused": "flat", "forecast": [], "points": points, "drawn": []}


def test_whiskers_and_larger_models_are_never_cut_off():
    drawn = plots.of_document(document(0.2))
    rules = [float(y) for y in re.findall(r'class="rule" d="M[\d.]+ ([\d.]+)H', drawn)]
    ends = re.findall(r'class="whisker" d="M[\d.]+ ([\d.]+)L[\d.]+ ([\d.]+)"', drawn)
    heights = [float(bottom) - float(top) for bottom, top in ends]
    assert len(heights) == 2
    assert heights[0] == heights[1] > 100, "four standard errors, wherever the mean is"
    assert all(min(rules) <= float(y) <= max(rules) for end in ends for y in end)
    assert drawn.count('class="other"') == 1
