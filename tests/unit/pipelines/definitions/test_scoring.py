"""The compiled scoring pipeline is the one that is committed; `REGENERATE=1` writes it anew."""

from __future__ import annotations

import os
from pathlib import Path

from pilotage.core import pilots
from pilotage.core.specs import PilotSpec
from pilotage.pipelines.definitions import scoring, training
from pilotage.pipelines.execution import scorings


def test_the_committed_ir_is_current(repository: Path):
    golden = repository / "pipelines" / "compiled" / "scoring.yaml"
    if os.environ.get("REGENERATE") == "1":
        scoring.write(golden)
    text = training.as_yaml(scoring.compiled())
    assert golden.read_text(encoding="utf-8") == text, "run this test with REGENERATE=1 and review the change"
    assert "pip install" not in text


def test_spec_and_folder_become_default_parameters_and_the_source_must_be_given(
    spec: PilotSpec, tmp_path: Path
):
    parameters = scoring.compiled(spec, tmp_path)["root"]["inputDefinitions"]["parameters"]
    assert pilots.from_json(parameters["pilot"]["defaultValue"]) == spec
    assert parameters["folder"]["defaultValue"] == str(tmp_path)
    assert "defaultValue" not in parameters["source"]
    assert not parameters["source"].get("isOptional", False)


def test_runs_know_the_steps_of_the_pipeline():
    assert sorted(scorings.STEPS) == sorted(scoring.compiled()["root"]["dag"]["tasks"])
