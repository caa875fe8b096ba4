"""A notebook that somebody sent, analysed by a process of its own with little memory and time.

What is sent may be made to exhaust whoever parses it: nesting that overruns a stack, code whose analysis
takes hours. The process that dies of it is not the console's. It looks at no file but its own packages, so
that a notebook that names a file of this machine learns nothing of it; and it executes nothing that it reads.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from pilotage.core import errors

MOST_BYTES = 16 << 20
"""Of a notebook or script that is sent."""
SECONDS = 20
"""Of computing for one."""
_MEMORY_BYTES = 1 << 30
_AT_ONCE = 2
_ANSWER_BYTES = 16 << 20
_DEPTH = 32
_FOLDERS = Path("/", *[".folders"] * _DEPTH)
"""Where it is as if the pilot's folder were; nothing is there, and nothing is looked for."""
_NAME = re.compile(r"[^/\\\x00-\x1f\x7f]{1,200}\.(?:ipynb|py)", re.IGNORECASE)
_KINDS = {kind.__name__: kind for kind in (errors.InputError, errors.SpecError)}

_places = threading.BoundedSemaphore(_AT_ONCE)


def adopt(file: str, content: str, into: str | None = None, beside: str = "..") -> dict[str, Any]:
    """The pilot that a notebook or script amounts to.

    Args:
        file: its name, which ends in .ipynb or .py.
        content: its text.
        into: name of the pilot's folder; after the file when left out.
        beside: the file's folder, as a path from the pilot's.

    Returns:
        `pilot`, `spec`, `files` (text by name), `decided` and `undecided`.

    Raises:
        InputError, SpecError: it is none, or no pilot comes of it, or reading it takes too much.
        LimitReached: others are read at the moment.
    """
    _require_sound(file, content)
    folder = Path(into or "a").name
    if (
        (into or "a") != folder
        or Path(beside).is_absolute()
        or beside.count("..") >= _DEPTH
        or "\x00" in beside
    ):
        raise errors.InputError(
            f"`{(into or '')[:100]}` is no name of a folder, or `{beside[:100]}` no way from it to the file.",
            remedy="Send a name such as `churn`, and a relative path such as `..` or `../notebooks`.",
        )
    if not _places.acquire(timeout=5):
        raise errors.LimitReached(
            f"{_AT_ONCE} notebooks are read at the moment.", remedy="Send it again in half a minute."
        )
    try:
        return _answered(json.dumps({"file": file, "content": content, "into": into, "beside": beside}))
    finally:
        _places.release()


def _require_sound(file: str, content: str) -> None:
    if not _NAME.fullmatch(file):
        raise errors.InputError(
            f"`{file[:100]}` is no name of a notebook or script.",
            remedy="Send the name without folders; it ends in .ipynb or .py.",
        )
    try:
        size = len(content.encode())
    except UnicodeEncodeError as error:
        raise errors.InputError(f"`{file}` is not text in UTF-8.", remedy="Save it as UTF-8.") from error
    if size > MOST_BYTES:
        raise errors.InputError(
            f"`{file}` has {size >> 20} MB, more than {MOST_BYTES >> 20}.",
            remedy="Clear its outputs: `jupyter nbconvert --clear-output --inplace` does.",
        )
    if "\x00" in content:
        raise errors.InputError(f"`{file}` has NUL characters; it is no text.", remedy="Save it as UTF-8.")


def _answered(question: str) -> dict[str, Any]:
    # The environment is not the console's, which holds passwords.
    environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
    try:
        done = subprocess.run(  # noqa: S603 - our own module in our own interpreter
            [sys.executable, "-m", "pilotage.console.adoption.readings", str(SECONDS)],
            input=question.encode(),
            capture_output=True,
            env=environment,
            cwd="/",
            timeout=3 * SECONDS,
            check=False,
        )
        answer = json.loads(done.stdout[:_ANSWER_BYTES])
    except subprocess.TimeoutExpired as error:
        raise _too_much() from error
    except ValueError as error:  # it was ended before it said anything
        raise _too_much() from error
    except OSError as error:
        raise errors.Unavailable(
            f"No process can be started to read it: {error.strerror}.", remedy="Try again later."
        ) from error
    if "error" in answer:
        told = answer["error"]
        raise _KINDS.get(told["kind"], errors.InputError)(
            told["message"], remedy=told["remedy"], **told["details"]
        )
    found: dict[str, Any] = answer["found"]
    return found


def _too_much() -> errors.InputError:
    return errors.InputError(
        f"Reading it takes more than {SECONDS} s or {_MEMORY_BYTES >> 20} MB.",
        remedy="Adopt the part that trains, as a file of its own.",
    )


def _main() -> None:
    """Answer the question on stdin with one document on stdout, in the seconds of CPU that are given."""
    import resource

    seconds = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform.startswith("linux"):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        answer = {"found": _read(**json.load(sys.stdin))}
    except errors.PilotageError as error:
        details = json.loads(json.dumps(error.details, default=str))
        message = error.message.replace(f"{_FOLDERS}/", "")  # nobody else knows of them
        told = {"kind": type(error).__name__, "message": message, "remedy": error.remedy}
        answer = {"error": {**told, "details": details}}
    except (RecursionError, MemoryError):
        answer = _refused(_too_much().message, _too_much().remedy)
    except Exception as error:
        answer = _refused(
            f"It cannot be read: {type(error).__name__}: {str(error)[:200]}.",
            "Adopt the part that trains, as a script of its own.",
        )
    sys.stdout.write(json.dumps(answer))


def _refused(message: str, remedy: str) -> dict[str, Any]:
    return {"error": {"kind": "InputError", "message": message, "remedy": remedy, "details": {}}}


def _read(file: str, content: str, into: str | None, beside: str) -> dict[str, Any]:
    from pilotage.console.adoption import analyses, notebooks, writing

    folder = _FOLDERS / (into or writing.name_of(Path(file)))
    place = Path(os.path.normpath(folder / beside))
    source = notebooks.of_text(place / file, content, looks=False)
    made = writing.draft(analyses.analyse(source), folder)
    return {
        "pilot": made.spec.pilot,
        "files": made.texts,
        "decided": made.decided,
        "undecided": [
            {"cell": note.cell, "line": note.line, "what": note.what, "then": note.then}
            for note in made.notes
        ],
    }


if __name__ == "__main__":
    _main()
