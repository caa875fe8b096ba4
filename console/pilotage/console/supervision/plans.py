"""Which services an installation needs: those that always run, and a model server a pilot with a champion."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from sqlalchemy import Engine

from pilotage.console.supervision.services import Definition
from pilotage.console.supervision.states import ServiceKind
from pilotage.core import pilots
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import catalogues

_MLFLOW_PORT = 8500
_SERVER_PORT = 8600
_OURS = ("-m", "pilotage.console.supervision")


def fixed(settings: Settings, host: str, port: int) -> list[Definition]:
    """Console, scheduler, monitors, and MLflow's server where its store is this machine's."""
    found = [
        Definition(
            "console",
            ServiceKind.CONSOLE,
            lambda port, ready: [
                *(*_OURS, "console", "--host", host, "--port", str(port), "--ready-file", str(ready))
            ],
            host=host,
            first_port=port,
        ),
        Definition("scheduler", ServiceKind.SCHEDULER, _role("scheduler")),
        Definition("monitors", ServiceKind.MONITORS, _role("monitors"), grace_seconds=25.0),
    ]
    if not settings.mlflow_tracking_uri:
        found.append(
            Definition(
                "mlflow",
                ServiceKind.MLFLOW,
                lambda port, ready: [*_OURS, "mlflow", "--port", str(port), "--ready-file", str(ready)],
                first_port=_MLFLOW_PORT,
            )
        )
    return found


def servers(engine: Engine, settings: Settings, known: Collection[str]) -> list[Definition]:
    """Model servers of pilots that have a champion, but for those that are `known` by name."""
    with tables.reading(engine) as connection:
        entries = {f"server/{entry.name}": entry for entry in catalogues.entries(connection)}
    fresh = {
        name: entry
        for name, entry in entries.items()
        if name not in known and (entry.folder / pilots.FILE_NAME).is_file()
    }
    if not fresh:
        return []
    served = Registry(settings).champions([entry.name for entry in fresh.values()])
    return [_server(name, entry) for name, entry in fresh.items() if entry.name in served]


def _server(name: str, entry: catalogues.Entry) -> Definition:
    def command(port: int, ready: Path) -> list[str]:
        words = ["serve", str(entry.folder), "--port", str(port), "--ready-file", str(ready)]
        return ["-m", "pilotage.console", *words]

    return Definition(
        name, ServiceKind.SERVER, command, pilot=entry.name, first_port=_SERVER_PORT, grace_seconds=15.0
    )


def _role(name: str) -> Callable[[int, Path], Sequence[str]]:
    return lambda port, ready: [*_OURS, name, "--ready-file", str(ready)]
