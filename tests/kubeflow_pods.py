"""Executes a pipeline that was submitted to the tests' Kubeflow, apart from whoever submitted it.

`python tests/kubeflow_pods.py FILE HOME` carries out the pipeline and the arguments
in FILE through kfp's local orchestrator and our task handler, with what the
pipeline's own containers have for an environment; a line on standard output tells
of each step that begins or ends.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def main(file: Path, home: Path) -> None:
    content = json.loads(file.read_text())
    pipeline = content["pipeline_spec"]["pipeline_spec"]
    containers = [item["container"] for item in pipeline["deploymentSpec"]["executors"].values()]
    for name in [name for name in os.environ if name.startswith(("PILOTAGE_", "MLFLOW_"))]:
        del os.environ[name]  # a pod has nothing of whoever submitted it
    os.environ.update({item["name"]: item["value"] for item in containers[0]["env"]})
    os.environ["PILOTAGE_HOME"] = str(home)

    from pilotage.core import pilots, settings
    from pilotage.pipelines import tables
    from pilotage.pipelines.journals.events import Event, Journal
    from pilotage.pipelines.journals.records import Records
    from pilotage.pipelines.journals.states import STEPS
    from pilotage.pipelines.steps.caches import Cache
    from pilotage.pipelines.steps.local import LocalRunner
    from pilotage.pipelines.steps.workers import Workers

    def tell(event: Event) -> None:
        sys.stdout.write(json.dumps({"kind": event.kind, "step": event.step, "state": event.state}) + "\n")
        sys.stdout.flush()

    installation = settings.load(step_retries=0)
    spec = pilots.from_json(pipeline["root"]["inputDefinitions"]["parameters"]["pilot"]["defaultValue"])
    records = Records(tables.connect(installation))
    records.begin_run("pods", spec, home, STEPS)
    cache = Cache(records.engine, installation, spec, home, "pods", fingerprint=lambda: None, reading=False)
    workers = Workers.of(installation, "pods")
    arguments: dict[str, Any] = content["arguments"]
    try:
        LocalRunner(installation, Journal(records, "pods", tell), cache, workers).run(pipeline, arguments)
    finally:
        workers.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
