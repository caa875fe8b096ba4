"""Problem documents (RFC 9457): how the server says over HTTP what went wrong.

The one place where an error of the tree meets an HTTP status. A document
carries the error's message, remedy and details, never a traceback.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson

from pilotage.core import errors

MEDIA_TYPE = "application/problem+json"
_STANDARD = ("type", "title", "status", "detail")

_ERROR_CODES: Mapping[HTTPStatus, str] = {
    HTTPStatus.UNAUTHORIZED: "UNAUTHENTICATED",
    HTTPStatus.FORBIDDEN: "PERMISSION_DENIED",
    HTTPStatus.NOT_FOUND: "RESOURCE_DOES_NOT_EXIST",
    HTTPStatus.UNPROCESSABLE_ENTITY: "INVALID_PARAMETER_VALUE",
    HTTPStatus.TOO_MANY_REQUESTS: "REQUEST_LIMIT_EXCEEDED",
    HTTPStatus.INTERNAL_SERVER_ERROR: "INTERNAL_ERROR",
    HTTPStatus.NOT_IMPLEMENTED: "NOT_IMPLEMENTED",
    HTTPStatus.SERVICE_UNAVAILABLE: "TEMPORARILY_UNAVAILABLE",
    HTTPStatus.GATEWAY_TIMEOUT: "DEADLINE_EXCEEDED",
}
"""MLflow's names of errors, from its own list."""


class Problem(Exception):
    """A request that ends in a problem document with `status`."""

    def __init__(
        self,
        status: HTTPStatus,
        kind: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        """Last part of the document's `type`, a URN."""
        self.detail = detail
        self.members = members
        """Further members, such as the position of a row."""
        retry = {"Retry-After": "1"} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
        self.headers: dict[str, str] = {**retry, **(headers or {})}
        """Headers that go with the document."""

    def document(self) -> dict[str, Any]:
        """The document; inference clients look for `error`, MLflow's for `error_code` and `message`."""
        members = {name: value for name, value in self.members.items() if name not in _STANDARD}
        return {
            "type": f"urn:pilotage:problem:{self.kind}",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
            "error": self.detail,
            "error_code": _ERROR_CODES.get(self.status, "BAD_REQUEST"),
            "message": self.detail,
            **members,
        }

    def body(self) -> bytes:
        """The document in JSON."""
        return orjson.dumps(self.document(), default=str, option=orjson.OPT_SERIALIZE_NUMPY)


_KINDS: Mapping[type[errors.PilotageError], tuple[HTTPStatus, str]] = {
    errors.RequestError: (HTTPStatus.UNPROCESSABLE_ENTITY, "wrong-request"),
    errors.NotFound: (HTTPStatus.NOT_FOUND, "not-found"),
    errors.Unavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"),
}


def of(error: Exception) -> Problem:
    """The problem that `error` stands for; one that is not foreseen tells nothing of the inside."""
    if isinstance(error, Problem):
        return error
    for kind, (status, name) in _KINDS.items():
        if isinstance(error, kind):
            return Problem(status, name, str(error), **error.details)
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        "The server failed on this request; its log says why.",
    )


def malformed(detail: str) -> Problem:
    """The body is not what its content type says."""
    return Problem(HTTPStatus.BAD_REQUEST, "malformed", detail)


def not_found(detail: str) -> Problem:
    """There is no such route, model or version here."""
    return Problem(HTTPStatus.NOT_FOUND, "not-found", detail)


def not_ready(reason: str) -> Problem:
    """No model can answer yet."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", reason)


def draining() -> Problem:
    """The server is about to stop."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, "draining", "The server is draining: it stops soon. Ask another one."
    )


def overloaded() -> Problem:
    """More requests wait than the server lets wait."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "Too many requests are waiting already; try again."
    )


def too_late() -> Problem:
    """The time that the client gave for the answer is over."""
    return Problem(
        HTTPStatus.GATEWAY_TIMEOUT,
        "deadline-exceeded",
        "The deadline passed before the request's turn came; allow more time or send fewer requests.",
    )


def full() -> Problem:
    """The bodies of requests that wait take all the memory they may."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "Too much is waiting to be answered already; try again."
    )


def head_too_large(limit: int) -> Problem:
    """Request line and headers are longer than the server reads."""
    return Problem(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "head-too-large",
        f"Request line and headers take more than {limit:,} bytes, or there are too many of them.",
    )


def too_slow(what: str, seconds: float) -> Problem:
    """The client does not send on."""
    return Problem(
        HTTPStatus.REQUEST_TIMEOUT,
        "too-slow",
        f"The request's {what} did not come within {seconds:g} seconds.",
    )


def too_large(limit: int) -> Problem:
    """The body is larger than the server reads."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too-large",
        f"The body is larger than {limit:,} bytes. Send the rows in several requests.",
        limit=limit,
    )


def too_many(what: str, count: int, limit: int) -> Problem:
    """The body has more rows or labels than the server takes at once."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too-many-rows",
        f"The request has {count:,} {what}, at most {limit:,} are taken. Send them in several requests.",
        limit=limit,
    )


def unsupported(content_type: str, expected: str) -> Problem:
    """The content type is not one that the route reads."""
    given = f"`{content_type[:100]}`" if content_type else "missing"
    return Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        f"The content type is {given}, expected {expected} in UTF-8.",
    )


def unauthorized(detail: str, error: str = "") -> Problem:
    """The request says not, or not believably, who sends it; `error` is RFC 6750's code."""
    reason = f', error="{error}", error_description="{detail}"' if error else ""
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "unauthorized",
        detail,
        headers={"WWW-Authenticate": f'Bearer realm="pilotage"{reason}'},
    )


def forbidden(detail: str) -> Problem:
    """It is known who sends the request, and that they may not."""
    return Problem(
        HTTPStatus.FORBIDDEN,
        "forbidden",
        detail,
        headers={"WWW-Authenticate": 'Bearer realm="pilotage", error="insufficient_scope"'},
    )


def too_often(seconds: float) -> Problem:
    """The caller is over its rate; one more is taken in `seconds`."""
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too-many-requests",
        f"More requests came than this token may send; the next is taken in {max(seconds, 0.001):.3f} s.",
        headers={"Retry-After": str(max(1, math.ceil(seconds)))},
    )
