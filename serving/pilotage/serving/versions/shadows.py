"""The challenger's copies: what the champion answered, asked of the challenger as well, unseen by clients.

Copies wait in a short queue of their own for a thread that takes at most half of
a core; what does not fit is dropped and counted, so that no answer waits for a
copy. Windows of copies are kept apart from those of served traffic, in `shadows/`
of the storage: the monitor must not take them for requests.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from pilotage.core.features import Columns
from pilotage.core.models import Prediction
from pilotage.serving.records.recorders import Recorder
from pilotage.serving.records.servings import Served
from pilotage.serving.versions.champions import Follower
from pilotage.serving.versions.lives import Live
from pilotage.serving.versions.trials import Trial

logger = logging.getLogger(__name__)

FOLDER = "shadows"
"""Folder, in the storage, of the windows of copies."""
MOST_ROWS = 4096
"""Rows of the copies that wait."""
_LONGEST_REST_SECONDS = 0.2
_HEAD_START_SECONDS = 0.005
"""That an answer has on its copy."""
_TIMED = 2
"""One copy of so many is asked of the champion again, to time both in the same thread."""


class Shadow:
    """Asks the challenger for what the champion has answered."""

    def __init__(self, follower: Follower, make_recorder: Callable[[], Recorder]) -> None:
        self._follower = follower
        self._make_recorder = make_recorder
        self._recorder: Recorder | None = None
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Trial, Served]] = deque()
        self._rows = 0
        self._seen = 0
        self._offered = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def offer(self, served: Served) -> None:
        """Take a copy of what was answered, if a challenger is to see it and the queue has room."""
        trial = self._follower.trial
        if trial is None or not trial.copying or served.live is not trial.champion:
            return
        if trial.challenger.model.personal != served.live.model.personal:
            trial.missed(len(served.sizes))  # it would be shown values that the champion's rules replaced
            return
        with self._lock:
            fits = self._rows + served.rows <= MOST_ROWS and not self._stopped.is_set()
            if fits:
                self._waiting.append((trial, served))
                self._rows += served.rows
                self._start()
        if fits:
            self._offered.set()
        else:
            trial.missed(len(served.sizes))

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Forget the copies that wait, and write what was counted."""
        self._stopped.set()
        self._offered.set()
        if self._thread is not None:
            self._thread.join()
        if self._recorder is not None:
            self._recorder.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._offered.wait()
            self._offered.clear()
            self._stopped.wait(_HEAD_START_SECONDS)
            while not self._stopped.is_set() and (copy := self._take()):
                began = time.perf_counter()
                try:
                    self._answer(*copy)
                except Exception:
                    logger.exception("a copy could not be compared")
                del copy
                self._stopped.wait(min(time.perf_counter() - began, _LONGEST_REST_SECONDS))

    def _take(self) -> tuple[Trial, Served] | None:
        with self._lock:
            if not self._waiting:
                return None
            trial, served = self._waiting.popleft()
            self._rows -= served.rows
        return trial, served

    def _answer(self, trial: Trial, served: Served) -> None:
        """Ask the challenger, and now and then the champion again, under the same conditions."""
        if not trial.copying:
            return
        self._seen += 1
        timed = self._seen % _TIMED == 0
        first = timed and self._seen % (2 * _TIMED) == 0
        before = _seconds(trial.champion, served.columns) if first else None
        began = time.perf_counter()
        try:
            copy = trial.challenger.predictor.predict(_ordered(trial.challenger, served.columns))
        except Exception as error:
            logger.info("a copy of %d requests failed (%s), trying each", len(served.sizes), error)
            self._answer_each(trial, served)
            return
        took = time.perf_counter() - began
        after = _seconds(trial.champion, served.columns) if timed and not first else before
        trial.copied(served.prediction, copy, len(served.sizes), took, after)
        self._record(trial, served, copy, took)

    def _answer_each(self, trial: Trial, served: Served) -> None:
        """Find out which of the requests the challenger fails on."""
        for part in _requests(served):
            try:
                copy = trial.challenger.predictor.predict(_ordered(trial.challenger, part.columns))
            except Exception:
                trial.copied(part.prediction, None, 1, 0.0, None)
            else:
                trial.copied(part.prediction, copy, 1, 0.0, None)

    def _record(self, trial: Trial, served: Served, copy: Prediction, took: float) -> None:
        if self._recorder is None:
            self._recorder = self._make_recorder()
            self._recorder.start()
        self._recorder.record(
            Served(
                live=trial.challenger,
                rows=served.rows,
                columns=served.columns,
                ids=served.ids,
                times=served.times,
                prediction=copy,
                sizes=served.sizes,
                latencies_ms=[took * 1000] * len(served.sizes),
                arrived=served.arrived,
            )
        )


def _ordered(live: Live, columns: Columns) -> Columns:
    """The columns in the order of the version's features."""
    return {feature.name: columns[feature.name] for feature in live.model.features}


def _seconds(live: Live, columns: Columns) -> float:
    began = time.perf_counter()
    live.predictor.predict(columns)
    return time.perf_counter() - began


def _requests(served: Served) -> Iterator[Served]:
    """Each request of those that were answered together."""
    for size, (start, end) in zip(
        served.sizes, itertools.pairwise([0, *itertools.accumulate(served.sizes)]), strict=True
    ):
        said = served.prediction
        shares = said.probabilities
        yield Served(
            live=served.live,
            rows=size,
            columns={name: column[start:end] for name, column in served.columns.items()},
            ids=None if served.ids is None else served.ids[start:end],
            times=None if served.times is None else served.times[start:end],
            prediction=Prediction(
                said.predictions[start:end],
                said.score[start:end],
                None if shares is None else shares[start:end],
            ),
            sizes=[size],
            latencies_ms=[],
            arrived=served.arrived,
        )
