"""What given points say: the same however the file is written, and without loading what trains."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence

from pilotage.components.forecasts import documents, points

ROWS: list[tuple[float, ...]] = [(2**step, 0.1 + 0.8 * 2 ** (-step / 2)) for step in range(4, 13)]


def test_the_way_a_file_is_written_changes_nothing():
    plain = documents.of_points(points.parse(_text("n,error", ROWS)))
    mixed = random.Random(0).sample(ROWS, len(ROWS))
    assert documents.of_points(points.parse(_text(" N ,ERROR", mixed))) == plain
    blank = _text("n,error,stderr", [(float(n), error, "") for n, error in mixed])
    assert documents.of_points(points.parse(blank)) == plain
    nothing = documents.of_points(points.parse(_text("n,error,stderr", [(n, e, 0) for n, e in ROWS])))
    assert nothing == plain


def test_points_are_answered_without_loading_what_trains():
    loaded = "import sys, pilotage.components.forecasts.documents; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert not {"sklearn", "scipy", "polars", "sqlalchemy", "pandas"} & set(told.stdout.split())


def _text(header: str, rows: Sequence[tuple[object, ...]]) -> str:
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)])
