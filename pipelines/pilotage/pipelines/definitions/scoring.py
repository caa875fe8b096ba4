"""The batch scoring pipeline, written in the KFP DSL: one step, from rows to predictions.

What the step does is `pilotage.components.score`; a step that was stopped and is
repeated in the same installation goes on where it was. Nothing is run here.

kfp reads annotations as objects, so this module, like `training`, is without
`from __future__ import annotations`.
"""

from pathlib import Path
from typing import Any

from kfp import dsl

from pilotage.core import storage
from pilotage.core.specs import PilotSpec
from pilotage.pipelines.definitions import needs, training
from pilotage.pipelines.definitions.needs import Installation


@dsl.component(base_image=training.BASE_IMAGE, install_kfp_package=False)
def score(pilot: str, folder: str, source: str, version: int, scores: dsl.Output[dsl.Dataset]) -> None:
    """Rows to predictions."""
    from pilotage.components import shells

    scores.metadata.update(shells.score(pilot, folder, source=source, version=version, out=scores.path))


def pipeline(spec: PilotSpec | None = None, installation: Installation | None = None) -> Any:
    """The pipeline as kfp has it, with what its step needs on a cluster."""

    @dsl.pipeline(name="scoring", description="From a table to a version's predictions for its rows.")
    def scoring(pilot: str, source: str, folder: str = ".", version: int = 0) -> None:
        """`pilot` is the spec as JSON, `source` a path, glob or URL relative to `folder`, and
        `version` the version's number, where 0 is the champion.
        """
        needs.put(
            score(pilot=pilot, folder=folder, source=source, version=version), "score", spec, installation
        )

    return scoring


def compiled(spec: PilotSpec | None = None, folder: Path | None = None) -> dict[str, Any]:
    """The pipeline as KFP IR, with `spec` and `folder` baked in as default parameters."""
    return training.documents(pipeline(spec), spec, folder)[0]


def write(
    path: Path,
    spec: PilotSpec | None = None,
    folder: Path | None = None,
    installation: Installation | None = None,
) -> None:
    """Write the pipeline as YAML to `path`, all or nothing."""
    made = training.documents(pipeline(spec, installation), spec, folder)
    storage.write_file(path, training.as_yaml(*made).encode())
