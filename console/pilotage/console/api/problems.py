"""Errors as problem documents (RFC 9457); the one place where the console's errors meet HTTP statuses."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException

from pilotage.core import errors

MEDIA_TYPE = "application/problem+json"

_STATUSES: Mapping[type[errors.PilotageError], HTTPStatus] = {
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Outdated: HTTPStatus.PRECONDITION_FAILED,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.RunActive: HTTPStatus.CONFLICT,
    errors.PromotionRefused: HTTPStatus.CONFLICT,
    errors.LimitReached: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Refusal: HTTPStatus.CONFLICT,
    errors.InputError: HTTPStatus.UNPROCESSABLE_ENTITY,
}
"""The first that fits counts."""
_UNSTORABLE = (DataError, OverflowError)
"""What databases say of a number or a letter that their columns cannot hold."""


class _Problem(JSONResponse):
    """A problem document; what clients sent is told back in ASCII, whatever it was."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        return json.dumps(content, default=str, separators=(",", ":")).encode()


def status_of(error: Exception) -> HTTPStatus:
    """The status that `error` is answered with."""
    if isinstance(error, HTTPException):
        return HTTPStatus(error.status_code)
    if isinstance(error, (RequestValidationError, *_UNSTORABLE)):
        return HTTPStatus.UNPROCESSABLE_ENTITY
    for kind, status in _STATUSES.items():
        if isinstance(error, kind):
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR


def document_of(error: Exception) -> dict[str, Any]:
    """The problem document; one that is not foreseen tells nothing of the inside."""
    status = status_of(error)
    document: dict[str, Any] = {"title": status.phrase, "status": int(status)}
    if isinstance(error, errors.PilotageError):
        document |= {
            "type": f"urn:pilotage:problem:{errors.slug_of(type(error))}",
            "detail": error.message,
            "remedy": error.remedy,
            "exit_code": int(error.exit_code),
            "details": error.details,
        }
    elif isinstance(error, RequestValidationError):
        problems = [
            {"at": ".".join(str(part) for part in item["loc"]), "message": item["msg"]}
            for item in error.errors()
        ]
        told = "; ".join(f"`{item['at']}`: {item['message']}" for item in problems)
        document |= {
            "type": "urn:pilotage:problem:wrong-request",
            "detail": told,
            "details": {"problems": problems},
        }
    elif isinstance(error, _UNSTORABLE):
        document |= {
            "type": "urn:pilotage:problem:wrong-request",
            "detail": "A value of the request is too large, or has letters that cannot be stored.",
        }
    elif isinstance(error, HTTPException):
        document |= {"type": "about:blank", "detail": str(error.detail)}
    else:
        document |= {
            "type": "urn:pilotage:problem:internal",
            "detail": "The console failed on this request; its log says why.",
        }
    return document


def response_to(error: Exception) -> JSONResponse:
    """The answer to a request that ended in `error`."""
    document = document_of(error)
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if document["status"] == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="pilotage"'
    if isinstance(error, errors.LimitReached):
        headers["Retry-After"] = str(max(1, math.ceil(error.details.get("seconds", 1))))
    if isinstance(error, errors.Conflict) and "retry_after_seconds" in error.details:
        headers["Retry-After"] = str(error.details["retry_after_seconds"])
    return _Problem(document, document["status"], headers)
