"""The data plane: from a request's body to the answer's, without any web framework.

A request is read when it comes and waits as work; works that wait together are
answered by one call of the model, each on the version that was chosen for it.
What was served or refused is handed to the recorder, which never makes a request
wait. When works are answered, and in which thread, is the batcher's business.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pilotage.core import errors
from pilotage.core.models import Prediction
from pilotage.serving import problems
from pilotage.serving.inference import merges, refusals
from pilotage.serving.inference.works import Request, Work
from pilotage.serving.limits import Limits
from pilotage.serving.problems import Problem
from pilotage.serving.protocols import batches, codecs, invocations
from pilotage.serving.protocols.batches import Answer, Codec, Decoded
from pilotage.serving.protocols.readers import Reader
from pilotage.serving.records.recorders import Recorder
from pilotage.serving.records.servings import Served
from pilotage.serving.versions.champions import Follower
from pilotage.serving.versions.lives import Live
from pilotage.serving.versions.shadows import Shadow

logger = logging.getLogger(__name__)

_QUICK: dict[Codec, tuple[str, bool]] = {
    codecs.rows: ("rows", True),
    invocations.decode: ("dataframe_records", False),
}
"""Codecs whose usual bodies a reader takes: the key that holds the rows, and whether ids may be beside it."""
_WRITERS: dict[Codec, codecs.Writer] = {
    codecs.rows: codecs.write_predictions,
    invocations.decode: invocations.write_predictions,
}
_MOST_READERS = 16


class Reply(NamedTuple):
    """The answer's body, how many rows it is about and which version gave it."""

    body: Any
    """Bytes, `Encoded`, or a message of another protocol."""
    rows: int
    version: int


Outcome = Reply | Exception


