"""The process that imports heavy libraries once and forks a child for each step.

`python -m pilotage.pipelines.steps.zygote` talks JSON lines over
a socket; `pilotage.pipelines.steps.workers` is the other side. It stays
single-threaded so that forking is safe. It knows nothing of steps, caches or
records: a child runs one compiled KFP component with kfp's own executor.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import json
import logging
import os
import select
import signal
import socket
import sys
import time
import traceback
import types
import warnings
from pathlib import Path
from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1
_OOM_SCORE_ADJ = "500"
"""A step goes before anything else of the user when the machine runs out of memory."""
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class _Lazily(importlib.abc.MetaPathFinder):
    """Finds the named modules so that they are loaded at the first use of one of their names."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Any, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._names:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def _put_first(names: list[str]) -> None:
    """Import `names` and move them with their packages to the front of `sys.modules`.

    skops looks through all modules for each of numpy's and scipy's 840 functions
    when it is imported, from the front; its result is the same, half a second sooner.
    """
    with contextlib.suppress(ImportError):  # the step says what is missing
        for name in names:
            importlib.import_module(name)
    packages = {name.partition(".")[0] for name in names}
    for name in [name for name in sys.modules if name.partition(".")[0] not in packages]:
        sys.modules[name] = sys.modules.pop(name)


class Zygote:
    """Serves fork requests until its caller closes the socket or dies."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._children: dict[int, int] = {}
        """Request number by pid."""
        self._wake, write_end = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(write_end, False)
        self._write_end = write_end

    def preload(self, modules: list[str], lazy: list[str], first: list[str]) -> None:
        """Import `modules`; one that fails is left for the step to fail on with its own message.

        What they import in turn of `lazy` is loaded when it is used. Nothing of what
        imports make is garbage, so looking for garbage meanwhile (a fifth of the time)
        is left out, and children do not look through it either.
        """
        began = time.monotonic()
        sys.meta_path.insert(0, _Lazily(lazy))
        gc.disable()
        _put_first(first)
        for name in modules:
            try:
                importlib.import_module(name)
            except Exception:
                traceback.print_exc()
        gc.freeze()
        gc.enable()
        self._send(event="ready", seconds=time.monotonic() - began)

    def serve(self) -> None:
        """Fork on request and report exits; returns when the caller is gone."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._write_end)
        buffer = b""
        while True:
            sources: list[Any] = [self._connection, self._wake]
            readable, _, _ = select.select(sources, [], [])
            if self._wake in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 4096)
                self._reap()
            if self._connection in readable:
                data = self._connection.recv(1 << 20)
                if not data:
                    return
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    self._fork(json.loads(line))

    def stop(self) -> None:
        """Kill every child with all that it started."""
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    def _fork(self, request: dict[str, Any]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            # OpenBLAS keeps idle threads and has fork handlers; threads of Python are what would be unsafe.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            self._connection.close()
            become_step(request)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        self._children[pid] = request["id"]
        self._send(event="started", id=request["id"], pid=pid)

    def _reap(self) -> None:
        for pid in list(self._children):
            done, status, used = os.wait4(pid, os.WNOHANG)
            if done:
                number = self._children.pop(pid)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)  # what the step left running
                self._send(
                    event="exited",
                    id=number,
                    pid=pid,
                    code=os.waitstatus_to_exitcode(status),
                    cpu=used.ru_utime + used.ru_stime,
                    peak=used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
                )

    def _send(self, **message: Any) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.sendall(json.dumps(message).encode() + b"\n")


def become_step(request: dict[str, Any]) -> NoReturn:
    """In the forked child: run the component of `request` and exit with design's exit codes."""
    code = 1
    try:
        _isolate(request)
        code = _execute(request)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def die_with_parent(parent: int, number: int) -> None:
    """Ask the kernel to send signal `number` when process `parent` dies; exit if it already has."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _isolate(request: dict[str, Any]) -> None:
    zygote = os.getppid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(PermissionError):  # the zygote may have made it a group leader already
        os.setsid()
    die_with_parent(zygote, signal.SIGKILL)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE_ADJ)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.environ.update(request["environment"])


def _execute(request: dict[str, Any]) -> int:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    for noisy in ("alembic", "httpx", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        run_component(request["source"], request["function"], request["executor_input"])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:
        from pilotage.core import failures

        sys.stderr.write(failures.describe(error))
        Path(request["error"]).write_text(json.dumps(describe(error)), encoding="utf-8")
        return int(getattr(error, "exit_code", 1))
    return 0


def run_component(source: str, function: str, executor_input: dict[str, Any]) -> None:
    """What `python -m kfp.dsl.executor_main` does, without its import of a temporary file."""
    from kfp.dsl.executor import Executor

    module = types.ModuleType("ephemeral_component")
    code = compile(source, "<component>", "exec", dont_inherit=True)  # kfp reads annotations as objects
    exec(code, module.__dict__)  # noqa: S102 - the pipeline's own compiled code
    Executor(executor_input=executor_input, function_to_execute=getattr(module, function)).execute()


def describe(error: BaseException) -> dict[str, Any]:
    """An exception as JSON for the caller; the traceback stays in the log."""
    return {
        "type": type(error).__name__,
        "message": str(getattr(error, "message", "") or error or type(error).__name__),
        "remedy": getattr(error, "remedy", ""),
        "exit_code": int(getattr(error, "exit_code", 1)),
        "details": json.loads(json.dumps(getattr(error, "details", {}), default=str)),
    }


def main(arguments: list[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m pilotage.pipelines.steps.zygote")
    parser.add_argument("descriptor", type=int, help="socket to the caller")
    parser.add_argument("parent", type=int, help="the caller's pid")
    parser.add_argument("--lazy", action="append", default=[], help="module to load only when it is used")
    parser.add_argument("--first", action="append", default=[], help="module to find first in sys.modules")
    parser.add_argument("modules", nargs="*", help="modules to import")
    options = parser.parse_args(arguments)
    os.environ["_KFP_RUNTIME"] = "true"  # kfp then imports its executor only
    zygote = Zygote(socket.socket(fileno=options.descriptor))

    def stop(*_: object) -> NoReturn:
        zygote.stop()
        os._exit(1)

    signal.signal(signal.SIGTERM, stop)
    die_with_parent(options.parent, signal.SIGTERM)
    zygote.preload(options.modules, options.lazy, options.first)
    try:
        zygote.serve()
    finally:
        zygote.stop()


if __name__ == "__main__":
    main()
