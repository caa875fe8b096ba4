"""What looking for personal data costs ingest: CPU seconds with and without, of the same table.

`python -m tests.benchmarks.personal [--rows N]`. Without means that the guard hands batches on as they
come. Presidio is left out, which is asked about 200 values of a column whatever the table's length.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pilotage.components import ingest
from pilotage.components.personal import guards, presidio
from pilotage.components.sources.batches import Opened
from pilotage.core import settings
from pilotage.core.specs import PilotSpec

KEY = "5b1f0c9d7e3a48269f60d2c4b8a1e753"
RULES: dict[str, dict[str, Any] | None] = {
    "nothing declared": None,
    "one column hashed": {"columns": {"mail": "hash"}},
    "two columns hashed and kinds masked": {
        "columns": {"mail": "hash", "customer": "hash"},
        "kinds": {"phone": "mask", "email": "mask"},
    },
}


def table(rows: int) -> pa.Table:
    """A table of 12 columns: 8 numbers, 2 categories, and 2 with different text in every row."""
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {f"x{place}": random.normal(size=rows) for place in range(8)}
    columns["colour"] = np.array(["red", "green", "blue"])[random.integers(0, 3, rows)]
    columns["note"] = np.array([f"note {place}" for place in range(500)])[random.integers(0, 500, rows)]
    columns["mail"] = [f"buyer{place}@mail.example" for place in range(rows)]
    columns["customer"] = [f"c{place}" for place in range(rows)]
    columns["y"] = random.random(rows) < 0.3
    return pa.table(columns)


def seconds(source: Path, rules: dict[str, Any] | None) -> float:
    """CPU seconds of one ingest into a fresh home."""
    data: dict[str, Any] = {"source": source.name, "target": "y"}
    if rules is not None:
        data["personal"] = rules
    spec = PilotSpec.model_validate(
        {"version": 1, "pilot": "trial", "goal": {"metric": "roc_auc"}, "data": data}
    )
    with tempfile.TemporaryDirectory() as place:
        installation = settings.load(home=Path(place) / "home", personal_key=KEY)
        began = time.process_time()
        ingest.ingest(spec, source.parent, installation, Path(place) / "out")
        return time.process_time() - began


def _as_they_come(_: guards.Guard, opened: Opened) -> Iterator[Any]:
    yield from opened.batches


def measure(rows: int, repeats: int) -> dict[str, Any]:
    """Seconds and their ratio to ingest without a guard: the least of several, each in turn."""
    with tempfile.TemporaryDirectory() as place, mock.patch.object(presidio, "installed", return_value=False):
        source = Path(place) / "rows.parquet"
        pq.write_table(table(rows), source)
        cases: dict[str, Callable[[], float]] = {
            name: (lambda rules=rules: seconds(source, rules))
            for name, rules in RULES.items()  # type: ignore[misc]
        }
        found: dict[str, list[float]] = {"without": [], **{name: [] for name in cases}}
        for _ in range(repeats):
            with mock.patch.object(guards.Guard, "_batches", _as_they_come):
                found["without"].append(seconds(source, None))
            for name, run in cases.items():
                found[name].append(run())
    least = {name: min(values) for name, values in found.items()}
    return {
        "rows": rows,
        "seconds": {name: round(value, 3) for name, value in least.items()},
        "ratio": {name: round(value / least["without"], 2) for name, value in least.items()},
    }


def main() -> None:
    """Measure, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    sys.stdout.write(json.dumps(measure(asked.rows, asked.repeats), indent=2) + "\n")


if __name__ == "__main__":
    main()
