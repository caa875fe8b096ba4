"""`python -m pilotage.console.supervision`: the processes that `pilotage up` starts.

    console --host HOST --port PORT --ready-file FILE
    scheduler --ready-file FILE
    monitors --ready-file FILE
    mlflow --port PORT --ready-file FILE

Each runs until SIGTERM and ends with its parent. People use `pilotage up`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pilotage.console import signals
from pilotage.core import errors, logs, settings
from pilotage.core.settings import Settings
from pilotage.serving import addresses


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what `arguments` ask; returns the exit code."""
    options = _parser().parse_args(arguments)
    logs.configure(1, debug=True)
    try:
        installation = settings.load()
        if options.role == "console":
            from pilotage.console.supervision import servers

            servers.run_console(installation, options.host, options.port, options.ready_file)
        else:
            _follow(options, installation)
    except errors.PilotageError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    return 0


def _follow(options: argparse.Namespace, installation: Settings) -> None:
    with signals.stopping() as stop:
        if options.role == "mlflow":
            from pilotage.console.supervision import servers

            servers.run_mlflow(installation, options.port, options.ready_file, stop.wait)
        elif options.role == "scheduler":
            from pilotage.pipelines import schedulers

            addresses.announce(options.ready_file, "")
            schedulers.follow(installation, stop.wait)
        else:
            from pilotage.console.supervision import monitors

            addresses.announce(options.ready_file, "")
            monitors.follow(installation, stop.wait)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pilotage.console.supervision", description=__doc__)
    parser.add_argument("role", choices=("console", "scheduler", "monitors", "mlflow"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ready-file", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main())
