"""`python -m pilotage.components STEP …`: one step, with files in and files out, as the image runs it.

Settings come from the environment (`PILOTAGE_*`, `MLFLOW_TRACKING_URI`).
Prints the outputs' metadata as one JSON document. Exit codes: 0 done, 1 failed
(a retry may help), 2 the input is wrong, 3 a validation said no.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pilotage.components import shells
from pilotage.components.outcomes import Metadata
from pilotage.core import errors, failures, pilots

_INPUTS = {
    "ingest": (),
    "validate": ("snapshot",),
    "train": ("snapshot", "report"),
    "evaluate": ("snapshot", "report", "model"),
    "register": ("snapshot", "report", "model", "scorecard"),
    "score": (),
}
_WITH_RUN = ("train", "register")
_HELP = {
    "ingest": "read the source into a snapshot",
    "validate": "check the snapshot against its suite and against the champion's",
    "train": "train a model and log it",
    "evaluate": "judge the model on held-out rows",
    "register": "make a version, and champion if gates and approval allow",
    "score": "predict the rows of a table with a version",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the step that `arguments` name; returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        metadata = _run(options)
    except Exception as error:
        sys.stderr.write(failures.describe(error))
        return int(error.exit_code if isinstance(error, errors.PilotageError) else errors.ExitCode.FAILED)
    sys.stdout.write(json.dumps(metadata) + "\n")
    return int(errors.ExitCode.DONE)


def _run(options: argparse.Namespace) -> Metadata:
    pilot = pilots.load(options.pilot)
    words = [pilot.spec.model_dump_json(exclude_unset=True), str(pilot.folder)]
    if options.step in _WITH_RUN:
        words.append(options.run)
    files: dict[str, Any] = {name: str(getattr(options, name)) for name in _INPUTS[options.step]}
    if options.step == "score":
        files |= {"source": options.source, "version": options.version}
    function = getattr(shells, options.step)
    metadata: Metadata = function(*words, **files, out=str(options.out))
    return metadata


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pilotage.components", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    for step, inputs in _INPUTS.items():
        command = steps.add_parser(step, help=_HELP[step])
        command.add_argument("--pilot", required=True, help="folder with pilot.yaml, or the file")
        if step in _WITH_RUN:
            command.add_argument("--run", required=True, help="id of the run that this step belongs to")
        for name in inputs:
            command.add_argument(f"--{name}", type=Path, required=True, help=f"folder that holds the {name}")
        if step == "score":
            command.add_argument("--source", required=True, help="path, glob or URL of the rows")
            command.add_argument("--version", type=int, default=0, help="0 is the champion")
        command.add_argument("--out", type=Path, required=True, help="folder for the outputs; emptied first")
    return parser


if __name__ == "__main__":
    sys.exit(main())
