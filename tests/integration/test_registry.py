"""The registry on a real MLflow store: what is read without MLflow is what MLflow says."""

from __future__ import annotations

import multiprocessing
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pilotage.core import errors, settings
from pilotage.core.registry import Alias, Registry
from pilotage.core.registry.remotes import ClientReader
from pilotage.core.registry.tags import RUN_TAG


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(settings.load(home=tmp_path / "home"))


def add(registry: Registry, folder: Path, run: str = "r1") -> int:
    mlflow_run = registry.start_run("a", run, {RUN_TAG: run})
    model = folder / f"model-{mlflow_run}"
    (model / "pilotage").mkdir(parents=True)
    (model / "MLmodel").write_text("flavors: {}\n")
    (model / "pilotage" / "model.json").write_text("{}")
    uri = registry.log_model("a", mlflow_run, model, {"seed": 1})
    registry.end_run(mlflow_run)
    return registry.register("a", mlflow_run, uri, {"pilotage.snapshot": "x"})


def test_an_empty_store_has_no_champion_and_is_not_created_by_asking(
    registry: Registry, tmp_path: Path
) -> None:
    assert registry.champion("a") is None
    assert registry.versions("a") == []
    assert registry.names() == []
    assert not (tmp_path / "home").exists()


def test_reads_without_mlflow_agree_with_its_client(registry: Registry, tmp_path: Path) -> None:
    for _ in range(3):
        add(registry, tmp_path)
    registry.challenge("a", 3)
    registry.promote("a", 2)
    registry.client.delete_model_version("a", "1")
    by_client = ClientReader(registry)
    assert registry.versions("a") == by_client.versions("a")
    assert registry.aliases("a") == by_client.aliases("a") == {"challenger": 3, "champion": 2}
    assert registry.names() == by_client.names() == ["a"]
    run = registry.version("a", 3).run
    assert registry._reader.run_location(run) == by_client.run_location(run)
    assert registry.folder(registry.version("a", 3)).is_dir()


def test_all_champions_are_read_at_once_and_as_mlflow_says(registry: Registry, tmp_path: Path) -> None:
    for _ in range(3):
        add(registry, tmp_path)
    registry.challenge("a", 3)
    registry.promote("a", 1)
    registry.promote("a", 2)
    found = registry.aliased()
    assert [(item.version, item.aliases) for item in found] == [
        (1, ("previous",)),
        (2, ("champion",)),
        (3, ("challenger",)),
    ]
    assert found == sorted(registry.versions("a"), key=lambda item: item.version)
    by_client = [replace(item, location="") for item in ClientReader(registry).aliased()]
    assert by_client == [replace(item, location="") for item in found]
    assert registry.champions() == registry.champions(["a", "b"]) == {"a": registry.champion("a")}
    assert registry.champions(["b"]) == {}


def test_registering_a_run_again_finds_its_version(registry: Registry, tmp_path: Path) -> None:
    assert add(registry, tmp_path) == 1
    registered = registry.version("a", 1)
    assert registry.register("a", registered.run, registered.location, {}) == 1
    assert add(registry, tmp_path, "r2") == 2


def test_promotion_and_rollback_can_be_repeated(registry: Registry, tmp_path: Path) -> None:
    add(registry, tmp_path)
    add(registry, tmp_path)
    assert registry.promote("a", 1) is None
    registry.challenge("a", 2)
    assert registry.promote("a", 2) == 1
    assert registry.promote("a", 2) == 1
    assert registry.aliases("a") == {Alias.CHAMPION: 2, Alias.PREVIOUS: 1}
    assert registry.rollback("a") == 1
    assert registry.aliases("a") == {Alias.CHAMPION: 1}
    with pytest.raises(errors.NotFound, match="no previous champion"):
        registry.rollback("a")


