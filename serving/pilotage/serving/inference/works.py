"""A prediction request as it came, and the work that it turned out to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pilotage.serving.protocols.batches import Codec, Decoded
from pilotage.serving.protocols.readers import Reader, Values
from pilotage.serving.telemetry.traces import Span
from pilotage.serving.versions.lives import Live


@dataclass(slots=True)
class Request:
    """One prediction request."""

    body: Any
    """Bytes, or the message of another protocol that the codec reads."""
    content_type: str
    """The header, or empty text."""
    codec: Codec
    """Of the request's protocol."""
    started: float
    """`time.perf_counter()` when the request came."""
    version: str | None = None
    """The version that must answer; any when None."""
    deadline: float | None = None
    """`time.perf_counter()` after which nobody waits for the answer."""
    principal: str | None = None
    """Who asks, where that is known."""
    span: Span | None = None
    """Of the request's trace, where it is traced."""


@dataclass(slots=True)
class Work:
    """A request that was read, on the version that answers it."""

    request: Request
    live: Live
    rows: int
    ids: list[str | None] | None
    decoded: Decoded | None = None
    """What the codec made of the body; None where a reader took it."""
    reader: Reader | None = None
    values: list[Values] | None = None
    """The rows as the reader gives them."""
