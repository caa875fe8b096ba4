"""Scikit-learn's 1,797 handwritten digits as a table: 64 pixels and the digit they show."""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path

import pandas as pd
from sklearn.datasets import load_digits

PACKAGE = "scikit-learn"


def load() -> pd.DataFrame:
    """One row a scan: `pixel_0_0` to `pixel_7_7` (row, column; ink from 0 to 16) and `digit`, 0 to 9."""
    pixels, digits = load_digits(return_X_y=True, as_frame=True)
    table: pd.DataFrame = pixels.assign(digit=digits.astype("int64"))
    return table


def fingerprint() -> str:
    """A text that changes when `load` would: scikit-learn's version and this file."""
    version = importlib.metadata.version(PACKAGE)
    return hashlib.sha256(version.encode() + Path(__file__).read_bytes()).hexdigest()