def test_a_promotion_that_died_half_way_is_finished_by_the_next(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(registry, tmp_path)
    add(registry, tmp_path)
    registry.promote("a", 1)
    move = type(registry.client).set_registered_model_alias
    calls: list[str] = []

    def dies_before_the_second(self: Any, name: str, alias: str, version: str) -> None:
        calls.append(alias)
        if len(calls) == 2:
            raise KeyboardInterrupt
        move(self, name, alias, version)

    with monkeypatch.context() as patched:
        patched.setattr(type(registry.client), "set_registered_model_alias", dies_before_the_second)
        with pytest.raises(KeyboardInterrupt):
            registry.promote("a", 2)
    assert registry.champion("a").version == 1  # type: ignore[union-attr]
    registry.promote("a", 2)
    assert registry.aliases("a") == {Alias.CHAMPION: 2, Alias.PREVIOUS: 1}


def test_what_a_died_run_left_open_is_marked_killed(registry: Registry) -> None:
    run = registry.start_run("a", "r1", {RUN_TAG: "r1"})
    other = registry.start_run("a", "r2", {RUN_TAG: "r2"})
    assert registry.kill_open_runs("a", "r1") == 1
    assert registry.client.get_run(run).info.status == "KILLED"
    assert registry.client.get_run(other).info.status == "RUNNING"
    assert registry.kill_open_runs("nobody", "r1") == 0


def test_files_of_a_run_are_found_again(registry: Registry, tmp_path: Path) -> None:
    run = registry.start_run("a", "r1", {})
    (tmp_path / "card.md").write_text("# card")
    registry.log_file(run, tmp_path / "card.md")
    registry.log_params(run, {"long": "x" * 10_000})
    registry.log_metrics(run, {"roc_auc": 0.7, "undefined": float("nan")})
    assert registry.run_file(run, "card.md").read_text() == "# card"
    assert registry.client.get_run(run).data.metrics == {"roc_auc": 0.7}
    with pytest.raises(errors.NotFound, match="no file"):
        registry.run_file(run, "nothing.md")


def _open(home: str) -> str:
    registry = Registry(settings.load(home=home))
    return registry.start_run("a", "r", {})


def test_processes_that_create_the_store_together_share_it(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        runs = pool.map(_open, [str(tmp_path / "home")] * 3)
    assert len(set(runs)) == 3


def test_a_registry_that_does_not_answer_is_named_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = Registry(settings.load(home=tmp_path, mlflow_tracking_uri="http://127.0.0.1:9"))
    with pytest.raises(errors.Unavailable, match="did not answer"):
        away.start_run("trial", "first", {})


def test_a_registry_that_cannot_be_is_a_wrong_setting(tmp_path: Path) -> None:
    wrong = Registry(settings.load(home=tmp_path, mlflow_tracking_uri="nonsense://x"))
    with pytest.raises(errors.SettingsError, match="nonsense"):
        wrong.champion("trial")


def test_what_is_added_to_a_model_elsewhere_is_uploaded_with_its_place_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(settings.load(home=tmp_path / "home"))
    folder = tmp_path / "model"
    for name in ("model.skops", "pilotage/form/form.json", "pilotage/form/model.onnx", "pilotage/signature"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    uploaded: list[tuple[str, list[str]]] = []

    class Client:
        def log_model_artifacts(self, model: str, place: str) -> None:
            found = sorted(path.relative_to(place) for path in Path(place).rglob("*") if path.is_file())
            uploaded.append((model, [path.as_posix() for path in found]))

    monkeypatch.setattr(Registry, "client", Client())
    names = ("pilotage/form", "pilotage/signature", "pilotage/none")
    monkeypatch.setattr(Registry, "model_location", lambda self, uri: str(folder))
    registry.add_to_model("models:/m-1", folder, names)
    assert uploaded == []
    monkeypatch.setattr(Registry, "model_location", lambda self, uri: "mlflow-artifacts:/1/models/m-1")
    registry.add_to_model("models:/m-1", folder, names)
    assert uploaded == [
        ("m-1", ["pilotage/form/form.json", "pilotage/form/model.onnx", "pilotage/signature"])
    ]


def test_a_registry_in_a_database_says_what_reading_it_takes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where only the model server's extra is installed."""
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    registry = Registry(settings.load(home=home, mlflow_tracking_uri="postgresql://db/mlflow"))
    with pytest.raises(errors.MissingExtra, match="`sqlalchemy`, which reads it, is not installed") as caught:
        registry.aliases("flights")
    assert 'pip install "pilotage[postgresql]"' in caught.value.remedy
