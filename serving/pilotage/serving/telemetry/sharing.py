"""One set of numbers for several server processes: each leaves its own where the others read them.

Every process writes what it counted to a file of its own in one folder, each second,
when it is asked, and at its end. Whoever is asked adds all files, those of processes that
died too, so that no counter goes back; gauges are of those that live only. A process that
is killed loses what it counted since its last writing, at most a second, and nothing that was told.

Whether a process lives is told by a lock that it holds on a file, which the system lets go
of with it. Files of the dead are folded into one when a process begins. The folder belongs to
one run of one server on one machine; other replicas are added by Prometheus.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pilotage.core import storage
from pilotage.serving.telemetry import readings
from pilotage.serving.telemetry.readings import Reading

logger = logging.getLogger(__name__)

WRITE_SECONDS = 1.0
_FOLDED = "folded"
_NUMBERS = ".numbers"
_ALIVE = ".alive"


class Share:
    """The part of one process in the numbers of a server with several."""

    def __init__(self, folder: Path, worker_id: str) -> None:
        """Take part in what the processes of `folder` count.

        Args:
            folder: the same for all processes of one server; made when it is not there.
            worker_id: names the process in the folder; one that is started again may keep it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.name = f"{worker_id}-{os.getpid()}-{secrets.token_hex(4)}"
        self._folder = folder
        self._writing = threading.Lock()
        self._stopped = threading.Event()
        self._read: Callable[[], Reading] = Reading
        self._alive = os.open(folder / f"{self.name}{_ALIVE}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._alive, fcntl.LOCK_EX)
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def begin(self, read: Callable[[], Reading]) -> None:
        """Leave what `read` gives to the others from now on."""
        self._read = read
        with self._locked(fcntl.LOCK_EX):
            self._fold()
        self.publish()
        self._thread.start()

    def close(self) -> None:
        """Leave the last numbers, as one of the dead."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self.publish()
        if self._alive >= 0:
            os.close(self._alive)
            self._alive = -1

    def publish(self) -> Reading:
        """Write what was counted so far, and give it; a disk that takes nothing is reported."""
        with self._writing:
            reading = self._read()
            path = self._folder / f"{self.name}{_NUMBERS}"
            try:
                storage.write_file(path, msgspec.msgpack.encode(reading), sync=False)
            except OSError as error:
                logger.warning("what was counted could not be left to the other processes: %s", error)
            return reading

    def total(self) -> Reading:
        """What all processes of the folder counted; what this one did is left to the others first.

        Another process that is asked next thus never answers with less.
        """
        own = self.publish()
        with self._locked(fcntl.LOCK_SH):
            return readings.merge([own, *(reading for _, reading in self._others())])

    def _run(self) -> None:
        while not self._stopped.wait(WRITE_SECONDS):
            try:
                self.publish()
            except Exception:
                logger.exception("what was counted could not be read")

    def _others(self) -> Iterator[tuple[Path, Reading]]:
        """Each other file with what it says; of the dead without what only the living have."""
        folded = self._open(self._folder / f"{_FOLDED}{_NUMBERS}") or Reading(processes=0)
        for path in self._folder.glob(f"*{_NUMBERS}"):
            if path.stem in (*folded.folded, _FOLDED, self.name) or path.name.startswith("."):
                continue
            lives = self._lives(path.stem)  # before it is read: what the dead left is their last
            reading = self._open(path)
            if reading is not None:
                yield path, reading if lives else reading.of_the_dead()
        yield self._folder / f"{_FOLDED}{_NUMBERS}", folded

    def _open(self, path: Path) -> Reading | None:
        try:
            return msgspec.msgpack.decode(path.read_bytes(), type=Reading)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            logger.warning("%s cannot be read and is left out: %s", path.name, error)
            return None

    def _lives(self, name: str) -> bool:
        try:
            handle = os.open(self._folder / f"{name}{_ALIVE}", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def _fold(self) -> None:
        """Add the files of the dead to one, which names them before they are deleted."""
        target = self._folder / f"{_FOLDED}{_NUMBERS}"
        dead = [
            (path, reading) for path, reading in self._others() if path == target or not reading.processes
        ]
        whole = readings.merge(reading for _, reading in dead)
        gone = [path for path, _ in dead if path != target]
        before = self._open(target)
        for name in before.folded if before is not None else []:
            gone.append(self._folder / f"{name}{_NUMBERS}")
        whole.folded = [path.stem for path in gone]
        storage.write_file(target, msgspec.msgpack.encode(whole), sync=False)
        for path in gone:
            path.unlink(missing_ok=True)
            path.with_suffix(_ALIVE).unlink(missing_ok=True)

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        """Hold the folder: several may read it while none folds."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, kind)
            yield
        finally:
            os.close(handle)
