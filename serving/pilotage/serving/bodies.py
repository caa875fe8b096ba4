"""Reading a request's body off the wire, no further than the limit."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request

from pilotage.serving import problems


async def read(request: Request, limit: int) -> bytes:
    """The whole body.

    Raises:
        Problem: it is larger than `limit` bytes, or the client left before its end.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise problems.too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise problems.too_large(limit)
            chunks.append(chunk)
    except ClientDisconnect:
        raise problems.malformed("The client left before the end of the body.") from None
    return b"".join(chunks)
