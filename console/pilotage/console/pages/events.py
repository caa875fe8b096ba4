"""Server-sent events as bytes, and how far a viewer has come, as text.

A position names every part of a page with the digest of what the viewer has of
it, and every log with the bytes of it; it is each event's id, so the browser
gives it back when it connects anew, to whichever process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

MEDIA_TYPE = "text/event-stream"
MOST_POSITION = 2000
"""Letters of a position that is taken from a viewer."""

BEAT = b"event: beat\ndata: 1\n\n"
"""Says that the connection lives; a comment would not reach the page's script."""
END = b"event: end\ndata: 1\n\n"
"""Nothing more will come; the browser must not connect again."""
RETRY = b"retry: 1000\n\n"


def encode(name: str, data: str, position: str = "") -> bytes:
    """One event; each line of `data` is a line of its own, so that it arrives as it was."""
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    told = "".join(f"data: {line}\n" for line in lines)
    mark = f"id: {position}\n" if position else ""
    return f"event: {name}\n{mark}{told}\n".encode()


def mark_of(html: str) -> str:
    """A part's digest."""
    return hashlib.sha256(html.encode()).hexdigest()[:12]


def position_of(marks: Mapping[str, str]) -> str:
    """A position as text."""
    return urlencode(sorted(marks.items()))


def marks_of(position: str) -> dict[str, str]:
    """What a position names; nothing where it is not one of ours."""
    try:
        return dict(parse_qsl(position[:MOST_POSITION], max_num_fields=50, errors="strict"))
    except ValueError:
        return {}
