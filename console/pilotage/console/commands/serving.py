"""`serve`, `monitor` and `labels`: the champion in service and what watches it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilotage.console.commands.arguments import NameArgument, PilotArgument, load_pilot, name_of
from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from pilotage.console.watches import Findings
    from pilotage.core.artifacts import DriftReport


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "serve")(serve)
    command(app, "monitor")(monitor)
    command(app, "labels")(labels)


def serve(
    session: Session,
    pilot: PilotArgument,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8080,
    ready_file: Annotated[
        Path | None,
        typer.Option(help="Write address and process id there, as JSON, once requests are taken."),
    ] = None,
) -> None:
    """Serve the champion over HTTP until stopped.

    Follows promotions without dropping a request. What is served is summarised for `pilotage monitor`.
    """
    found = load_pilot(pilot)
    settings = session.settings
    from pilotage.console import addresses
    from pilotage.serving import servers

    addresses.warn_if_open(host)
    served: dict[str, Any] = {"pilot": found.name, "url": None}

    def ready(url: str) -> None:
        served["url"] = url
        addresses.announce(ready_file, url)
        session.output.say(f"Serving [bold]{found.name}[/] on {url} (API at {url}/docs). Ctrl-C stops.")

    servers.run(found, settings, host, port, on_ready=ready)
    session.output.answer(served, lambda console: None)


def monitor(
    session: Session,
    pilot: PilotArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until stopped.")] = False,
    every: Annotated[
        str, typer.Option(help="With --follow: time between two looks, such as 30s or 5m.")
    ] = "10s",
    now: Annotated[
        str | None,
        typer.Option(help="Look as if it were this time (ISO 8601); closes windows that ended before."),
    ] = None,
) -> None:
    """Look for drift and decay, and retrain when due.

    Compares each closed window of served traffic with the training data, and predictions with the labels
    that have come; alarms open triggers, and at most one retraining runs at a time. Without --follow it
    looks once and waits for the retraining that it started.
    """
    found = load_pilot(pilot)
    settings = session.settings
    seconds, moment = _seconds(every), _moment(now)
    from pilotage.console import signals, watches
    from pilotage.console.views import reports as views

    watch = watches.Watch(found.spec, found.folder, settings)

    def show(part: Findings) -> None:
        for line in views.lines(part, settings):
            session.output.say(line)

    try:
        if follow:
            with signals.stopping() as stop:
                everything = watches.follow(watch, seconds, stop.wait, show)
        else:
            everything = watch.look(moment)
            show(everything)
            rest = watches.Findings(retrainings=watch.wait(lambda: None))
            show(rest)
            everything.add(rest)
    finally:
        watch.stop()
    session.output.answer(
        _monitor_document(found.name, everything, settings), lambda console: views.show(console, everything)
    )


def labels(
    session: Session,
    pilot: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or Parquet, a row an id.")],
    id_column: Annotated[
        str | None, typer.Option("--id", help="Column of the ids; `id`, or the pilot's key, when left out.")
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option("--label", help="Column of the labels; `label`, or the pilot's target, when left out."),
    ] = None,
) -> None:
    """Store labels that came late.

    The monitor joins them to served rows by id. The same labels again change nothing.
    """
    from pilotage.console import label_files
    from pilotage.core.storage import Storage
    from pilotage.serving.records.labels import store_labels

    name = name_of(pilot)
    data = load_pilot(pilot).spec.data if Path(pilot).exists() else None
    table = label_files.read(
        file,
        [id_column] if id_column else ["id", *([data.key] if data and data.key else [])],
        [label_column] if label_column else ["label", *([data.target] if data else [])],
    )
    stored = store_labels(Storage(session.settings.storage), name, table.ids, table.labels)
    document = {"pilot": name, "labels": stored, "missing": table.missing, "file": str(file)}
    left_out = f"; {table.missing} rows without a label were left out" if table.missing else ""
    session.output.answer(
        document, lambda console: console.print(f"Stored {stored} labels of {name}{left_out}.")
    )


def _seconds(text: str) -> float:
    from pilotage.core import durations, errors

    try:
        return durations.parse(text).total_seconds()
    except ValueError as error:
        raise errors.SettingsError(f"`--every {text}`: {error}.", remedy="Write `--every 10s`.") from error


def _moment(text: str | None) -> datetime | None:
    from pilotage.core import errors, features

    try:
        return features.parse_time(text)
    except ValueError as error:
        raise errors.SettingsError(
            f"`--now {text}` is not a time.", remedy="Write it as ISO 8601, such as 2026-11-02T06:00:00Z."
        ) from error


def _monitor_document(pilot: str, found: Findings, settings: Any) -> dict[str, Any]:
    return {
        "pilot": pilot,
        "reports": [_report_document(report, settings) for report in found.reports],
        "alarms": [alarm.model_dump(mode="json") for report in found.reports for alarm in report.alarms],
        "triggers": [trigger.model_dump(mode="json") for trigger in found.triggers],
        "retrainings": [retraining.document for retraining in found.retrainings],
    }


def _report_document(report: DriftReport, settings: Any) -> dict[str, Any]:
    from pilotage.console.views import reports as views

    performance = report.performance
    return {
        "version": report.version,
        "start": report.start.isoformat(),
        "end": report.end.isoformat(),
        "rows": report.rows,
        "drifted": [feature.feature for feature in report.features if feature.drifted],
        "score_drifted": bool(report.score and report.score.drifted),
        "prediction_drifted": bool(report.prediction and report.prediction.drifted),
        "performance": performance.model_dump(mode="json") if performance else None,
        "alarms": [alarm.id for alarm in report.alarms],
        "page": views.page(report, settings),
    }
