"""The Ray that workers run on: one of this process's own, or a cluster that it joins.

Ray's own runs on loopback alone, with a token that nobody else knows, no dashboard, bounded shared memory
and a folder of its own, and ends with this process however that ends; a folder that a killed process
left is removed by the next. What workers do is not known here.
"""

from __future__ import annotations

import fcntl
import logging
import math
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from pilotage.components.distributed import guards
from pilotage.core import errors
from pilotage.core.settings import KUBERAY, Settings
from pilotage.core.specs import Resources, clusters

logger = logging.getLogger(__name__)

_PREFIX = "pilotage-ray-"
_LOCK = "lock"
_TOKEN = secrets.token_hex(32)
"""Of every Ray that this process starts: Ray reads it once."""
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
}
_ALONE = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # then a node's address is loopback, and it listens there
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": _TOKEN,
    "RAY_enable_metrics_collection": "0",
    "GLOO_SOCKET_IFNAME": "lo",
}
_LOOPBACK = "127.0.0.1"
_ENOUGH_ROOM = 1e-6
_POLL_SECONDS = 0.5


@contextmanager
def opened(settings: Settings, resources: Resources) -> Iterator[Any]:
    """The module `ray`, connected to what has room for the workers that `resources` asks for.

    Raises:
        MissingExtra: Ray is not installed.
        SettingsError: GPUs are asked for that are not there.
        Unavailable: the cluster does not answer, or has no room in time.
    """
    joining = settings.ray_address not in ("", KUBERAY)
    with ExitStack() as stack:
        stack.enter_context(_environment(_QUIET if joining else {**_QUIET, **_ALONE}))
        ray = _library()
        if not ray.is_initialized():
            if joining:
                _join(ray, settings.ray_address)
            else:
                folder = stack.enter_context(_folder())
                stack.enter_context(guards.guarded(folder))
                stack.enter_context(_environment({guards.MARK: str(folder), "SPT_NOENV": "1"}))
                _start(ray, folder, settings, resources)
            stack.callback(ray.shutdown)
        _require_room(ray, settings, resources, joining=joining)
        yield ray


def demand(resources: Resources) -> dict[str, float]:
    """What one worker asks Ray for, in Ray's words."""
    asked = {"CPU": clusters.cores(resources.cpu) if resources.cpu else 1.0}
    if resources.memory:
        asked["memory"] = float(math.floor(clusters.size(resources.memory)))
    if resources.gpu:
        asked["GPU"] = float(resources.gpu)
    return asked


def _library() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise errors.MissingExtra(
            f"Several workers need the library `{error.name}`, which is not installed.",
            remedy='pip install "pilotage[scale]"',
        ) from error
    return ray


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Ray reads these when it is imported, when it starts, and in each process that it starts."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start(ray: Any, folder: Path, settings: Settings, resources: Resources) -> None:
    asked = demand(resources)
    began = time.monotonic()
    ray.init(
        num_cpus=math.ceil(asked["CPU"] * resources.workers),
        _memory=int(max(asked.get("memory", 0.0) * resources.workers, 1 << 30)),
        object_store_memory=settings.ray_object_store_mb << 20,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        logging_level=logging.ERROR,
        _node_ip_address=_LOOPBACK,
        _temp_dir=str(folder),
    )
    logger.info("Ray %s started on loopback in %.1f s", ray.__version__, time.monotonic() - began)


def _join(ray: Any, address: str) -> None:
    try:
        ray.init(address, log_to_driver=False, configure_logging=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, TimeoutError, OSError) as error:
        raise errors.Unavailable(
            f"The Ray cluster at {address} (PILOTAGE_RAY_ADDRESS) cannot be joined: {error}.",
            remedy="Check that it runs, with this Ray and this Python, and that RAY_AUTH_TOKEN is its token.",
        ) from error
    logger.info("joined the Ray cluster at %s", address)


def _require_room(ray: Any, settings: Settings, resources: Resources, *, joining: bool) -> None:
    asked = {name: value * resources.workers for name, value in demand(resources).items()}
    until = time.monotonic() + settings.ray_patience_seconds
    while True:
        there = ray.cluster_resources()
        lacking = [name for name, value in asked.items() if there.get(name, 0.0) < value - _ENOUGH_ROOM]
        if not lacking:
            return
        name = lacking[0]
        place = f"the Ray cluster at {settings.ray_address}" if joining else "this machine"
        message = (
            f"{resources.workers} workers ask for {asked[name]:g} {name} together,"
            f" {place} has {there.get(name, 0.0):g}."
        )
        if not joining:
            raise errors.SettingsError(
                message, remedy="Ask for less in `resources`, or set PILOTAGE_RAY_ADDRESS to a cluster."
            )
        if time.monotonic() > until:
            raise errors.Unavailable(message, remedy="Add nodes, or ask for less in `resources`.")
        time.sleep(_POLL_SECONDS)


@contextmanager
def _folder() -> Iterator[Path]:
    """A new folder for Ray's sockets and logs, whose lock tells others that its process lives."""
    root = Path(tempfile.gettempdir())
    _sweep(root)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Remove folders of processes that were killed."""
    for folder in root.glob(f"{_PREFIX}*"):
        with suppress(OSError), (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
