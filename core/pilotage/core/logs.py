"""Logging of a process, configured by its entry point: always on stderr, one JSON object a line.

On a terminal it is readable instead. What is logged is not known here.
"""

from __future__ import annotations

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


class WithoutTraceback(logging.Filter):
    """Keeps the message of an exception and drops its traceback, which people ask for with `--debug`."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info:
            record.exc_info = record.exc_text = None
        return True


def configure(verbosity: int, *, debug: bool) -> None:
    """Send logs to stderr: warnings, with 1 also what Pilotage does, with 2 also how."""
    handler = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
        )
    else:
        handler.setFormatter(JsonLines())
    if not debug:
        handler.addFilter(WithoutTraceback())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.DEBUG if verbosity > 1 else logging.ERROR)
    logging.getLogger(_OURS).setLevel(_LEVELS[min(verbosity, len(_LEVELS) - 1)])
