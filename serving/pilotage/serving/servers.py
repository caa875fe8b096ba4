"""Running a model server: its addresses, and one process or several that serve there."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable, Mapping, Sequence

from pilotage.core import errors, signatures
from pilotage.core.pilots import Pilot
from pilotage.core.settings import Settings
from pilotage.serving import listeners
from pilotage.serving.limits import Limits
from pilotage.serving.plans import Plan
from pilotage.serving.security import guards, tls
from pilotage.serving.telemetry import accesses, traces

logger = logging.getLogger(__name__)

MOST_WORKERS = 256


def run(
    pilots: Pilot | Sequence[Pilot],
    settings: Settings,
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    workers: int = 1,
    grpc_port: int | None = None,
    versions: Mapping[str, tuple[int, ...]] | None = None,
    pins: Mapping[str, int] | None = None,
    on_grpc: Callable[[str], None] | None = None,
    on_ready: Callable[[str], None] | None = None,
    limits: Limits | None = None,
) -> None:
    """Serve `pilots` until SIGTERM or SIGINT; then finish what is in progress, write all counts and return.

    Args:
        pilots: what to serve; champions may come later.
        settings: of the installation.
        host: address to listen on.
        port: 0 stands for any that is free.
        workers: processes that share the port; 1 serves in this process.
        grpc_port: where gRPC is spoken; 0 stands for any that is free, None for nowhere.
        versions: served besides the champions, by pilot.
        pins: the version that serves in the champion's place, by pilot, whatever is promoted.
        on_grpc: called with host and port of gRPC before `on_ready`.
        on_ready: called with the URL once connections are accepted and the champions, where there
            are any, are loaded or took longer than `Limits.first_load_seconds`; in every worker.
        limits: what each process takes on.

    Raises:
        SettingsError: an address cannot be listened on, the storage cannot be opened, a file of
            tokens, keys or certificates cannot be used, a pilot is named twice, or one is pinned that is
            not served.
        NotFound: the registry says that a pinned version does not exist.
        MissingExtra: traces are asked for and OpenTelemetry is not installed.
        Failure: a worker died again and again.
    """
    given = [pilots] if isinstance(pilots, Pilot) else list(pilots)
    _check(given, workers, pins or {})
    _check_settings(settings)
    plan = Plan.of(
        given,
        settings,
        limits or Limits(),
        host=host,
        versions=dict(versions or {}),
        grpc_port=grpc_port,
        pins=dict(pins or {}),
    )
    _listen(plan, port, workers, on_grpc, on_ready)


def _listen(
    plan: Plan,
    port: int,
    workers: int,
    on_grpc: Callable[[str], None] | None,
    on_ready: Callable[[str], None] | None,
) -> None:
    """Serve on the plan's addresses; `run` explains the rest."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listeners.listening(plan.host, port))
        url = listeners.url(listener, tls.scheme(plan.settings))
        if plan.grpc_port is not None:
            grpc_port = stack.enter_context(listeners.reserved(plan.host, plan.grpc_port))
            plan = plan.model_copy(update={"grpc_port": grpc_port})

        def ready(grpc: int | None) -> None:
            logger.info("serving %s at %s", ", ".join(pilot.name for pilot in plan.pilots), url)
            if grpc is not None and on_grpc is not None:
                on_grpc(listeners.address(plan.host, grpc))
            if on_ready is not None:
                on_ready(url)

        _serve(plan, listener, workers, ready)


def _serve(plan: Plan, listener: socket.socket, workers: int, ready: Callable[[int | None], None]) -> None:
    if workers > 1:
        from pilotage.serving.workers import Supervisor

        Supervisor(plan, listener, workers, ready).run()
    else:
        from pilotage.serving import processes

        processes.serve(plan, listener, ready)


def _check_settings(settings: Settings) -> None:
    """Refuse wrong settings here, where whoever starts the server sees it, and not in each worker."""
    guards.open_guard(settings)
    tls.check(settings)
    accesses.check(settings)
    traces.check(settings)
    signatures.check(settings)


def _check(given: Sequence[Pilot], workers: int, pins: Mapping[str, int]) -> None:
    names = [pilot.name for pilot in given]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        raise errors.SettingsError(
            f"Pilot `{twice[0]}` is named twice." if twice else "No pilot is named.",
            remedy="Name each pilot to serve once.",
        )
    foreign = next((name for name in pins if name not in names), None)
    if foreign is not None:
        raise errors.SettingsError(
            f"A version of `{foreign}` is pinned, which is not served; served are: {', '.join(names)}.",
            remedy="Pin versions of the pilots that are served.",
        )
    if not 1 <= workers <= MOST_WORKERS:
        raise errors.SettingsError(
            f"{workers} workers are asked for, expected 1 to {MOST_WORKERS}.",
            remedy="One a core is a good start.",
        )
