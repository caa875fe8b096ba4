"""`python -m pilotage.pipelines`: a run in a process of its own, for triggers and schedulers.

    run FOLDER [--no-cache] [--trigger ID]   the training pipeline; prints the result as JSON
    run --run ID                             a run that waits in line, as it was asked for
    compile FOLDER -o FILE                   the KFP IR YAML
    settle NAME                              does what is due for the rollouts of a pilot

Exit codes are those of the steps: 0 done, 1 failed, 2 wrong input, 3 refused.
People use `pilotage`, which shows progress.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from pilotage.core import errors, pilots, settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what `arguments` ask; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    options = _parser().parse_args(arguments)
    try:
        if options.command == "settle":
            return _settle(options.pilot)
        if options.command == "run" and (options.run is None) == (options.pilot is None):
            raise errors.SettingsError(
                "`run` takes either a folder or `--run ID`.", remedy="Give one of them."
            )
        if options.command == "run" and options.run is not None:
            return _run_asked(options.run)
        pilot = pilots.load(options.pilot)
        if options.command == "compile":
            return _compile(pilot, options.output)
        return _run(pilot, cache=not options.no_cache, trigger=options.trigger)
    except errors.PilotageError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)


def _run(pilot: pilots.Pilot, *, cache: bool, trigger: str | None) -> int:
    from pilotage.pipelines.execution import runs

    installation = settings.load()
    try:
        result = runs.run(
            pilot.spec, pilot.folder, installation, cache=cache, trigger=trigger, on=installation.run_on
        )
    except errors.RunActive:
        if trigger is not None:
            from pilotage.pipelines import tables
            from pilotage.pipelines.queue import claims

            claims.reopen(tables.connect(installation), trigger)
        raise
    sys.stdout.write(json.dumps(result.document) + "\n")
    return result.exit_code


def _run_asked(run: str) -> int:
    from pilotage.pipelines.execution import runs

    result = runs.run_asked(run, settings.load())
    sys.stdout.write(json.dumps(result.document) + "\n")
    return result.exit_code


def _settle(name: str) -> int:
    from pilotage.pipelines.decisions import rollouts

    for rollout in rollouts.settle(name, settings.load()):
        sys.stdout.write(rollout.model_dump_json() + "\n")
    return 0


def _compile(pilot: pilots.Pilot, output: Path) -> int:
    from pilotage.pipelines.definitions import needs, training

    training.write(output, pilot.spec, pilot.folder, needs.of(settings.load()))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pilotage.pipelines", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run the training pipeline here")
    run.add_argument("pilot", nargs="?", help="a folder with pilot.yaml, or the file")
    run.add_argument("--run", help="id of a run that waits in line")
    run.add_argument("--no-cache", action="store_true", help="execute every step")
    run.add_argument("--trigger", help="id of the trigger that asked for the run")
    compiling = commands.add_parser("compile", help="write the KFP IR YAML")
    compiling.add_argument("pilot", help="a folder with pilot.yaml, or the file")
    compiling.add_argument("-o", "--output", type=Path, required=True, help="file to write")
    settling = commands.add_parser("settle", help="do what is due for the rollouts of a pilot")
    settling.add_argument("pilot", help="the pilot's name")
    return parser


if __name__ == "__main__":
    sys.exit(main())
