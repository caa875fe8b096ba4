"""The training pipeline, written once in the KFP DSL.

Every component is a shell: it hands paths and parameters to
`pilotage.components.shells`, which the image also runs as
`python -m pilotage.components`. Artifacts are folders that hold one JSON
manifest and the files beside it; their metadata carries the digest. Runners
execute what `compiled` gives; nothing is run here.

kfp reads annotations as objects, so this is the one module without
`from __future__ import annotations`.
"""

import json
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp import dsl
from kfp.compiler import pipeline_spec_builder

from pilotage.core import storage
from pilotage.core.specs import PilotSpec
from pilotage.pipelines.definitions import needs, rayjobs
from pilotage.pipelines.definitions.needs import Installation

BASE_IMAGE = "pilotage/components-python:0.1.0"
"""kfp's local runners want `python` in the name of an image that runs Python components."""


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def ingest(pilot: str, folder: str, run: str, job: str, snapshot: dsl.Output[dsl.Dataset]) -> None:
    """Source to snapshot."""
    from pilotage.components import shells

    snapshot.metadata.update(shells.ingest(pilot, folder, run or job, out=snapshot.path))


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def validate(
    pilot: str,
    folder: str,
    run: str,
    job: str,
    snapshot: dsl.Input[dsl.Dataset],
    report: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
) -> None:
    """Snapshot to report and page."""
    from pilotage.components import shells

    report.metadata.update(
        shells.validate(pilot, folder, run or job, snapshot=snapshot.path, out=report.path, page=page.path)
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
    run: str,
    job: str,
    snapshot: dsl.Input[dsl.Dataset],
    report: dsl.Input[dsl.Artifact],
    model: dsl.Input[dsl.Model],
    scorecard: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Model, held-out rows and champion to scorecard."""
    from pilotage.components import shells

    found = shells.evaluate(
        pilot,
        folder,
        run or job,
        snapshot=snapshot.path,
        report=report.path,
        model=model.path,
        out=scorecard.path,
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


def _train_on_kuberay() -> Any:
    """The same step where a RayJob carries it out; kfp names a component after its function."""

    @dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
    def train(
        pilot: str,
        folder: str,
        run: str,
        job: str,
        rayjob: str,
        snapshot: dsl.Input[dsl.Dataset],
        report: dsl.Input[dsl.Artifact],
        model: dsl.Output[dsl.Model],
    ) -> None:
        """Snapshot to model, by several workers."""
        from pilotage.pipelines.clusters import rays

        inputs = {"snapshot": snapshot.path, "report": report.path}
        model.metadata.update(rays.train(rayjob, pilot, folder, run or job, **inputs, out=model.path))

    return train


def pipeline(spec: PilotSpec | None = None, installation: Installation | None = None) -> Any:
    """The pipeline as kfp has it, with what the steps of `spec` and of the installation need on a cluster."""

    @dsl.pipeline(name="training", description="From a pilot's data source to a version in the registry.")
    def training(pilot: str, folder: str = ".", run: str = "") -> None:
        """The five steps; `pilot` is the spec as JSON, `folder` what its relative names are
        relative to, or a bundle of it, `run` names the run where it is not Kubeflow that does.
        """
        job = dsl.PIPELINE_JOB_ID_PLACEHOLDER
        known: dict[str, Any] = {"pilot": pilot, "folder": folder, "run": run, "job": job}
        ingested = ingest(**known)
        known["snapshot"] = ingested.outputs["snapshot"]
        validated = validate(**known)
        known["report"] = validated.outputs["report"]
        if spec is not None and installation is not None and needs.on_kuberay(spec, installation):
            manifest = json.dumps(rayjobs.manifest(spec, installation), sort_keys=True)
            trained = _train_on_kuberay()(**known, rayjob=manifest)
        else:
            trained = train(**known)
        known["model"] = trained.outputs["model"]
        evaluated = evaluate(**known)
        registered = register(**known, scorecard=evaluated.outputs["scorecard"])
        tasks = {
            "ingest": ingested,
            "validate": validated,
            "train": trained,
            "evaluate": evaluated,
            "register": registered,
        }
        for step, task in tasks.items():
            needs.put(task, step, spec, installation)

    return training


def compiled(spec: PilotSpec | None = None, folder: Path | str | None = None) -> dict[str, Any]:
    """The pipeline as KFP IR, with `spec` and `folder` baked in as default parameters."""
    return documents(pipeline(spec), spec, folder)[0]


def documents(
    made: Any, spec: PilotSpec | None = None, folder: Path | str | None = None
) -> tuple[dict[str, Any], ...]:
    """A pipeline as the documents of its file: the IR, and what Kubernetes alone reads where there is any."""
    defaults: dict[str, Any] = {}
    if spec is not None:
        defaults["pilot"] = spec.model_dump_json(exclude_unset=True)
    if folder is not None:
        defaults["folder"] = str(folder)
    baked = pipeline_spec_builder.modify_pipeline_spec_with_override(
        pipeline_spec=made.pipeline_spec, pipeline_name=None, pipeline_parameters=defaults
    )
    found = (json_format.MessageToDict(baked), json_format.MessageToDict(made.platform_spec))
    return tuple(document for document in found if document)


def write(
    path: Path,
    spec: PilotSpec | None = None,
    folder: Path | str | None = None,
    installation: Installation | None = None,
) -> None:
    """Write the pipeline as YAML to `path`, all or nothing."""
    made = documents(pipeline(spec, installation), spec, folder)
    storage.write_file(path, as_yaml(*made).encode())


def as_yaml(*documents: dict[str, Any]) -> str:
    """IR as YAML that people can read: sources of components as blocks."""
    text: str = yaml.dump_all(documents, Dumper=_Blocks, sort_keys=True, width=110, allow_unicode=True)
    return text


class _Blocks(yaml.SafeDumper):
    """Writes text of several lines as a block."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Blocks.add_representer(str, _block)
