"""What a step's log says of the exception that ended it: words, or a traceback where none was meant.

An error of Pilotage's own says what to do, and where in Pilotage it was found helps nobody. Where a pilot's
own code raised what it came from, the lines of that code follow. How a process ends is not decided here.
"""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

import pilotage
from pilotage.core import errors


def describe(error: BaseException) -> str:
    """Lines for a log, with a newline at their end."""
    if not isinstance(error, errors.PilotageError):
        return "".join(traceback.format_exception(error))
    own = list(_own_lines(error))
    told = f"{type(error).__name__}: {error}\n"
    return told + "".join(["In the pilot's own code:\n", *own] if own else [])


def _own_lines(error: BaseException) -> Iterator[str]:
    """Where the pilot's own code was, in what `error` came of."""
    seen: set[int] = set()
    cause = error.__cause__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        frames = [frame for frame in traceback.extract_tb(cause.__traceback__) if _is_own(frame.filename)]
        yield from traceback.format_list(frames)
        if frames:
            yield from traceback.format_exception_only(cause)
        cause = cause.__cause__


def _is_own(file: str) -> bool:
    """Whether a file is neither Pilotage's nor a library's."""
    path = Path(file)
    if file.startswith("<") or "site-packages" in path.parts or "dist-packages" in path.parts:
        return False
    others = [sysconfig.get_path("stdlib"), *pilotage.__path__]
    return not any(path.is_relative_to(place) for place in others)
