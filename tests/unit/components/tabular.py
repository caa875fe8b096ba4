"""Small pilots over small tables, for the tests of ingest and validate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pilotage.components.ingest import ingest
from pilotage.core import settings
from pilotage.core.artifacts import Column, Snapshot
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec


def make_spec(source: Any, target: str = "y", metric: str = "accuracy", **data: Any) -> PilotSpec:
    """A pilot with the five needed keys, and `data`."""
    expectations = data.pop("expectations", None)
    return PilotSpec.model_validate(
        {
            "version": 1,
            "pilot": "trial",
            "goal": {"metric": metric},
            "data": {"source": source, "target": target, **data},
            "expectations": expectations,
        }
    )


def make_settings(folder: Path) -> Settings:
    return settings.load(home=folder / "home")


def ingested(folder: Path, source: Any, target: str = "y", metric: str = "accuracy", **data: Any) -> Snapshot:
    """The snapshot of a source in `folder`, kept in `folder/home`."""
    spec = make_spec(source, target, metric, **data)
    return ingest(spec, folder, make_settings(folder), folder / "out")


def stored(snapshot: Snapshot, name: str) -> Column:
    """The stored column `name`, which must be there."""
    found = snapshot.column(name)
    assert found is not None
    return found


def write_csv(path: Path, columns: dict[str, list[Any]]) -> Path:
    """Columns as CSV; None is an empty field."""
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join("" if v is None else str(v) for v in row) for row in rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def columns(rows: int = 60) -> dict[str, list[Any]]:
    """A clean table for classification with a column of every kind."""
    return {
        "size": [None if i % 7 == 0 else i * 0.5 for i in range(rows)],
        "count": [i % 9 for i in range(rows)],
        "colour": [["red", "green", "blue"][i % 3] for i in range(rows)],
        "member": [["true", "false"][i % 2] for i in range(rows)],
        "day": [f"2024-01-{i % 28 + 1:02}" for i in range(rows)],
        "y": [["no", "yes"][i % 2] for i in range(rows)],
    }
