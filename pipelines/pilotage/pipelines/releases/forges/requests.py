"""A pull or merge request, whatever its forge calls it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Request:
    """One that is open."""

    number: int
    url: str
    title: str
    body: str


class Api(Protocol):
    """What a forge does."""

    def find(self, branch: str, base: str) -> Request | None:
        """The open request to merge `branch` into `base`."""
        ...

    def create(self, branch: str, base: str, title: str, body: str) -> Request:
        """Open one.

        Raises:
            Taken: there is one.
        """
        ...

    def update(self, request: Request, title: str, body: str) -> Request:
        """Give one another title and body."""
        ...
