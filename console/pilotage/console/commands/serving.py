"""`serve`, `monitor` and `labels`: the champion in service and what watches it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilotage.console.commands.arguments import NameArgument, PilotArgument, load_pilot, moment, name_of
from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from collections.abc import Callable

    from pilotage.console.watches import Findings, Watch
    from pilotage.core.artifacts import DriftReport
    from pilotage.core.pilots import Pilot

    Show = Callable[[Findings], None]


class AccessLog(StrEnum):
    """Which requests the access log has: those of `pilotage.core.settings.AccessLogPolicy`."""

    OFF = "off"
    ERRORS = "errors"
    ALL = "all"


_PilotArguments = Annotated[
    list[str], typer.Argument(metavar="PILOT", help="Folders with a pilot.yaml, or the files.")
]
_HostOption = Annotated[str, typer.Option(help="Address to listen on.")]
_PortOption = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")]
_GrpcPortOption = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Speak gRPC there too; 0 takes a free port. Off when left out."),
]
_WorkersOption = Annotated[
    int, typer.Option(min=1, max=256, help="Processes that share the port; SIGHUP replaces them in turn.")
]
_VersionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--version",
        metavar="[PILOT=]N",
        help="Serve this version too, for requests that name it; may be given several times.",
    ),
]
_AccessLogOption = Annotated[
    AccessLog | None,
    typer.Option(help="Requests to log, one JSON object a line; PILOTAGE_ACCESS_LOG when left out."),
]
_ReadyFileOption = Annotated[
    Path | None,
    typer.Option(help="Write addresses and process id there, as JSON, once requests are taken."),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "serve")(serve)
    command(app, "monitor", "pilotage.console.remotes.monitors:monitor")(monitor)
    command(app, "labels")(labels)


def serve(
    session: Session,
    pilots: _PilotArguments,
    host: _HostOption = "127.0.0.1",
    port: _PortOption = 8080,
    grpc_port: _GrpcPortOption = None,
    workers: _WorkersOption = 1,
    versions: _VersionsOption = None,
    access_log: _AccessLogOption = None,
    ready_file: _ReadyFileOption = None,
) -> None:
    """Serve champions over HTTP until stopped.

    Follows promotions without dropping a request. What is served is summarised for `pilotage monitor`.
    Several pilots share one server; each is reached by its name. Tokens, TLS and traces are settings in the
    environment (PILOTAGE_AUTH_…, PILOTAGE_TLS_…, PILOTAGE_TRACES), off until set.
    """
    found = [load_pilot(pilot) for pilot in pilots]
    settings = session.settings
    names = [pilot.name for pilot in found]
    pins = _pins(versions or [], names)
    if access_log is not None:
        from pilotage.core.settings import AccessLogPolicy

        settings = settings.model_copy(update={"access_log": AccessLogPolicy(access_log)})
    from pilotage.console import controllers
    from pilotage.serving import addresses, servers

    addresses.warn_if_open(host, settings)
    served: dict[str, Any] = {"pilot": names[0], "pilots": names, "url": None, "grpc": None}

    def ready(url: str) -> None:
        served["url"] = url
        addresses.announce(ready_file, url, served["grpc"])
        spoken = f" and gRPC on {served['grpc']}" if served["grpc"] else ""
        what = ", ".join(f"[bold]{name}[/]" for name in names)
        session.output.say(f"Serving {what} on {url}{spoken} (API at {url}/docs). Ctrl-C stops.")

    with controllers.controlling(found, settings):
        servers.run(
            found,
            settings,
            host,
            port,
            workers=workers,
            grpc_port=grpc_port,
            versions=pins,
            on_grpc=lambda address: served.update(grpc=address),
            on_ready=ready,
        )
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
    reindex: Annotated[
        bool, typer.Option("--reindex", help="First make the console's index of windows anew.")
    ] = False,
) -> None:
    """Look for drift and decay, and retrain when due.

    Compares each closed window of served traffic with the training data, and predictions with the labels
    that have come; alarms open triggers, and at most one retraining runs at a time. Rollouts are moved on,
    too, and webhooks are sent. Without --follow it looks once and waits for the retraining that it started.
    Where PILOTAGE_URL names a console, windows are compared here, and the console is told of what was found.
    """
    found = load_pilot(pilot)
    settings = session.settings
    seconds, at = seconds_of(every), moment("--now", now)
    from pilotage.console import signals

    if reindex:
        _reindex(session, found)
    if follow:
        with signals.stopping() as stop:  # before what takes seconds to import, which a signal may not end
            everything = _watched(
                session, found, lambda watch, show: _follow(watch, seconds, stop.wait, show)
            )
    else:
        everything = _watched(session, found, lambda watch, show: _look(watch, at, show))
    from pilotage.console.views import reports as views

    session.output.answer(
        monitor_document(found.name, everything, settings), lambda console: views.show(console, everything)
    )


def _reindex(session: Session, pilot: Pilot) -> None:
    from pilotage.console import watches

    windows = watches.reindex(pilot.spec, session.settings)
    session.output.say(f"The index of {pilot.name} has {windows} windows.")


def _watched(session: Session, pilot: Pilot, work: Callable[[Watch, Show], Findings]) -> Findings:
    """What `work` finds with a pilot's watch, while webhooks are sent; ends the watch's retraining."""
    from pilotage.console import watches
    from pilotage.console.views import reports as views
    from pilotage.pipelines import webhooks

    watch = watches.Watch(pilot.spec, pilot.folder, session.settings)

    def show(part: Findings) -> None:
        for line in views.lines(part, session.settings):
            session.output.say(line)

    with webhooks.delivering(session.settings):
        try:
            return work(watch, show)
        finally:
            watch.stop()


def _follow(watch: Watch, every_seconds: float, stopped: Callable[[float], bool], show: Show) -> Findings:
    from pilotage.console import watches

    return watches.follow(watch, every_seconds, stopped, show)


def _look(watch: Watch, moment: datetime | None, show: Show) -> Findings:
    """One pass, and the end of the retraining that it started."""
    from pilotage.console import watches

    everything = watch.look(moment)
    show(everything)
    rest = watches.Findings(retrainings=watch.wait(lambda: None))
    show(rest)
    everything.add(rest)
    return everything


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
    time_column: Annotated[
        str | None,
        typer.Option(
            "--time", help="Column of event times, where ids are served repeatedly: joins by id and time."
        ),
    ] = None,
) -> None:
    """Store labels that came late.

    The monitor joins them to served rows by id, or by id and event time. The same labels again change
    nothing.
    """
    from rich.markup import escape

    from pilotage.console import label_files
    from pilotage.core.personal.replacements import Replacer
    from pilotage.core.storage import Storage
    from pilotage.serving.records.labels import store_labels

    name = name_of(pilot)
    data = load_pilot(pilot).spec.data if Path(pilot).exists() else None
    table = label_files.read(
        file,
        [id_column] if id_column else ["id", *([data.key] if data and data.key else [])],
        [label_column] if label_column else ["label", *([data.target] if data else [])],
        time_column,
    )
    storage = Storage(session.settings.storage)
    kept_as = Replacer.of_ids(data, session.settings) if data is not None else str
    doubts = strange_labels(session, name, table.labels)
    stored = store_labels(storage, name, table.ids, table.labels, table.times, kept_as)
    document = {"pilot": name, "labels": stored, "missing": table.missing, "file": str(file)}
    document["warnings"] = doubts
    left_out = f"; {table.missing} rows without a label were left out" if table.missing else ""
    session.output.answer(
        document,
        lambda console: console.print(
            f"Stored {stored:,} {'label' if stored == 1 else 'labels'} of {name}{left_out}."
        ),
    )
    for doubt in doubts:
        session.output.say(f"[yellow]{escape(doubt)}[/]")


def strange_labels(session: Session, pilot: str, given: list[Any]) -> list[str]:
    """What to say of classes that the champion does not know; they are kept, as the next one may know them.

    Raises:
        DataError: the champion tells numbers, and a label is none, so that no version can ever read it.
    """
    from pilotage.core import errors
    from pilotage.core.metrics import Task
    from pilotage.core.registry import Registry
    from pilotage.serving.records import spellings
    from pilotage.serving.records.labels import label_text

    registry = Registry(session.settings)
    champion = registry.champion(pilot)
    if champion is None:
        return []
    model = registry.model(champion)
    odd = spellings.unknown([label_text(value, position) for position, value in enumerate(given)], model)
    if not odd:
        return []
    rows = f"{sum(each.rows for each in odd):,} of {len(given):,} labels are"
    first = f"the first is `{odd[0].label[:60]}`"
    if model.task is Task.REGRESSION:
        raise errors.DataError(
            f"{rows} no numbers, which {pilot} predicts; {first}. Nothing was stored.",
            remedy="Write numbers as 1234.5: with a point, without separators, percent signs or units.",
        )
    return [
        f"{rows} no class of the champion, which tells {', '.join(map(str, model.classes))}; {first}. They "
        "are kept, and count once a version knows them. If they are misspelt, send those ids again."
    ]


def _pins(given: list[str], names: list[str]) -> dict[str, tuple[int, ...]]:
    """Versions by pilot, of `N` where one pilot is served and `PILOT=N`."""
    from pilotage.core import errors

    found: dict[str, tuple[int, ...]] = {}
    for text in given:
        name, _, number = text.rpartition("=")
        name = name or (names[0] if len(names) == 1 else "")
        if name not in names or not number.isdecimal() or not int(number):
            raise errors.SettingsError(
                f"`--version {text}` names no version of what is served ({', '.join(names)}).",
                remedy=f"Write `--version {names[0]}=3`; with one pilot `--version 3` does.",
            )
        found[name] = (*found.get(name, ()), int(number))
    return found


def seconds_of(text: str) -> float:
    """How long `--every` is."""
    from pilotage.core import durations, errors

    try:
        return durations.parse(text).total_seconds()
    except ValueError as error:
        raise errors.SettingsError(f"`--every {text}`: {error}.", remedy="Write `--every 10s`.") from error


def monitor_document(pilot: str, found: Findings, settings: Any) -> dict[str, Any]:
    """What a monitor found and did, as `--json` prints it."""
    return {
        "pilot": pilot,
        "reports": [_report_document(report, settings) for report in found.reports],
        "alarms": [alarm.model_dump(mode="json") for report in found.reports for alarm in report.alarms],
        "triggers": [trigger.model_dump(mode="json") for trigger in found.triggers],
        "retrainings": [retraining.document for retraining in found.retrainings],
        "rollouts": [rollout.model_dump(mode="json") for rollout in found.rollouts],
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
        "rows_drifted": report.rows_drifted,
        "changes": [change.model_dump(mode="json") for change in report.changes],
        "performance": performance.model_dump(mode="json") if performance else None,
        "estimated": report.estimated.model_dump(mode="json") if report.estimated else None,
        "alarms": [alarm.id for alarm in report.alarms],
        "page": views.page(report, settings),
    }