class DataPlane:
    """Answers prediction requests with the versions that serve."""

    def __init__(
        self, follower: Follower, recorder: Recorder | None, limits: Limits, shadow: Shadow | None = None
    ) -> None:
        self._follower = follower
        self._recorder = recorder
        self._shadow = shadow
        self._limits = limits
        self._readers: dict[tuple[Codec, int], tuple[Live, Reader | None]] = {}

    @property
    def name(self) -> str:
        """The pilot, which is also the model's name."""
        return self._follower.name

    def live(self, version: str | None = None) -> Live:
        """The version that answers now, or the one that is asked for.

        Raises:
            Problem: nothing is live, or `version` is asked for and not served here.
        """
        champion = self._follower.live
        if champion is None:
            raise problems.not_ready(self._follower.reason)
        if version is None:
            return champion
        found = self._follower.at(version)
        if found is None:
            have = ", ".join(str(live.version) for live in self._follower.versions)
            raise problems.not_found(
                f"Version `{version[:40]}` of `{self.name}` is not served here; {have} is."
            )
        return found

    # -- reading ------------------------------------------------------------

    def read(self, request: Request) -> Work:
        """The work that `request` asks for, on the version chosen for it.

        Raises:
            Problem: nothing is live, or the body is not what its protocol says.
            RequestError: a row cannot be taken.
        """
        live = self.live(request.version)
        work = self._read(request, live)
        if request.version is None:
            chosen = self._follower.choose(work.ids)
            if chosen is not live:
                with suppress(errors.RequestError):  # of what the champion takes, which then answers
                    return self._read(request, chosen)
        return work

    def _read(self, request: Request, live: Live) -> Work:
        reader = self._reader(request.codec, live)
        if reader is not None and request.content_type == "application/json":
            rows = reader.read(request.body)
            if rows is not None:
                return Work(request, live, len(rows.values), rows.ids, reader=reader, values=rows.values)
        decoded = self._decoded(request, live)
        batch = decoded.batch
        if not batch.rows:
            raise errors.RequestError("The request has no rows.", remedy="Send at least one.")
        return Work(request, live, batch.rows, batch.ids, decoded=decoded)

    def _decoded(self, request: Request, live: Live) -> Decoded:
        with batches.shallow():
            return request.codec(request.body, request.content_type, live.model, self._limits)

    def _reader(self, codec: Codec, live: Live) -> Reader | None:
        """The reader of `codec`'s usual bodies for a version; None where it has none."""
        quick = _QUICK.get(codec)
        if quick is None:
            return None
        key = codec, live.version
        known = self._readers.get(key)
        if known is not None and known[0] is live:
            return known[1]
        reader = None
        if Reader.fits(live.model):
            envelope, takes_ids = quick
            reader = Reader(live.model, self._limits, envelope, takes_ids=takes_ids)
        if len(self._readers) >= _MOST_READERS:
            self._readers.clear()
        self._readers[key] = live, reader
        return reader

    # -- answering ----------------------------------------------------------

    def infer(self, request: Request) -> Reply:
        """The answer to one request.

        Raises:
            Problem: nothing is live, or the body is not what its protocol says.
            RequestError: a row cannot be taken.
        """
        (outcome,) = self.answer([self.read(request)])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def answer(self, works: Sequence[Work], rows_at_once: int | None = None) -> list[Outcome]:
        """The answer or the error of each work, with one call of the model for each version.

        A call costs an estimator much more than a row does, so works that wait
        anyway are answered together; a row that the model refuses fails its own
        request only. `rows_at_once` bounds the rows of one call.
        """
        first = works[0].live
        if all(work.live is first for work in works):
            return self._answer(first, works, rows_at_once)
        outcomes: dict[int, Outcome] = {}
        for live in {id(work.live): work.live for work in works}.values():
            places = [place for place, work in enumerate(works) if work.live is live]
            found = self._answer(live, [works[place] for place in places], rows_at_once)
            outcomes.update(zip(places, found, strict=True))
        return [outcomes[place] for place in range(len(works))]

    def _answer(self, live: Live, works: Sequence[Work], rows_at_once: int | None) -> list[Outcome]:
        merged = None
        try:
            merged = merges.merge(works)
            started = time.perf_counter()
            prediction = merges.predict(live, merged, rows_at_once)
        except Exception as error:
            return self._answer_alone(live, works, rows_at_once, error, merged)
        seconds = time.perf_counter() - started
        outcomes = self._write(live, works, prediction)
        if any(isinstance(outcome, Exception) for outcome in outcomes):
            if len(works) > 1:
                return [self._answer(live, [work], rows_at_once)[0] for work in works]
            return [self._instead(live, works[0], outcomes[0]) or self._failed(live, works[0], outcomes[0])]
        self._follower.observed(
            live, merged.rows, seconds, failed=False, requests=len(works), scores=prediction.score
        )
        self._hand_on(live, works, merged, prediction)
        return outcomes

    def _hand_on(
        self, live: Live, works: Sequence[Work], merged: merges.Merged, prediction: Prediction
    ) -> None:
        """Have what was answered counted, and seen by a challenger that gets copies."""
        copying = self._shadow is not None and self._follower.shadow is not None
        if self._recorder is None and not copying:
            return
        served = _served(live, works, merged, prediction)
        if self._recorder is not None:
            self._recorder.record(served)
        if copying and self._shadow is not None:
            self._shadow.offer(served)

    def _answer_alone(
        self,
        live: Live,
        works: Sequence[Work],
        rows_at_once: int | None,
        error: Exception,
        merged: merges.Merged | None,
    ) -> list[Outcome]:
        if len(works) > 1:
            logger.info("%d requests together failed (%s), trying each alone", len(works), error)
            return [self._answer(live, [work], rows_at_once)[0] for work in works]
        (work,) = works
        stood_in = self._instead(live, work, error)
        if stood_in is not None:
            return [stood_in]
        if merged is None:
            return [self._failed(live, work, self._unmerged(live, work, error))]
        return [self._failed(live, work, refusals.explain(live, merged, error))]

    def _unmerged(self, live: Live, work: Work, error: Exception) -> Exception:
        """What a request's codec says of rows that its reader took and that make no columns."""
        try:
            self._decoded(work.request, live)
        except (Problem, errors.RequestError) as found:
            return found
        return error

    def _failed(self, live: Live, work: Work, failure: Outcome) -> Outcome:
        if not isinstance(failure, errors.RequestError):
            self._follower.observed(live, work.rows, 0.0, failed=True)
        return failure

    def _instead(self, live: Live, work: Work, failure: Outcome) -> Outcome | None:
        """What the champion says of a request that failed on another version; None where it may not answer.

        Rows that the champion cannot take either are not held against the other.
        """
        champion = self._follower.live
        if champion is None or live is champion or work.request.version is not None:
            return None
        logger.warning("version %d failed (%s), the champion answers", live.version, failure)
        try:
            (outcome,) = self._answer(champion, [self._read(work.request, champion)], None)
        except Exception as other:
            outcome = other
        if not isinstance(outcome, errors.RequestError):
            self._follower.observed(live, work.rows, 0.0, failed=True)
        return outcome

    def _write(self, live: Live, works: Sequence[Work], prediction: Prediction) -> list[Outcome]:
        """Each work's answer, cut from the prediction for all."""
        values: list[Any] | None = None
        shares: list[list[float]] | None = None
        outcomes: list[Outcome] = []
        start = 0
        for work in works:
            end = start + work.rows
            try:
                if work.decoded is None:
                    if values is None:
                        values = prediction.predictions.tolist()
                        if prediction.probabilities is not None:
                            shares = prediction.probabilities.tolist()
                    body: Any = _WRITERS[work.request.codec](
                        live.model,
                        live.version,
                        work.ids,
                        values[start:end],
                        None if shares is None else shares[start:end],
                    )
                else:
                    part = merges.part(prediction, start, end)
                    body = work.decoded.encode(Answer(live.model, live.version, work.decoded.batch, part))
                outcomes.append(Reply(body, work.rows, live.version))
            except Exception as error:
                outcomes.append(error)
            start = end
        return outcomes

    def refused(self) -> None:
        """Count a request that failed or was refused."""
        live = self._follower.live
        if live is not None and self._recorder is not None:
            self._recorder.refuse(live)


def _served(live: Live, works: Sequence[Work], merged: merges.Merged, prediction: Prediction) -> Served:
    now = time.perf_counter()
    return Served(
        live=live,
        rows=merged.rows,
        columns=merged.columns,
        ids=merged.ids,
        times=merged.times,
        prediction=prediction,
        sizes=[work.rows for work in works],
        latencies_ms=[(now - work.request.started) * 1000 for work in works],
        arrived=datetime.now(UTC),
    )
