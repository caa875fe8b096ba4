"""The one exception tree, so that every room reports failure in the same terms.

    PilotageError
    ├── Failure                 exit 1: it did not work this time; a retry may help
    │   ├── StepFailed          a step crashed, hung or ran out of memory
    │   ├── RunActive           the pilot already has a run in progress
    │   ├── ModelTooLarge       a version takes more memory than it may
    │   ├── WorkerLost          a process that shares a step's work is gone
    │   ├── LeaseLost           another process leads now, or nobody does
    │   └── Unavailable         a registry, a store or a database did not answer
    ├── InputError              exit 2: the input is wrong; a retry never helps
    │   ├── SpecError           pilot.yaml
    │   ├── SourceError         a data source cannot be read as asked
    │   ├── DataError           a table cannot be used for this pilot
    │   ├── EstimatorError      the estimator or its parameters
    │   ├── SettingsError       environment and settings
    │   ├── RequestError        a row that a model cannot take
    │   ├── NotFound            a pilot, run, version or file that does not exist
    │   ├── UntrustedModel      a stored model that may not be loaded
    │   ├── Conflict            what was asked does not fit the state that things are in
    │   │   └── Outdated        it has changed since it was read
    │   ├── Unauthenticated     a caller who did not say, or prove, who they are
    │   └── MissingExtra        a room whose dependencies are not installed
    └── Refusal                 exit 3: a validation, a gate or a person said no
        ├── ValidationFailed
        ├── PromotionRefused
        ├── AddressRefused      a webhook's host that may not be connected to
        ├── Stopped             somebody told it to stop
        ├── Forbidden           someone asked for what they may not do
        └── LimitReached        too many attempts; wait and try again

Errors carry data for programs in `details` and a remedy for people; they know
process exit codes and never HTTP statuses.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Any, ClassVar


class ExitCode(IntEnum):
    """What a process that ends tells its caller."""

    DONE = 0
    FAILED = 1
    WRONG_INPUT = 2
    REFUSED = 3


class PilotageError(Exception):
    """What was wrong with which value, what was expected, and what to do next."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str, *, remedy: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.details = details

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.remedy, self.details)


def _rebuild(kind: type[PilotageError], message: str, remedy: str, details: dict[str, Any]) -> PilotageError:
    return kind(message, remedy=remedy, **details)


def slug_of(kind: type[PilotageError]) -> str:
    """The kind of an error as URNs and programs name it: `not-found`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


class Failure(PilotageError):
    """It did not work this time; trying again may help."""


class StepFailed(Failure):
    """A step crashed, hung beyond its timeout or ran out of memory."""


class RunActive(Failure):
    """The pilot already has a run in progress."""


class ModelTooLarge(Failure):
    """A version that takes more memory than one may in a model server."""


class WorkerLost(Failure):
    """A process that shares a step's work is gone, or cannot reach the others."""


class LeaseLost(Failure):
    """Another process holds the lease, or nobody does any more."""


class Unavailable(Failure):
    """A registry, a store or a database did not answer."""


class InputError(PilotageError):
    """The input is wrong; trying again with the same input never helps."""

    exit_code = ExitCode.WRONG_INPUT


class SpecError(InputError):
    """A pilot.yaml that cannot be read; `details["problems"]` lists each with line and key."""


class SourceError(InputError):
    """A data source that cannot be read as asked."""


class DataError(InputError):
    """A table that cannot be used for this pilot."""


class EstimatorError(InputError):
    """An estimator that cannot be found, built or fitted with its parameters."""


class SettingsError(InputError):
    """A setting that is missing or wrong."""


class RequestError(InputError):
    """A row that a model cannot take; `details` has `row` and `feature`."""


class NotFound(InputError):
    """A pilot, run, version or file that does not exist."""


class UntrustedModel(InputError):
    """A stored model whose types or signature the settings do not trust."""


class Conflict(InputError):
    """What was asked does not fit the state that things are in now."""


class Outdated(Conflict):
    """What was to be changed has changed since it was read."""


class Unauthenticated(InputError):
    """A caller who did not say who they are, or whose proof is wrong, expired or revoked."""


class MissingExtra(InputError):
    """A room was asked for whose dependencies are not installed."""


class Refusal(PilotageError):
    """A validation, a gate or a person said no."""

    exit_code = ExitCode.REFUSED


class ValidationFailed(Refusal):
    """The data does not meet a critical expectation or its schema changed."""


class PromotionRefused(Refusal):
    """A version that gates or an approval keep from becoming champion."""


class AddressRefused(Refusal):
    """No address of a host may be connected to."""


class Stopped(Refusal):
    """Somebody told what goes on to stop."""


class Forbidden(Refusal):
    """Someone asked for what their roles do not allow."""


class LimitReached(Refusal):
    """Too many attempts; `details["seconds"]` says how long to wait."""
