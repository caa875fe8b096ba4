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
    first = taken[0][0].live
    expected = first.version
    rows = answered = requests = 0
    waited = 0.0
    others: list[tuple[Work, Outcome, float]] = []
    spans: list[Span] = []
    for (work, _, came), outcome in zip(taken, outcomes):  # noqa: B905 - checked by whoever delivers
        rows += work.rows
        if type(outcome) is Reply and outcome.version == expected and work.live is first:
            requests += 1
            answered += work.rows
            waited += started - came
        else:
            others.append((work, outcome, came))
        span = work.request.span
        if span is not None:
            span.part("queue", came, started)
            spans.append(span)
    meters.released(reason, len(taken), rows, started - taken[0][2], took)
    if requests:
        meters.version(pilot, expected).answered(requests, answered, took * answered / rows, waited)
        meters.rows.inc(answered)
    for work, outcome, came in others:
        _count_other(meters, pilot, work, outcome, started - came, took * work.rows / rows)
    if spans:
        traces.note_batch(
            spans, started, started + took, requests=len(taken), rows=rows, version=expected, reason=reason
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
    if isinstance(given, Work):
        _count_other(meters, pilot, given, outcome, started - came, took)
    elif isinstance(outcome, Reply):
        _count_answer(meters, pilot, outcome, started - came, took)
    span = given.request.span if isinstance(given, Work) else given.span
    if span is not None:
        span.part("queue", came, started)
        span.part("model", started, started + took, rows=rows, release=reason)


def _count_other(
    meters: Meters, pilot: str, work: Work, outcome: Outcome, waited: float, took: float
) -> None:
    """Count an answer of another version than the others', or what a version is to blame for.

    A version that failed is to blame though the champion answered in its stead.
    """
    if isinstance(outcome, Reply):
        _count_answer(meters, pilot, outcome, waited, took)
        failed = outcome.version != work.live.version
    else:
        failed = not isinstance(outcome, (Problem, errors.RequestError))
    if failed:
        meters.version(pilot, work.live.version).failed(1, took)


def _count_answer(meters: Meters, pilot: str, reply: Reply, waited: float, took: float) -> None:
    meters.version(pilot, reply.version).answered(1, reply.rows, took, waited)
    meters.rows.inc(reply.rows)
