"""One POST to one address that was checked: no redirect, no proxy, no answer kept but its status.

When to send, and what becomes of it, is decided in `couriers`.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult

from pilotage.core import errors
from pilotage.pipelines.webhooks import addresses

TIMEOUT_SECONDS = 10.0
"""Of a whole attempt."""
_MOST_WAIT_SECONDS = 3600.0


@dataclass(frozen=True)
class Answer:
    """What an attempt came to."""

    status: int | None
    seconds: float
    error: str | None
    retry_after_seconds: float = 0.0

    @property
    def is_accepted(self) -> bool:
        """Whether the receiver has it."""
        return self.status is not None and 200 <= self.status < 300


def post(
    url: SplitResult,
    body: bytes,
    headers: Mapping[str, str],
    private_hosts: Sequence[str],
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Answer:
    """Send `body`; never raises for what the network or the receiver does.

    Neither the receiver's words nor the URL are in the answer: either may hold a secret.
    """
    began = time.monotonic()
    try:
        status, wait = _exchange(url, body, headers, private_hosts, began + timeout_seconds)
    except errors.AddressRefused as error:
        return Answer(None, time.monotonic() - began, error.message)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        late = time.monotonic() - began >= timeout_seconds
        what = f"no answer within {timeout_seconds:g} s" if late else _described(error)
        return Answer(None, time.monotonic() - began, what)
    seconds = time.monotonic() - began
    if 300 <= status < 400:
        return Answer(status, seconds, "a redirect, which is not followed")
    return Answer(status, seconds, None if 200 <= status < 300 else f"answered {status}", wait)


def _exchange(
    url: SplitResult,
    body: bytes,
    headers: Mapping[str, str],
    private_hosts: Sequence[str],
    deadline: float,
) -> tuple[int, float]:
    """Status, and how long the receiver wants to be left alone."""
    host, secure = url.hostname or "", url.scheme == "https"
    port = url.port or (443 if secure else 80)
    if not secure and not addresses.is_listed(host, private_hosts):
        raise errors.AddressRefused(f"`{host}` is not listed for plain http.")
    stream = addresses.connect(host, port, private_hosts, _left(deadline))
    if secure:
        context = ssl.create_default_context()
        stream = context.wrap_socket(stream, server_hostname=host, do_handshake_on_connect=False)
    # Each single wait has a timeout; a receiver that sends a byte now and then would pass all of them.
    guard = threading.Timer(_left(deadline), _shut, (stream,))
    guard.daemon = True
    guard.start()
    try:
        stream.settimeout(_left(deadline))
        if isinstance(stream, ssl.SSLSocket):
            stream.do_handshake()
        connection = http.client.HTTPConnection(host, port)
        connection.sock = stream
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        connection.request("POST", target, body, {"Host": url.netloc, "Connection": "close", **headers})
        answer = connection.getresponse()
        _left(deadline)  # headers that were cut off then look complete
        return answer.status, _wait(answer.getheader("Retry-After"))
    finally:
        guard.cancel()
        stream.close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _shut(stream: socket.socket) -> None:
    try:
        socket.socket.shutdown(stream, socket.SHUT_RDWR)  # TLS's own would change what another thread uses
    except OSError:
        pass  # it is closed already


def _wait(text: str | None) -> float:
    return min(float(text), _MOST_WAIT_SECONDS) if text is not None and text.isdecimal() else 0.0


def _described(error: Exception) -> str:
    """What went wrong, in words that are ours or the system's."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or type(error).__name__}"
    if isinstance(error, http.client.RemoteDisconnected):
        return "hung up without an answer"
    if isinstance(error, socket.gaierror):
        return "the host's name is unknown"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return f"not HTTP: {type(error).__name__}"
