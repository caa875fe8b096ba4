"""Logging of a process, configured by its entry point: always on stderr, one JSON object a line.

On a terminal it is readable instead. What is logged is not known here.
"""

from __future__ import annotations

import copy
import json
import logging
import sys
from datetime import UTC, datetime

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
_OURS = "pilotage"


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class _WithoutTraceback(logging.Formatter):
    """Leaves out the traceback of an exception, which people ask for with `--debug`.

    A formatter and no filter: the record goes on to other handlers, which still find the exception in it.
    """

    def format(self, record: logging.LogRecord) -> str:
        short = copy.copy(record)
        short.exc_info = short.exc_text = None
        return super().format(short)


class ShortLines(_WithoutTraceback):
    """A readable line for each record."""


class ShortJsonLines(_WithoutTraceback, JsonLines):
    """One JSON object a line, without tracebacks."""


def configure(verbosity: int, *, debug: bool) -> None:
    """Send logs to stderr: warnings, with 1 also what Pilotage does, with 2 also how."""
    handler = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        lines = logging.Formatter if debug else ShortLines
        handler.setFormatter(lines("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S"))
    else:
        handler.setFormatter(JsonLines() if debug else ShortJsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.DEBUG if verbosity > 1 else logging.ERROR)
    logging.getLogger(_OURS).setLevel(_LEVELS[min(verbosity, len(_LEVELS) - 1)])
