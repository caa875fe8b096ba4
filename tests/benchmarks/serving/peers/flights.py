"""What someone writes to serve a fitted scikit-learn pipeline in a framework that leaves the model to them.

The peers' scripts share it, so that each is measured with the same model code.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import joblib
import pandas as pd


class Flights:
    """The fitted pipeline and the kinds of its columns."""

    def __init__(self) -> None:
        folder = Path(os.environ["BENCH_MODEL"])
        self._pipeline = joblib.load(folder / "model.joblib")
        self._kinds: dict[str, str] = json.loads((folder / "kinds.json").read_text())

    def probabilities(self, rows: list[dict[str, Any]]) -> list[float]:
        """Of the positive class, one a row."""
        frame = pd.DataFrame(
            {name: pd.Series([row[name] for row in rows], dtype=kind) for name, kind in self._kinds.items()}
        )
        found: list[float] = self._pipeline.predict_proba(frame)[:, 1].tolist()
        return found
