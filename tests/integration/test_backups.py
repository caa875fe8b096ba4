"""A backup of an installation with a real model store is restored elsewhere while the original goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

from pilotage.core import settings
from pilotage.core.registry import Registry
from pilotage.core.registry.clients import RUN_TAG
from pilotage.core.registry.remotes import ClientReader
from pilotage.pipelines import tables
from pilotage.pipelines.backups import creations, restorations
from pilotage.pipelines.journals import audits


def add(registry: Registry, folder: Path, run: str) -> int:
    """A version with a model of one file, and a file beside its run."""
    mlflow_run = registry.start_run("small", run, {RUN_TAG: run})
    model = folder / f"model-{run}"
    (model / "pilotage").mkdir(parents=True)
    (model / "MLmodel").write_text("flavors: {}\n")
    (model / "pilotage" / "model.json").write_text(f'"{run}"')
    uri = registry.log_model("small", mlflow_run, model, {"seed": 1})
    registry.log_file(mlflow_run, model / "MLmodel")
    registry.end_run(mlflow_run)
    return registry.register("small", mlflow_run, uri, {})


def test_models_of_a_restored_installation_are_its_own(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "a home", tmp_path / "elsewhere"
    original = Registry(settings.load(home=home))
    assert [add(original, tmp_path, run) for run in ("r1", "r2")] == [1, 2]
    original.promote("small", 1)
    with tables.connect(settings.load(home=home)).begin() as connection:
        audits.write(connection, "promoted", "small", "ann", "it is good", version=1)
    made = creations.create(settings.load(home=home), tmp_path / "backup.tar", "ann")
    add(original, tmp_path, "r3")
    shutil.move(home, tmp_path / "gone")

    moved = settings.load(home=elsewhere)
    assert restorations.restore(moved, made.file, "bob").verification.problem is None
    restored = Registry(moved)
    champion = restored.champion("small")
    assert champion is not None
    folder = restored.folder(champion)
    assert folder.is_relative_to(elsewhere)
    assert (folder / "pilotage" / "model.json").read_text() == '"r1"'
    assert restored.run_file(champion.run, "MLmodel").is_relative_to(elsewhere)
    assert restored.versions("small") == ClientReader(restored).versions("small")
    assert [version.version for version in restored.versions("small")] == [2, 1]
    assert add(restored, tmp_path / "more", "r4") == 3
    assert restored.folder(restored.version("small", 3)).is_relative_to(elsewhere)
