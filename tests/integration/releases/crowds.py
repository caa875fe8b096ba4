"""Releases from several processes at once: one program that forks, so that all begin in the same moment.

Reads a JSON document of `settings` and `wishes` (environment, version, by); writes what became of each.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from pilotage.core import errors, settings
from pilotage.pipelines import releases


def carry_out(found: settings.Settings, wish: dict[str, Any]) -> dict[str, Any]:
    """Release one; what came of it."""
    try:
        done = releases.release(
            found,
            "flights",
            wish["version"],
            environment=wish["environment"],
            by=wish["by"],
            reason="at once",
        )
    except errors.PilotageError as error:
        return {**wish, "error": f"{type(error).__name__}: {error}"}
    return {**wish, "changed": done.changed, "commit": done.commit}


def main() -> None:
    """Fork one process a wish; all wait for the same word."""
    asked = json.load(sys.stdin)
    found = settings.load(**asked["settings"])
    wait, go = os.pipe()
    answers = []
    for wish in asked["wishes"]:
        read, write = os.pipe()
        if os.fork() == 0:
            os.close(go)
            os.read(wait, 1)
            os.write(write, json.dumps(carry_out(found, wish)).encode())
            os._exit(0)
        os.close(write)
        answers.append(read)
    os.close(go)
    found_all = []
    for read in answers:
        with os.fdopen(read, "rb") as stream:
            found_all.append(json.loads(stream.read() or b'{"error": "it was killed"}'))
    json.dump(found_all, sys.stdout)


if __name__ == "__main__":
    main()
