"""What every contender serves and is asked: one trained model in each one's form, and real rows.

The model is trained by `pilotage run` on the flights example, in a home of the benchmark's own.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import pyarrow.parquet as pq
import skops.io
from tests.benchmarks import environments

from pilotage.core import settings
from pilotage.core.registry import Registry

PILOT = environments.REPOSITORY / "pilots" / "flight-delay"
NAME = PILOT.name
BODIES = 32
"""Different bodies a payload is drawn from, so that no answer can be remembered."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """The folder that holds the model in its forms."""

    folder: Path
    kinds: dict[str, str]
    """Feature → `number` or `category`, in the model's order."""
    rows: tuple[Row, ...]
    """Real flights, each with its id and time."""

    @property
    def home(self) -> Path:
        """PILOTAGE_HOME, with version 1 as champion."""
        return self.folder / "home"

    @property
    def mlflow_model(self) -> Path:
        """The folder that MLflow's own tools load."""
        return self.folder / "mlflow"

    def batches(self, size: int) -> list[list[Row]]:
        """`BODIES` lists of `size` rows, the same each time."""
        draw = random.Random(size)
        return [draw.sample(self.rows, size) for _ in range(BODIES)]

    def features(self, row: Row) -> Row:
        """Only what the model takes."""
        return {name: row[name] for name in self.kinds}


def pilotage(home: Path, *arguments: str, expected: tuple[int, ...] = (0,)) -> None:
    """Run the command line of this checkout, which has to end with one of the `expected` codes."""
    command = [str(Path(sys.executable).with_name("pilotage")), *arguments]
    done = subprocess.run(
        command, env=environments.variables(PILOTAGE_HOME=str(home)), capture_output=True, text=True
    )
    if done.returncode not in expected:
        raise RuntimeError(f"`{' '.join(command)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def prepare(folder: Path) -> Stage:
    """Train the model and lay it out for everyone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    home = folder / "home"
    pilotage(home, "run", str(PILOT))
    registry = Registry(settings.load(home=home))
    champion = registry.champion(NAME)
    assert champion is not None
    shutil.copytree(registry.folder(champion), folder / "mlflow")
    kinds = {feature.name: feature.kind.value for feature in registry.model(champion).features}
    file = folder / "mlflow" / "model.skops"
    trusted = skops.io.get_untrusted_types(file=file)
    joblib.dump(skops.io.load(file, trusted=trusted), folder / "model.joblib")
    dtypes = {name: "float64" if kind == "number" else "object" for name, kind in kinds.items()}
    (folder / "kinds.json").write_text(json.dumps(dtypes))
    return Stage(folder, kinds, _rows(home, kinds))


def second_version(stage: Stage) -> int:
    """Train another version of the pilot, which need not pass its gates; returns its number."""
    folder = stage.folder / "second"
    shutil.copytree(PILOT, folder)
    spec = folder / "pilot.yaml"
    spec.write_text(spec.read_text().replace("max_iter: 100", "max_iter: 90"))
    pilotage(stage.home, "run", str(folder), expected=(0, 3))
    registry = Registry(settings.load(home=stage.home))
    return max(found.version for found in registry.versions(NAME))


def _rows(home: Path, kinds: dict[str, str]) -> tuple[Row, ...]:
    file = next((home / "snapshots").rglob("*.parquet"))
    table = pq.read_table(file).slice(0, 5_000)
    rows: list[Row] = table.to_pylist()
    wanted = [*kinds, "flight_id"]
    return tuple({name: row[name] for name in wanted} for row in rows)
