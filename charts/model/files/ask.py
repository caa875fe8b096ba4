"""What `helm test` runs: is the pinned version ready, and does it predict the rows that it is given?

Needs only the standard library. Ends with 0, or with 1 and the reason.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

PATIENCE_SECONDS = 120
AUTHORITY = Path("/etc/pilotage/tls/ca.crt")


def main() -> int:
    """Ask; the arguments are address, pilot, version and the file of rows."""
    try:
        return _check(*sys.argv[1:5])
    except OSError as error:
        return _say(str(error))


def _check(address: str, pilot: str, version: str, file: str) -> int:
    ready = _ready(address)
    if ready is None:
        return _say(f"{address} was not ready within {PATIENCE_SECONDS} seconds")
    served = {(one["model"], str(one["version"])) for one in ready["versions"]}
    if (pilot, version) not in served:
        return _say(f"version {version} of {pilot} is not served, but {sorted(served)}")
    rows = json.loads(Path(file).read_text(encoding="utf-8"))
    if rows["rows"]:
        answer = _ask(f"{address}/predict", json.dumps(rows).encode())
        if str(answer["version"]) != version or len(answer["predictions"]) != len(rows["rows"]):
            return _say(f"the answer is not that of version {version} to {len(rows['rows'])} rows: {answer}")
    sys.stdout.write(f"version {version} of {pilot} is ready and answered {len(rows['rows'])} rows\n")
    return 0


def _ready(address: str) -> dict | None:
    """What the server says of itself once it is ready."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            return _ask(f"{address}/health/ready")
        except OSError as error:
            sys.stderr.write(f"not ready yet: {error}\n")
            time.sleep(2)
    return None


def _ask(url: str, body: bytes | None = None) -> dict:
    headers = {"content-type": "application/json"}
    if os.environ.get("TOKEN"):
        headers["authorization"] = f"Bearer {os.environ['TOKEN']}"
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310  # its own
    context = ssl.create_default_context(cafile=str(AUTHORITY)) if AUTHORITY.exists() else None
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise OSError(f"{url} answered {error.code}: {error.read(1000).decode(errors='replace')}") from error


def _say(reason: str) -> int:
    sys.stderr.write(f"{reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
