"""`run`, `compile` and `runs`: training pipelines, as they happen and afterwards."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilotage.console.commands.arguments import (
    PilotArgument,
    RunnableArgument,
    WhyOption,
    load_pilot,
    name_of,
)
from pilotage.console.commands.groups import ListsByDefault
from pilotage.console.sessions import Session, command
from pilotage.core.places import Place

if TYPE_CHECKING:
    from pilotage.pipelines.journals.records import Records, RunRecord, StepRecord

_FAR = "pilotage.console.remotes.runs"

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, or how it begins.")]


class Pipeline(StrEnum):
    """The pipelines that can be compiled."""

    TRAINING = "training"
    SCORING = "scoring"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "run", f"{_FAR}:run")(run)
    command(app, "compile")(compile_pipeline)
    group = typer.Typer(cls=ListsByDefault, help="What ran, and what each step did.", rich_markup_mode=None)
    command(group, "list", f"{_FAR}:list_runs")(list_runs)
    command(group, "show", f"{_FAR}:show_run")(show_run)
    command(group, "logs", f"{_FAR}:show_logs")(show_logs)
    command(group, "cancel", f"{_FAR}:cancel_run")(cancel_run)
    command(group, "retry", f"{_FAR}:retry_run")(retry_run)
    app.add_typer(group, name="runs")


def run(
    session: Session,
    pilot: RunnableArgument,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Execute every step again.")] = False,
    on: Annotated[
        Place | None, typer.Option(help="Where it is carried out.", show_default="PILOTAGE_RUN_ON, or local")
    ] = None,
) -> int:
    """Run the training pipeline, up to promotion.

    Its steps are ingest, validate, train, evaluate and register; those whose inputs did not change are
    taken from the cache, except in Kubeflow. Ends with 3 when a gate or the validation said no.
    """
    found = load_pilot(pilot)
    settings = session.settings
    from pilotage.console.views import runs as views
    from pilotage.console.views.progress import RunProgress
    from pilotage.pipelines.execution import runs

    with RunProgress(session.output) as progress:
        result = runs.run(
            found.spec,
            found.folder,
            settings,
            cache=not no_cache,
            on_event=progress.on_event,
            on=on or settings.run_on,
        )
    session.output.answer(
        result.document, lambda console: views.show_result(console, result, views.scorecard_of(result))
    )
    if result.error and not session.output.as_json:
        error = result.error
        session.output.error(error["type"], error["message"], error["remedy"], result.exit_code)
    return result.exit_code


def compile_pipeline(
    session: Session,
    pilot: PilotArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    pipeline: Annotated[Pipeline, typer.Option(help="Which one.")] = Pipeline.TRAINING,
) -> None:
    """Write a pipeline as KFP IR YAML.

    `training` is what `pilotage run` runs, `scoring` what `pilotage score` does. What the steps need on a
    cluster is the second document of the file.
    """
    found = load_pilot(pilot)
    from pilotage.core import errors
    from pilotage.pipelines.definitions import needs, scoring, training

    if output.is_dir():
        raise errors.NotFound(f"`{output}` is a folder.", remedy="Name a file, such as `-o training.yaml`.")
    try:
        chosen = training if pipeline is Pipeline.TRAINING else scoring
        chosen.write(output, found.spec, found.folder, needs.of(session.settings))
    except OSError as error:
        raise errors.SettingsError(
            f"`{output}` cannot be written: {error.strerror}.", remedy="Name another file with `-o`."
        ) from error
    document = {"pilot": found.name, "file": str(output.absolute()), "bytes": output.stat().st_size}
    session.output.answer(document, lambda console: console.print(f"Wrote [bold]{output}[/bold]"))


def list_runs(
    session: Session,
    pilot: Annotated[
        str | None, typer.Argument(metavar="[PILOT]", help="Only runs of this pilot, by folder or name.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
) -> None:
    """What ran, newest first."""
    from pilotage.console.views import runs as views

    records = _records(session)
    found = records.runs(name_of(pilot) if pilot else None, limit)
    session.output.answer(
        {"runs": [run_document(record) for record in found]},
        lambda console: views.show_runs(console, found),
    )


def show_run(session: Session, run_id: RunArgument) -> None:
    """What one run did, step by step."""
    from pilotage.console.operations.execution import costs
    from pilotage.console.views import runs as views
    from pilotage.pipelines.journals import usages

    records = _records(session)
    record = records.run(run_id)
    steps = records.steps(record.id)
    used = usages.of_subject(records.engine, record.id)
    cost = costs.run_cost(session.settings, record.id, record.pilot, used)
    document = {
        **run_document(record),
        "steps": [step_document(step) for step in steps],
        "costs": cost.model_dump(mode="json"),
    }
    session.output.answer(document, lambda console: views.show_run(console, record, steps, cost))


def show_logs(
    session: Session,
    run_id: RunArgument,
    step: Annotated[str | None, typer.Option(help="Only this step.")] = None,
) -> None:
    """What the steps of a run wrote."""
    from pilotage.console.views import runs as views
    from pilotage.core import errors

    records = _records(session)
    record = records.run(run_id)
    steps = records.steps(record.id)
    if step is not None and step not in [known.name for known in steps]:
        raise errors.NotFound(
            f"Run {record.id} has no step `{step}`.",
            remedy=f"Its steps are {', '.join(known.name for known in steps)}.",
        )
    logs = {
        known.name: known.log.read_text(encoding="utf-8", errors="replace")
        for known in steps
        if known.log is not None and known.log.is_file() and step in (None, known.name)
    }
    session.output.answer({"run": record.id, "logs": logs}, lambda console: views.show_logs(console, logs))


def cancel_run(session: Session, run_id: RunArgument, why: WhyOption = "") -> None:
    """End a run that waits or goes on."""
    from pilotage.console.access import actors
    from pilotage.console.operations import desks
    from pilotage.console.operations.execution import runs

    found = runs.cancel_run(desks.Desk(session.settings), actors.at_this_machine(), run_id, why=why)
    said = "is cancelled" if found.ended else "was told to stop"
    session.output.answer(
        found.model_dump(mode="json"), lambda console: console.print(f"Run [bold]{found.id}[/] {said}.")
    )


def retry_run(session: Session, run_id: RunArgument, why: WhyOption = "") -> None:
    """Ask for a run like one that ended.

    `pilotage up` starts it; steps that succeeded are taken from the cache.
    """
    from pilotage.console.access import actors
    from pilotage.console.operations import desks
    from pilotage.console.operations.execution import runs

    found = runs.retry_run(desks.Desk(session.settings), actors.at_this_machine(), run_id, why=why)
    session.output.answer(
        found.model_dump(mode="json"),
        lambda console: console.print(f"Run [bold]{found.id}[/] is {found.state}."),
    )


def _records(session: Session) -> Records:
    from pilotage.pipelines import tables
    from pilotage.pipelines.execution import executions
    from pilotage.pipelines.journals.records import Records

    records = Records(tables.connect(session.settings))
    executions.bury_dead_runs(records, session.settings)
    return records


def run_document(record: RunRecord) -> dict[str, Any]:
    """A run as `--json` prints it."""
    return {
        "run": record.id,
        "pilot": record.pilot,
        "state": record.state.value,
        "trigger": record.trigger,
        "folder": str(record.folder),
        "asked_at": record.asked_at.isoformat(),
        "asked_by": record.asked_by,
        "started_at": record.started_at.isoformat() if record.started_at else None,
        "ended_at": record.ended_at.isoformat() if record.ended_at else None,
        "exit_code": record.exit_code,
        "error": record.error,
        "result": record.result,
    }


def step_document(step: StepRecord) -> dict[str, Any]:
    """A step as `--json` prints it."""
    return {
        "name": step.name,
        "state": step.state.value,
        "cached": step.cached,
        "attempt": step.attempt,
        "started_at": step.started_at.isoformat() if step.started_at else None,
        "seconds": step.seconds,
        "peak_memory_bytes": step.peak_memory_bytes,
        "log": str(step.log) if step.log else None,
        "inputs": dict(step.inputs),
        "outputs": dict(step.outputs),
        "metrics": dict(step.metrics),
        "error": step.error,
    }
