"""What the Open Inference Protocol's repository extension calls the index: models and their versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pilotage.serving.problems import Problem
from pilotage.serving.protocols import batches, outputs

if TYPE_CHECKING:
    from pilotage.serving.endpoints import Endpoint

READY = "READY"
UNAVAILABLE = "UNAVAILABLE"


def asks_ready_only(body: bytes) -> bool:
    """Whether a request for the index, which may be empty, asks only for versions that can answer.

    Raises:
        Problem: the body is not JSON.
        RequestError: it is of another shape.
    """
    if not body:
        return False
    document = batches.check_keys(batches.parse_json(body, "application/json"), (), ("ready",))
    return outputs.flag(document, "ready", default=False)


def index(endpoints: Iterable[Endpoint], *, ready_only: bool) -> list[dict[str, str]]:
    """Name, version, state and reason of each version that is loaded, and of each model that has none."""
    found: list[dict[str, str]] = []
    for endpoint in endpoints:
        try:
            endpoint.plane.live()
        except Problem as problem:
            if not ready_only:
                found.append(
                    {"name": endpoint.name, "version": "", "state": UNAVAILABLE, "reason": problem.detail}
                )
            continue
        found += [
            {"name": endpoint.name, "version": str(live.version), "state": READY, "reason": ""}
            for live in endpoint.follower.versions
        ]
    return found
