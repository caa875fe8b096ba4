"""Asks a model again and again, by new connections and kept ones; prints what became of it as JSON.

    loads.py URL SECONDS WORKERS

The body is that of the variable BODY. It runs inside the cluster, by the model
server's image, and needs only the standard library.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

PAUSE_SECONDS = 0.01
TIMEOUT_SECONDS = 15.0
_CLOSED = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)


class Tally:
    """What became of requests, counted by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.sent = 0
        self.failed = 0
        self.versions: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()

    def add(self, version: str | None, reason: str) -> None:
        """One more request: answered by `version`, or failed for `reason`."""
        with self._lock:
            self.sent += 1
            if version is None:
                self.failed += 1
                self.reasons[reason] += 1
            else:
                self.versions[version] += 1

    @property
    def document(self) -> dict[str, object]:
        """All of it."""
        return {
            "sent": self.sent,
            "failed": self.failed,
            "versions": dict(self.versions),
            "reasons": dict(self.reasons.most_common(5)),
        }


class Client:
    """One caller, with a connection that it keeps, as those with pools do, or a new one each time."""

    def __init__(self, url: str, *, keeps: bool) -> None:
        parts = urlsplit(url)
        self._place = (parts.hostname or "", parts.port or 80)
        self._path = parts.path
        self._keeps = keeps
        self._kept: http.client.HTTPConnection | None = None

    def ask(self, body: bytes) -> tuple[str | None, str]:
        """The version that answered, or None and why none did.

        A kept connection that the server closed meanwhile is no failure: the request is sent again on a new
        one, once, as every client with a pool does.
        """
        kept, self._kept = self._kept, None
        if kept is not None:
            try:
                return self._ask(kept, body)
            except _CLOSED:
                kept.close()
        try:
            return self._ask(http.client.HTTPConnection(*self._place, timeout=TIMEOUT_SECONDS), body)
        except (OSError, http.client.HTTPException) as error:
            return None, f"{type(error).__name__}: {error}"

    def _ask(self, connection: http.client.HTTPConnection, body: bytes) -> tuple[str | None, str]:
        connection.request("POST", self._path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if self._keeps and not answer.will_close:
            self._kept = connection
        else:
            connection.close()
        if answer.status != 200:
            return None, f"{answer.status}: {text[:200].decode(errors='replace')}"
        return str(json.loads(text)["version"]), ""


def follow(url: str, body: bytes, until: float, tally: Tally, *, keeps: bool) -> None:
    """Ask until the clock says `until`."""
    client = Client(url, keeps=keeps)
    while time.monotonic() < until:
        tally.add(*client.ask(body))
        time.sleep(PAUSE_SECONDS)


def main() -> int:
    """Ask; prints one line."""
    url, seconds, workers = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    body, until, tally = os.environ["BODY"].encode(), time.monotonic() + seconds, Tally()
    threads = [
        threading.Thread(target=follow, args=(url, body, until, tally), kwargs={"keeps": number % 2 == 0})
        for number in range(workers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps(tally.document) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
