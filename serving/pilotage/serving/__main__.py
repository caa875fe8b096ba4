"""`python -m pilotage.serving PILOT… --pin NAME=VERSION`: the model server as the image runs it.

The same server as `pilotage serve`, without what the console needs. A pinned version serves in
the champion's place and whatever is promoted, for in a cluster a commit says what serves; pilots without one
follow their champion. It is live at once, ready when every version is loaded, and waits
for a registry that does not answer; a version that does not exist ends it with exit code 2. Steps of
rollouts are taken elsewhere: by the console, or by what rolls out the pods.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from pilotage.core import errors, logs, pilots, settings

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; the exit code is that of `pilotage.core.errors`."""
    options = _parser().parse_args(arguments)
    logs.configure(1, debug=True)
    try:
        _serve(options)
    except errors.PilotageError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return int(error.exit_code)
    except Exception:
        logger.exception("the server ended with an error that is not its caller's")
        return int(errors.ExitCode.FAILED)
    return int(errors.ExitCode.DONE)


def _serve(options: argparse.Namespace) -> None:
    installation = settings.load()
    given = [pilots.load(pilot) for pilot in options.pilots]
    try:
        from pilotage.serving import addresses, servers
        from pilotage.serving.versions import pins
    except ModuleNotFoundError as error:
        raise errors.MissingExtra(
            f"The model server needs `{error.name}`, which is not installed.",
            remedy='`pip install "pilotage[serving]"`',
        ) from error
    pinned = pins.parse(options.pin)
    addresses.warn_if_open(options.host, installation)
    spoken: list[str] = []
    servers.run(
        given,
        installation,
        options.host,
        options.port,
        workers=options.workers,
        grpc_port=options.grpc_port,
        pins=pinned,
        on_grpc=spoken.append,
        on_ready=lambda url: addresses.announce(options.ready_file, url, spoken[0] if spoken else None),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pilotage.serving",
        description="The model server, until SIGTERM. Settings come from the environment: PILOTAGE_… and"
        " MLFLOW_TRACKING_URI.",
    )
    parser.add_argument("pilots", nargs="+", metavar="PILOT", help="pilot.yaml, or the folder that holds it")
    parser.add_argument(
        "--pin",
        action="append",
        default=[],
        metavar="NAME=VERSION",
        help="serve this version in the champion's place, whatever is promoted; once a pilot",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8080, help="of HTTP; 0: any (default: %(default)s)")
    parser.add_argument("--grpc-port", type=_port, help="speak gRPC there too; 0: any (default: no gRPC)")
    parser.add_argument(
        "--workers", type=int, default=1, help="processes that share the port (default: %(default)s)"
    )
    parser.add_argument(
        "--ready-file",
        type=Path,
        metavar="FILE",
        help="write addresses and process id there, as JSON, once requests are taken",
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"`{text}` is no port, expected 0 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
