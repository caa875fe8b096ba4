"""Runs one of several serving processes, started by `pilotage.serving.workers`.

Reads its plan from standard input, which then stays open as long as whoever started it lives.
What it has to tell goes, one JSON object a line, to the descriptor that is its second argument; the first
is the listening socket.
"""

from __future__ import annotations

import json
import logging
import logging.config
import os
import signal
import socket
import sys
import threading

from pilotage.core import errors
from pilotage.serving.plans import Plan

_MARGIN_SECONDS = 5.0
"""How much longer than its drain a process without a parent may take to end."""


def main() -> int:
    """Serve until told to stop; the exit code is that of `pilotage.core.errors`."""
    listener, told = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    plan = Plan.model_validate_json(sys.stdin.readline())
    if plan.logging is not None:
        logging.config.dictConfig(plan.logging)
    logging.captureWarnings(True)
    threading.Thread(target=_end_with_parent, args=(plan,), name="parent", daemon=True).start()
    try:
        from pilotage.serving import processes

        processes.serve(plan, listener, lambda grpc: _tell(told, {"ready": True, "grpc": grpc}))
    except errors.PilotageError as error:
        _tell(told, {"error": error.message, "remedy": error.remedy})
        return int(error.exit_code)
    return int(errors.ExitCode.DONE)


def _tell(descriptor: int, document: dict[str, object]) -> None:
    try:
        os.write(descriptor, json.dumps(document).encode() + b"\n")
    except BrokenPipeError:
        logging.getLogger(__name__).warning("whoever started this process is gone")


def _end_with_parent(plan: Plan) -> None:
    """Stop in order when the other end of standard input is closed, as the death of its holder does."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    drain = plan.settings.drain_delay_seconds + plan.limits.drain_seconds
    threading.Event().wait(drain + _MARGIN_SECONDS)
    os._exit(int(errors.ExitCode.FAILED))


if __name__ == "__main__":
    sys.exit(main())
