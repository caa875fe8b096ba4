"""What a batch tells those who watch: the meters by version, and the traces of its requests."""

from __future__ import annotations

from collections.abc import Sequence

from pilotage.core import errors
from pilotage.serving.inference.planes import Outcome, Reply
from pilotage.serving.inference.works import Request, Work
from pilotage.serving.problems import Problem
from pilotage.serving.telemetry import traces
from pilotage.serving.telemetry.meters import Meters
from pilotage.serving.telemetry.traces import Span


def report(
    meters: Meters,
    pilot: str,
    taken: Sequence[tuple[Work, object, float]],
    outcomes: Sequence[Outcome],
    reason: str,
    started: float,
    took: float,
) -> None:
    """Count a batch that was answered.

    Args:
        meters: of the server.
        pilot: whose batch it is.
        taken: works, each with when it came, by `time.perf_counter()`.
        outcomes: of the works.
        reason: why the batch was released.
        started: when the model began.
        took: seconds until all was answered.
    """
    rows = 0
    by_version: dict[int, tuple[int, int, float]] = {}
    spans: list[Span] = []
    for (work, _, came), outcome in zip(taken, outcomes, strict=True):
        rows += work.rows
        if isinstance(outcome, Reply):
            requests, answered, waited = by_version.get(outcome.version, (0, 0, 0.0))
            by_version[outcome.version] = requests + 1, answered + work.rows, waited + started - came
        _count_failure(meters, pilot, work, outcome, took)
        span = work.request.span
        if span is not None:
            span.part("queue", came, started)
            spans.append(span)
    meters.released(reason, len(taken), rows, started - taken[0][2], took)
    for version, (requests, answered, waited) in by_version.items():
        meters.version(pilot, version).answered(requests, answered, took * answered / rows, waited)
        meters.rows.inc(answered)
    if spans:
        version = taken[0][0].live.version
        traces.note_batch(
            spans, started, started + took, requests=len(taken), rows=rows, version=version, reason=reason
        )


def report_large(
    meters: Meters,
    pilot: str,
    given: Request | Work,
    outcome: Outcome,
    reason: str,
    came: float,
    started: float,
    took: float,
) -> None:
    """Count a request that was read and answered by itself; see `report`."""
    rows = outcome.rows if isinstance(outcome, Reply) else 0
    meters.released(reason, 1, rows, started - came, took)
    if isinstance(outcome, Reply):
        meters.version(pilot, outcome.version).answered(1, rows, took, started - came)
        meters.rows.inc(rows)
    elif isinstance(given, Work):
        _count_failure(meters, pilot, given, outcome, took)
    span = given.request.span if isinstance(given, Work) else given.span
    if span is not None:
        span.part("queue", came, started)
        span.part("model", started, started + took, rows=rows, release=reason)


def _count_failure(meters: Meters, pilot: str, work: Work, outcome: Outcome, took: float) -> None:
    """Count what the version is to blame for, though another one may have answered in its stead."""
    if isinstance(outcome, Reply):
        failed = outcome.version != work.live.version
    else:
        failed = not isinstance(outcome, (Problem, errors.RequestError))
    if failed:
        meters.version(pilot, work.live.version).failed(1, took)
