"""A whole installation from first to last: pilots are taken in, services run, others are told of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select

from pilotage.console.access import links
from pilotage.console.access.accounts import UserState
from pilotage.console.access.actors import at_this_machine
from pilotage.console.operations import pilots
from pilotage.console.operations.desks import Desk
from pilotage.console.supervision import instances, plans
from pilotage.console.supervision.services import Service
from pilotage.console.supervision.states import ServiceKind
from pilotage.console.supervision.supervisors import Supervisor
from pilotage.core import errors
from pilotage.core.settings import Settings, is_loopback
from pilotage.pipelines import tables


def run(
    settings: Settings,
    folders: Sequence[Path],
    host: str,
    port: int,
    stopped: Callable[[float], bool],
    on_ready: Callable[[dict[str, Any]], None],
) -> None:
    """Run everything until `stopped(seconds)`, which waits, says so.

    Args:
        settings: the installation.
        folders: pilots to take in.
        host: address that the console listens on.
        port: its port; the next free one where it is taken.
        stopped: waits, and says whether to stop.
        on_ready: given the addresses once everything runs.

    Raises:
        Failure: `pilotage up` runs in this home already.
        SettingsError: the host is no address of this machine, or others could come in without proof.
    """
    with instances.only_one(settings) as tell:
        desk = Desk(settings)
        _require_closed(host, desk)
        for folder in folders:
            pilots.add_pilot(desk, at_this_machine(), folder)
        supervisor = Supervisor(settings, plans.fixed(settings, host, port))

        def ready(services: Sequence[Service]) -> None:
            document = _document(settings, services)
            tell({"console": document["console"]})
            if is_loopback(host):
                document["sign_in"] = f"{document['console']}{links.create_link(desk)}"
            on_ready(document)

        supervisor.run(stopped, ready)


def _require_closed(host: str, desk: Desk) -> None:
    """Make sure that who comes in from other machines can say, and prove, who they are."""
    if is_loopback(host) or desk.settings.oidc_issuer:
        return
    table = tables.users
    able = select(table.c.name).where(table.c.state == UserState.ACTIVE, table.c.password.is_not(None))
    with desk.engine.connect() as connection:
        if connection.execute(able.limit(1)).first() is not None:
            return
    raise errors.SettingsError(
        f"`{host}` can be reached from other machines, and nobody has an account to come in with.",
        remedy="Add one with `pilotage users add NAME`, set PILOTAGE_OIDC_ISSUER, or listen on 127.0.0.1.",
    )


def _document(settings: Settings, services: Sequence[Service]) -> dict[str, Any]:
    """Where everything is."""
    one = {service.definition.kind: service for service in services}
    mlflow = one.get(ServiceKind.MLFLOW)
    return {
        "pid": os.getpid(),
        "home": str(settings.home),
        "logs": str(settings.logs),
        "console": one[ServiceKind.CONSOLE].url,
        "sign_in": None,
        "mlflow": mlflow.url if mlflow is not None else settings.mlflow_tracking_uri,
        "servers": {
            service.definition.pilot: service.url
            for service in services
            if service.definition.kind is ServiceKind.SERVER
        },
        "services": {service.definition.name: service.state.value for service in services},
    }
