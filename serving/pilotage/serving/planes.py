"""The data plane: from a request's body to the answer's, without any web framework.

One request is read, predicted and written by one call, on the version that was
live when it began. What was served or refused is handed to the recorder, which
never makes a request wait.
"""

from __future__ import annotations

import bisect
import time
from datetime import UTC, datetime
from typing import NamedTuple

from pilotage.core import errors
from pilotage.core.features import Columns
from pilotage.core.models import Prediction
from pilotage.serving import problems
from pilotage.serving.batches import Answer, Batch, Codec
from pilotage.serving.champions import Follower, Live
from pilotage.serving.limits import Limits
from pilotage.serving.recorders import Recorder, Served


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
        if version is not None and version != str(live.version):
            raise problems.not_found(
                f"Version `{version[:40]}` of `{self.name}` is not served here; {live.version} is."
            )
        return live

    def infer(
        self, body: bytes, content_type: str, codec: Codec, started: float, version: str | None = None
    ) -> Reply:
        """The answer to one request.

        Args:
            body: the request's.
            content_type: its header, or empty text.
            codec: of the request's protocol.
            started: `time.perf_counter()` when the request came.
            version: the version that must answer; any when None.

        Raises:
            Problem: nothing is live, or the body is not what its protocol says.
            RequestError: a row cannot be taken.
        """
        live = self.live(version)
        batch, encode = codec(body, content_type, live.model, self._limits)
        prediction = predict(live, batch.columns, batch.rows)
        reply = encode(Answer(live.model, live.version, batch, prediction))
        self._recorder.record(_served(live, batch, prediction, started))
        return Reply(reply, batch.rows)

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


def predict(live: Live, columns: Columns, rows: int) -> Prediction:
    """The live version's prediction for `rows` rows.

    Raises:
        RequestError: the model refuses a row though it takes an ordinary one; names the position.
    """
    if not rows:
        raise errors.RequestError("The request has no rows.", remedy="Send at least one.")
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
