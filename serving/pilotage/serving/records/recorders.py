"""Windows and the row log of one server process, written beside the requests and never in their way.

A batch of requests leaves one item on a bounded queue. A thread counts what is there
and flushes it; when much is there, whoever brings the next item counts it, because two
threads that compute at once cost an interpreter far more than the counting does. What
needs the storage, and waits for it, is the thread's alone. When it cannot keep up, or the
storage does not answer, rows are dropped, counted and reported. What the counts mean is
the monitor's question.

A row belongs to the window of its event time where the pilot has one, else of
its arrival; a request to that of its latest row; an error, which has no rows,
to the window that was counted last.

Files are renamed into place without being synced: one traffic of old times may touch
hundreds of windows, and each is rewritten whole with the next flush. A process that
dies loses what it had not flushed; a power cut also what the system had not written.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pilotage.core import window_files, windows
from pilotage.core.costs import usages
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.serving.records import counts, servings, tallies
from pilotage.serving.records.reservoirs import Reservoir
from pilotage.serving.records.servings import Joined, Served
from pilotage.serving.records.tallies import Logged, RowLog, Tally
from pilotage.serving.versions.lives import Live

logger = logging.getLogger(__name__)

OPEN_WINDOWS = 256
"""Windows kept in memory; the one that was touched least recently is written and let go."""
COUNTED_AT_ONCE = 4096
"""Rows on the queue that whoever brings the next ones counts, in about three milliseconds."""
_LEFT_SECONDS = 1.0
"""How long all counting is left to the thread after something needed the storage."""
_TICK_SECONDS = 1.0
_LOG_SECONDS = 30.0
_MOST_UNWRITTEN = 10 * tallies.SEGMENT_ROWS


class _Left(NamedTuple):
    """What is remembered of a window that was written and left memory."""

    sequence: int
    """Its row log's next segment."""
    below: float | None
    """What its sample is complete below; None without one."""


@dataclass(slots=True)
class _Open:
    """A window in memory."""

    tally: Tally
    log: RowLog
    sample: Reservoir | None
    charged: int = 0
    """Rows that CPU time was put down for."""
    dirty: bool = False
    written: int = 0
    """Rows that the file in the storage counts."""


