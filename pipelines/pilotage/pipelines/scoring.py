"""The batch scoring pipeline, written in the KFP DSL: one step, from rows to predictions.

What the step does is `pilotage.components.score`; a step that was stopped and is
repeated in the same installation goes on where it was. Nothing is run here.

kfp reads annotations as objects, so this module, like `training`, is without
`from __future__ import annotations`.
"""

from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp import dsl
from kfp.compiler import pipeline_spec_builder

from pilotage.core import storage
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import training


@dsl.component(base_image=training.BASE_IMAGE, install_kfp_package=False)
def score(pilot: str, folder: str, source: str, version: int, scores: dsl.Output[dsl.Dataset]) -> None:
    """Rows to predictions."""
    from pilotage.components import shells

    scores.metadata.update(shells.score(pilot, folder, source=source, version=version, out=scores.path))


@dsl.pipeline(name="scoring", description="From a table to a version's predictions for its rows.")
def scoring(pilot: str, source: str, folder: str = ".", version: int = 0) -> None:
    """`pilot` is the spec as JSON, `source` a path, glob or URL relative to `folder`, and
    `version` the version's number, where 0 is the champion.
    """
    score(pilot=pilot, folder=folder, source=source, version=version)


def compiled(spec: PilotSpec | None = None, folder: Path | None = None) -> dict[str, Any]:
    """The pipeline as KFP IR, with `spec` and `folder` baked in as default parameters."""
    defaults: dict[str, Any] = {}
    if spec is not None:
        defaults["pilot"] = spec.model_dump_json(exclude_unset=True)
    if folder is not None:
        defaults["folder"] = str(folder)
    baked = pipeline_spec_builder.modify_pipeline_spec_with_override(
        pipeline_spec=scoring.pipeline_spec, pipeline_name=None, pipeline_parameters=defaults
    )
    content: dict[str, Any] = json_format.MessageToDict(baked)
    return content


def write(path: Path, spec: PilotSpec | None = None, folder: Path | None = None) -> None:
    """Write the IR as YAML to `path`, all or nothing."""
    storage.write_file(path, training.as_yaml(compiled(spec, folder)).encode())
