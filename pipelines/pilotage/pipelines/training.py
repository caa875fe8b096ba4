"""The training pipeline, written once in the KFP DSL.

Every component is a shell: it hands paths and parameters to
`pilotage.components.shells`, which the image also runs as
`python -m pilotage.components`. Artifacts are folders that hold one JSON
manifest and the files beside it; their metadata carries the digest. Runners
execute what `compiled` gives; nothing is run here.

kfp reads annotations as objects, so this is the one module without
`from __future__ import annotations`.
"""

from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp import dsl
from kfp.compiler import pipeline_spec_builder

from pilotage.core import storage
from pilotage.core.specs import PilotSpec

BASE_IMAGE = "pilotage/components-python:0.1.0"
"""kfp's local runners want `python` in the name of an image that runs Python components."""


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def ingest(pilot: str, folder: str, snapshot: dsl.Output[dsl.Dataset]) -> None:
    """Source to snapshot."""
    from pilotage.components import shells

    snapshot.metadata.update(shells.ingest(pilot, folder, out=snapshot.path))


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def validate(
    pilot: str,
    folder: str,
    snapshot: dsl.Input[dsl.Dataset],
    report: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
) -> None:
    """Snapshot to report and page."""
    from pilotage.components import shells

    report.metadata.update(
        shells.validate(pilot, folder, snapshot=snapshot.path, out=report.path, page=page.path)
    )


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def train(
    pilot: str,
    folder: str,
    run: str,
    job: str,
    snapshot: dsl.Input[dsl.Dataset],
    report: dsl.Input[dsl.Artifact],
    model: dsl.Output[dsl.Model],
) -> None:
    """Snapshot to model."""
    from pilotage.components import shells

    model.metadata.update(
        shells.train(pilot, folder, run or job, snapshot=snapshot.path, report=report.path, out=model.path)
    )


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def evaluate(
    pilot: str,
    folder: str,
    snapshot: dsl.Input[dsl.Dataset],
    report: dsl.Input[dsl.Artifact],
    model: dsl.Input[dsl.Model],
    scorecard: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Model, held-out rows and champion to scorecard."""
    from pilotage.components import shells

    found = shells.evaluate(
        pilot, folder, snapshot=snapshot.path, report=report.path, model=model.path, out=scorecard.path
    )
    scorecard.metadata.update(found)
    for name, value in found["metrics"].items():
        metrics.log_metric(name, value)


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def register(
    pilot: str,
    folder: str,
    run: str,
    job: str,
    snapshot: dsl.Input[dsl.Dataset],
    report: dsl.Input[dsl.Artifact],
    model: dsl.Input[dsl.Model],
    scorecard: dsl.Input[dsl.Artifact],
    version: dsl.Output[dsl.Artifact],
) -> None:
    """Model and scorecard to a version, promoted when the gates and the approval allow."""
    from pilotage.components import shells

    version.metadata.update(
        shells.register(
            pilot,
            folder,
            run or job,
            snapshot=snapshot.path,
            report=report.path,
            model=model.path,
            scorecard=scorecard.path,
            out=version.path,
        )
    )


@dsl.pipeline(name="training", description="From a pilot's data source to a version in the registry.")
def training(pilot: str, folder: str = ".", run: str = "") -> None:
    """The five steps; `pilot` is the spec as JSON, `folder` what its relative names
    are relative to, `run` names the run where it is not Kubeflow that does.
    """
    found = ingest(pilot=pilot, folder=folder).outputs["snapshot"]
    checked = validate(pilot=pilot, folder=folder, snapshot=found).outputs["report"]
    job = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    trained = train(pilot=pilot, folder=folder, run=run, job=job, snapshot=found, report=checked).outputs[
        "model"
    ]
    scored = evaluate(pilot=pilot, folder=folder, snapshot=found, report=checked, model=trained)
    register(
        pilot=pilot,
        folder=folder,
        run=run,
        job=job,
        snapshot=found,
        report=checked,
        model=trained,
        scorecard=scored.outputs["scorecard"],
    )


def compiled(spec: PilotSpec | None = None, folder: Path | None = None) -> dict[str, Any]:
    """The pipeline as KFP IR, with `spec` and `folder` baked in as default parameters."""
    defaults: dict[str, Any] = {}
    if spec is not None:
        defaults["pilot"] = spec.model_dump_json(exclude_unset=True)
    if folder is not None:
        defaults["folder"] = str(folder)
    baked = pipeline_spec_builder.modify_pipeline_spec_with_override(
        pipeline_spec=training.pipeline_spec, pipeline_name=None, pipeline_parameters=defaults
    )
    content: dict[str, Any] = json_format.MessageToDict(baked)
    return content


def write(path: Path, spec: PilotSpec | None = None, folder: Path | None = None) -> None:
    """Write the IR as YAML to `path`, all or nothing."""
    storage.write_file(path, as_yaml(compiled(spec, folder)).encode())


def as_yaml(content: dict[str, Any]) -> str:
    """IR as YAML that people can read: sources of components as blocks."""
    return yaml.dump(content, Dumper=_Blocks, sort_keys=True, width=110, allow_unicode=True)


class _Blocks(yaml.SafeDumper):
    """Writes text of several lines as a block."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Blocks.add_representer(str, _block)
