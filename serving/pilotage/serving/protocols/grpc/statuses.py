"""How the server says over gRPC what went wrong: the status and trailing metadata of a problem."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from grpc import StatusCode

from pilotage.serving.problems import Problem

_KINDS: Mapping[str, StatusCode] = {
    "overloaded": StatusCode.RESOURCE_EXHAUSTED,
    "deadline-exceeded": StatusCode.DEADLINE_EXCEEDED,
}
"""Kinds of problems that HTTP's status does not tell from others."""
_STATUSES: Mapping[HTTPStatus, StatusCode] = {
    HTTPStatus.BAD_REQUEST: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.UNAUTHORIZED: StatusCode.UNAUTHENTICATED,
    HTTPStatus.FORBIDDEN: StatusCode.PERMISSION_DENIED,
    HTTPStatus.NOT_FOUND: StatusCode.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT: StatusCode.DEADLINE_EXCEEDED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.UNPROCESSABLE_ENTITY: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.TOO_MANY_REQUESTS: StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.NOT_IMPLEMENTED: StatusCode.UNIMPLEMENTED,
    HTTPStatus.SERVICE_UNAVAILABLE: StatusCode.UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT: StatusCode.DEADLINE_EXCEEDED,
}


def code_of(problem: Problem) -> StatusCode:
    """The status that stands for a problem; what was not foreseen is internal."""
    return _KINDS.get(problem.kind) or _STATUSES.get(problem.status, StatusCode.INTERNAL)


def trailers_of(problem: Problem) -> tuple[tuple[str, str], ...]:
    """What HTTP would say in headers, such as when to try again."""
    return tuple(
        (name.lower(), value.encode("ascii", "replace").decode()) for name, value in problem.headers.items()
    )