class Recorder:
    """Counts what one process serves, by version and window."""

    def __init__(
        self,
        pilot: str,
        length: timedelta,
        settings: Settings,
        storage: Storage,
        capacity: int,
        *,
        on_drop: Callable[[int], None] = lambda rows: None,
        on_flush: Callable[[bool], None] = lambda ok: None,
        on_scores: Callable[[Live, npt.NDArray[np.float64]], None] = lambda live, scores: None,
    ) -> None:
        self.replica = replica_id()
        self._pilot = pilot
        self._length = length
        self._settings = settings
        self._storage = storage
        self._capacity = capacity
        self._on_drop = on_drop
        self._on_flush = on_flush
        self._on_scores = on_scores
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        """Held by who counts or writes."""
        self._left_until = 0.0
        self._queue: deque[Served] = deque()
        self._waiting = 0
        self._dropped: dict[int, tuple[Live, int]] = {}
        self._errors: dict[int, tuple[Live, int]] = {}
        self._open: OrderedDict[tuple[int, datetime], _Open] = OrderedDict()
        self._let_go: dict[tuple[int, datetime], _Left] = {}
        self._random = np.random.default_rng()
        self._latest: dict[int, datetime] = {}
        self._cpu_seconds = time.process_time()
        self._complained = -_LOG_SECONDS
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    # -- the request's side -------------------------------------------------

    def record(self, item: Served) -> None:
        """Take answered requests to count; dropped, and counted as such, when too many wait."""
        with self._lock:
            fits = self._waiting + item.rows <= self._capacity
            if fits:
                self._queue.append(item)
                self._waiting += item.rows
            many = self._waiting >= COUNTED_AT_ONCE
        if not fits:
            self._drop(item.live, item.rows)
        elif many and time.monotonic() >= self._left_until and self._counting.acquire(blocking=False):
            try:
                self._count_queue(may_wait=False)
            except Exception:
                logger.exception("the recorder failed on a batch and goes on")
            finally:
                self._counting.release()

    def _drop(self, live: Live, rows: int) -> None:
        """Report rows that are not counted; the next drain notes them in a window."""
        with self._lock:
            _, before = self._dropped.get(live.version, (live, 0))
            self._dropped[live.version] = live, before + rows
        self._on_drop(rows)

    def refuse(self, live: Live) -> None:
        """Count a request that failed or was refused."""
        with self._lock:
            _, before = self._errors.get(live.version, (live, 0))
            self._errors[live.version] = live, before + 1

    # -- the thread's side --------------------------------------------------

    def start(self) -> None:
        """Begin counting."""
        self._cpu_seconds = time.process_time()  # what it took to start serves no row
        self._thread.start()

    def close(self) -> None:
        """Count and write all that is left, and end."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self.drain()
        self.flush()

    def _run(self) -> None:
        tick = min(_TICK_SECONDS, self._settings.flush_seconds)
        flushed = time.monotonic()
        while not self._stopped.wait(tick):
            try:
                self.drain()
                if time.monotonic() - flushed >= self._settings.flush_seconds:
                    self.flush()
                    flushed = time.monotonic()
            except Exception:
                logger.exception("the recorder failed on a batch and goes on")

    def drain(self) -> None:
        """Count everything on the queue."""
        with self._counting:
            self._count_queue(may_wait=True)
            self._charge()
            with self._lock:
                errors, self._errors = self._errors, {}
                dropped, self._dropped = self._dropped, {}
            for live, count in errors.values():
                self._current(live).tally.totals.errors += count
            for live, count in dropped.values():
                self._current(live).tally.totals.dropped += count
                self._complain("%d rows were dropped: counting cannot keep up", count)

    def _charge(self) -> None:
        """Put down the process's CPU time since the last time for the rows that were counted since.

        Each row has the same share. Time in which no row came is nobody's: it is what an idle server takes.
        """
        now = time.process_time()
        spent, self._cpu_seconds = now - self._cpu_seconds, now
        parts = [part for part in self._open.values() if part.tally.totals.rows > part.charged]
        rows = sum(part.tally.totals.rows - part.charged for part in parts)
        peak = usages.peak_memory_bytes() if parts else 0
        for part in parts:
            totals = part.tally.totals
            totals.cpu_micros += round(1e6 * spent * (totals.rows - part.charged) / rows)
            totals.peak_bytes = max(totals.peak_bytes, peak)
            part.charged, part.dirty = totals.rows, True

    def _count_queue(self, *, may_wait: bool) -> None:
        """Count what is on the queue; what needs the storage is left there unless this may wait for it."""
        with self._lock:
            items, self._queue = list(self._queue), deque()
            self._waiting = 0
        by_version: dict[int, list[Served]] = {}
        for item in items:
            by_version.setdefault(item.live.version, []).append(item)
        for part in by_version.values():
            try:
                counted = self._count(part, may_wait=may_wait)
            except Exception:
                rows = sum(item.rows for item in part)
                logger.exception("%d rows could not be counted", rows)
                self._drop(part[0].live, rows)
            else:
                if not counted:
                    self._put_back(part)

    def _put_back(self, items: Sequence[Served]) -> None:
        self._left_until = time.monotonic() + _LEFT_SECONDS
        with self._lock:
            self._queue.extendleft(reversed(items))
            self._waiting += sum(item.rows for item in items)

    def _in_memory(self, live: Live, starts: Sequence[datetime]) -> bool:
        """Whether the windows are in memory, or may be without the storage."""
        new = [start for start in starts if (live.version, start) not in self._open]
        return len(self._open) + len(new) <= OPEN_WINDOWS and not any(
            (live.version, start) in self._let_go for start in new
        )

    def _count(self, items: Sequence[Served], *, may_wait: bool) -> bool:
        """Count requests that one version answered, and log their sampled rows, window by window.

        Returns whether that was possible without the storage, or with it where this may wait.
        """
        live = items[0].live
        joined = servings.join(items)
        starts = self._starts(joined.times)
        found = starts[:1] if (starts == starts[0]).all() else np.unique(starts)
        if not may_wait and not self._in_memory(live, [_aware(start) for start in found]):
            return False
        kept = tallies.sampled(joined.ids, self._settings.row_sample)
        priorities = self._random.random(len(starts))
        for start, counted in zip(found, list(counts.by_window(live, joined, starts, found)), strict=True):
            part = self._window(live, _aware(start))
            part.tally.add_rows(counted)
            if part.sample is not None:
                part.sample.add(joined, counted.places, priorities)
            if kept is not None:
                self._log(live, part, joined, np.arange(len(starts))[counted.places][kept[counted.places]])
        self._count_requests(live, joined, starts)
        self._on_scores(live, joined.scores)
        return True

    def _log(self, live: Live, part: _Open, joined: Joined, places: npt.NDArray[np.intp]) -> None:
        """Log the rows at `places`."""
        if joined.ids is None or not len(places):
            return
        shares = joined.probabilities
        part.log.add(
            Logged(
                [joined.ids[place] or "" for place in places],
                joined.times[places],
                servings.spell(live, joined.predictions[places].tolist()),
                joined.scores[places],
                None if shares is None else shares[places],
            )
        )

    def _count_requests(self, live: Live, joined: Joined, starts: npt.NDArray[np.datetime64]) -> None:
        latest = servings.latest_of_requests(starts, joined.sizes)
        found = np.unique(latest)
        for start in found:
            self._window(live, _aware(start)).tally.add_requests(joined.latencies_ms[latest == start])
        newest = _aware(found[-1])
        self._latest[live.version] = max(newest, self._latest.get(live.version, newest))

    def _starts(self, times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
        """Start of each time's window, as `pilotage.core.windows.start_of` has it."""
        length = int(self._length.total_seconds() * 1e6)
        micros = times.astype(np.int64)
        return (micros // length * length).astype("datetime64[us]")

    def _current(self, live: Live) -> _Open:
        """The window that what has no time of its own is counted in."""
        start = self._latest.get(live.version) or windows.start_of(datetime.now(UTC), self._length)
        return self._window(live, start)

    def _window(self, live: Live, start: datetime) -> _Open:
        key = (live.version, start)
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = self._opened(live, start)
        self._open.move_to_end(key)
        found.dirty = True
        return found

    def _opened(self, live: Live, start: datetime) -> _Open:
        """A window to count in, going on from this replica's own file when it was let go before."""
        while len(self._open) >= OPEN_WINDOWS:
            self._release(live)
        tally, left = Tally(live, start, self._length), self._let_go.get((live.version, start))
        if left is not None:
            name = windows.window_name(self._pilot, live.version, start, self.replica)
            tally.resume(window_files.decode(self._storage.read(name)))
        log = RowLog(self._pilot, live.version, start, self.replica, left.sequence if left else 0)
        rows, below = self._settings.feature_sample, left.below if left else None
        sample = Reservoir(live, self._pilot, start, self.replica, rows, below) if rows else None
        return _Open(tally, log, sample, written=tally.totals.rows, charged=tally.totals.rows)

    def _release(self, live: Live) -> None:
        """Write and let go the window that was touched least recently; what cannot be written is dropped."""
        key, oldest = self._open.popitem(last=False)
        written = self._write(oldest)
        if written or oldest.written:
            below = oldest.sample.below if oldest.sample else None
            self._let_go[key] = _Left(oldest.log.next_sequence, below)
        if not written:
            self._drop(live, oldest.tally.totals.rows - oldest.written)

    # -- writing ------------------------------------------------------------

    def flush(self) -> None:
        """Write every window that changed; what cannot be written is kept and tried again.

        In the order of time, because a later window tells the monitor that the earlier are complete.
        """
        with self._counting:
            parts = sorted(self._open.values(), key=lambda part: part.tally.start)
            written = [self._write(part) for part in parts]
        self._on_flush(all(written))

    def _write(self, part: _Open) -> bool:
        if not part.dirty:
            if part.sample is not None:
                part.sample.rest()
            return True
        tally = part.tally
        try:
            part.log.flush(self._storage)
            sampled = self._write_sample(part)
            name = windows.window_name(self._pilot, tally.version, tally.start, self.replica)
            self._storage.write(name, window_files.encode(tally.sheet()), sync=False)
        except Exception as error:
            self._complain("windows could not be written, keeping them: %s", error)
            if part.log.waiting > _MOST_UNWRITTEN:
                rows = part.log.forget()
                tally.totals.dropped += rows
                self._on_drop(rows)
            return False
        part.dirty, part.written = not sampled, tally.totals.rows
        return True

    def _write_sample(self, part: _Open) -> bool:
        """Write the sample; a window that has none is written all the same."""
        try:
            if part.sample is not None:
                part.sample.flush(self._storage)
        except Exception as error:
            self._complain("a sample of rows could not be written, keeping it: %s", error)
            return False
        return True

    def _complain(self, message: str, argument: object) -> None:
        """Warn, but not more often than every half minute."""
        now = time.monotonic()
        if now - self._complained >= _LOG_SECONDS:
            self._complained = now
            logger.warning(message, argument)


def replica_id() -> str:
    """A name for this process's files that no other process, here or elsewhere, ever has."""
    host = re.sub(r"[^a-zA-Z0-9]", "-", socket.gethostname())[:40]
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"


def _aware(time: np.datetime64) -> datetime:
    found: datetime = time.astype("datetime64[us]").item()
    return found.replace(tzinfo=UTC)
