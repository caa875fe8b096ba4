"""Why a model failed on rows: because of one of them, or because it is broken."""

from __future__ import annotations

import bisect

from pilotage.core import errors
from pilotage.core.features import Columns
from pilotage.serving.inference.merges import Merged
from pilotage.serving.versions.lives import Live

_OF_VALUES = (ValueError, TypeError, OverflowError, ArithmeticError)


def explain(live: Live, merged: Merged, error: Exception) -> Exception:
    """The error to answer: one that names the row, when the model takes an ordinary one, else `error`."""
    if not isinstance(error, _OF_VALUES) or not _accepts(live, live.typical):
        return error
    row = _first_refused(live, merged)
    found = errors.RequestError(
        f"Row {row}: the model cannot take these values: {_brief(error)}.",
        remedy="Send values in the range that the model was trained on.",
        row=row,
    )
    found.__cause__ = error
    return found


def _first_refused(live: Live, merged: Merged) -> int:
    """Position of the first row that the model refuses."""
    return bisect.bisect_left(
        range(merged.rows - 1), 1, key=lambda row: int(not _accepts(live, _head(merged.columns, row + 1)))
    )


def _accepts(live: Live, columns: Columns) -> bool:
    try:
        live.predictor.predict(columns)
    except Exception:
        return False
    return True


def _head(columns: Columns, rows: int) -> Columns:
    return {name: column[:rows] for name, column in columns.items()}


def _brief(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200].rstrip(".")
