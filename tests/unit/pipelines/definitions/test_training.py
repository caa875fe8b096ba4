"""The compiled training pipeline is the one that is committed; `REGENERATE=1` writes it anew."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import yaml

from pilotage.core import pilots
from pilotage.core.specs import PilotSpec
from pilotage.pipelines.definitions import training
from pilotage.pipelines.journals import states


def test_the_committed_ir_is_current(repository: Path):
    golden = repository / "pipelines" / "compiled" / "training.yaml"
    if os.environ.get("REGENERATE") == "1":
        training.write(golden)
    text = training.as_yaml(training.compiled())
    assert golden.read_text(encoding="utf-8") == text, "run this test with REGENERATE=1 and review the change"


def test_the_image_has_the_projects_version(repository: Path):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert training.BASE_IMAGE.endswith(f":{project['version']}")


def test_spec_and_folder_become_default_parameters(spec: PilotSpec, tmp_path: Path):
    parameters = training.compiled(spec, tmp_path)["root"]["inputDefinitions"]["parameters"]
    assert pilots.from_json(parameters["pilot"]["defaultValue"]) == spec
    assert parameters["folder"]["defaultValue"] == str(tmp_path)


def test_what_is_written_reads_back_as_the_same_ir(spec: PilotSpec, tmp_path: Path):
    file = tmp_path / "pipeline.yaml"
    training.write(file, spec, tmp_path)
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == training.compiled(spec, tmp_path)


def test_runs_know_the_steps_of_the_pipeline():
    assert sorted(states.STEPS) == sorted(training.compiled()["root"]["dag"]["tasks"])


def test_no_component_installs_packages_when_it_starts():
    assert "pip install" not in training.as_yaml(training.compiled())
