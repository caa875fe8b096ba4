"""The data plane: from a request's body to the answer's, without any web framework.

Requests that wait together are read, predicted and written by one call, on the
version that was live when it began. What was served or refused is handed to the recorder, which
never makes a request wait.
"""

from __future__ import annotations

import bisect
import itertools
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from pilotage.core import errors
from pilotage.core.features import Columns
from pilotage.core.models import Prediction
from pilotage.serving import problems
from pilotage.serving.limits import Limits
from pilotage.serving.protocols.batches import Answer, Batch, Codec, Decoded
from pilotage.serving.records.recorders import Recorder, Served
from pilotage.serving.versions.champions import Follower, Live

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """One prediction request, as it came."""

    body: bytes
    content_type: str
    """The header, or empty text."""
    codec: Codec
    """Of the request's protocol."""
    started: float
    """`time.perf_counter()` when the request came."""
    version: str | None = None
    """The version that must answer; any when None."""


class Reply(NamedTuple):
    """The answer's body and how many rows it is about."""

    body: bytes
    rows: int


class DataPlane:
    """Answers prediction requests with the live version."""

    def __init__(self, follower: Follower, recorder: Recorder, limits: Limits) -> None:
        self._follower = follower
        self._recorder = recorder
        self._limits = limits

    @property
    def name(self) -> str:
        """The pilot, which is also the model's name."""
        return self._follower.name

    def live(self, version: str | None = None) -> Live:
        """The version that answers now.

        Raises:
            Problem: nothing is live, or `version` is asked for and another one is.
        """
        live = self._follower.live
        if live is None:
            raise problems.not_ready(self._follower.reason)
        self._check(live, version)
        return live

    def _check(self, live: Live, version: str | None) -> None:
        if version is not None and version != str(live.version):
            raise problems.not_found(
                f"Version `{version[:40]}` of `{self.name}` is not served here; {live.version} is."
            )

    def infer(self, request: Request) -> Reply:
        """The answer to one request.

        Raises:
            Problem: nothing is live, or the body is not what its protocol says.
            RequestError: a row cannot be taken.
        """
        (outcome,) = self.infer_together([request])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def infer_together(self, requests: Sequence[Request]) -> list[Reply | Exception]:
        """The answer or the error of each request, all on the same version, with one call of the model.

        A call costs an estimator much more than a row does, so requests that wait
        anyway are answered together; a row that the model refuses fails its own
        request only.
        """
        outcomes: list[Reply | Exception] = [problems.not_ready(self._follower.reason)] * len(requests)
        live = self._follower.live
        if live is None:
            return outcomes
        taken: dict[int, Decoded] = {}
        for position, request in enumerate(requests):
            try:
                taken[position] = self._decode(request, live)
            except Exception as error:
                outcomes[position] = error
        found = _predict_together(live, [decoded.batch for decoded in taken.values()])
        for (position, decoded), prediction in zip(taken.items(), found, strict=True):
            outcomes[position] = self._reply(live, requests[position], decoded, prediction)
        return outcomes

    def _decode(self, request: Request, live: Live) -> Decoded:
        self._check(live, request.version)
        decoded = request.codec(request.body, request.content_type, live.model, self._limits)
        if not decoded.batch.rows:
            raise errors.RequestError("The request has no rows.", remedy="Send at least one.")
        return decoded

    def _reply(
        self, live: Live, request: Request, decoded: Decoded, prediction: Prediction | Exception
    ) -> Reply | Exception:
        if isinstance(prediction, Exception):
            return prediction
        batch = decoded.batch
        try:
            body = decoded.encode(Answer(live.model, live.version, batch, prediction))
        except Exception as error:
            return error
        self._recorder.record(_served(live, batch, prediction, request.started))
        return Reply(body, batch.rows)

    def refused(self) -> None:
        """Count a prediction request that ended in an error."""
        live = self._follower.live
        if live is not None:
            self._recorder.refuse(live)


def _served(live: Live, batch: Batch, prediction: Prediction, started: float) -> Served:
    return Served(
        live=live,
        rows=batch.rows,
        columns=batch.columns,
        ids=batch.ids,
        times=batch.times,
        prediction=prediction,
        latency_ms=(time.perf_counter() - started) * 1000,
        arrived=datetime.now(UTC),
    )


def _predict_together(live: Live, batches: Sequence[Batch]) -> list[Prediction | Exception]:
    """Each batch's prediction or error, by one call of the model unless that fails."""
    if len(batches) > 1:
        columns = {
            name: np.concatenate([batch.columns[name] for batch in batches]) for name in batches[0].columns
        }
        try:
            return list(_parts(live.predictor.predict(columns), [batch.rows for batch in batches]))
        except Exception as error:
            logger.info("%d requests together failed (%s), trying each alone", len(batches), error)
    outcomes: list[Prediction | Exception] = []
    for batch in batches:
        try:
            outcomes.append(predict(live, batch.columns, batch.rows))
        except Exception as error:
            outcomes.append(error)
    return outcomes


def _parts(whole: Prediction, sizes: Sequence[int]) -> Iterator[Prediction]:
    """The prediction cut into parts of the given numbers of rows."""
    for start, end in itertools.pairwise([0, *itertools.accumulate(sizes)]):
        shares = whole.probabilities
        yield Prediction(
            whole.predictions[start:end],
            whole.score[start:end],
            None if shares is None else shares[start:end],
        )


def predict(live: Live, columns: Columns, rows: int) -> Prediction:
    """The live version's prediction for `rows` rows.

    Raises:
        RequestError: the model refuses a row though it takes an ordinary one; names the position.
    """
    try:
        return live.predictor.predict(columns)
    except (ValueError, TypeError, OverflowError, ArithmeticError) as error:
        if not _accepts(live, live.typical):
            raise
        row = _first_refused(live, columns, rows)
        raise errors.RequestError(
            f"Row {row}: the model cannot take these values: {_brief(error)}.",
            remedy="Send values in the range that the model was trained on.",
            row=row,
        ) from error


def _first_refused(live: Live, columns: Columns, rows: int) -> int:
    """Position of the first row that the model refuses."""
    return bisect.bisect_left(
        range(rows - 1), 1, key=lambda row: int(not _accepts(live, _head(columns, row + 1)))
    )


def _accepts(live: Live, columns: Columns) -> bool:
    try:
        live.predictor.predict(columns)
    except Exception:
        return False
    return True


def _head(columns: Columns, rows: int) -> Columns:
    return {name: column[:rows] for name, column in columns.items()}


def _brief(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200].rstrip(".")
