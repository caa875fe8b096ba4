"""The server's end of the explaining process: started on the first question, started anew after its end.

What explains is a process and not a thread because shap and scikit-learn take
seconds to import and hold the interpreter's lock while they compute, which
would show in every prediction's latency; and because a process can be stopped
when its time is over, and gives back its memory.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from pilotage.core import errors
from pilotage.core.explanations.attributions import Attribution
from pilotage.core.settings import Settings
from pilotage.serving.inference.explanations.questions import Failure, Greeting, Outcome, Question, Refusal

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

logger = logging.getLogger(__name__)

_MODULE = "pilotage.serving.inference.explanations"
_END_SECONDS = 2.0


class Stopped(Exception):
    """The process took too long or ended over a question."""


class ExplainingProcess:
    """A process that explains, while there is something to explain."""

    def __init__(self, settings: Settings, idle_seconds: float) -> None:
        self._greeting = Greeting(settings, idle_seconds)
        self._lock = threading.Lock()
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None

    def ask(self, question: Question, seconds: float) -> Attribution:
        """The explanation of a question's rows; blocks, and is asked by one thread at a time.

        Raises:
            RequestError: the model cannot take a row.
            Failure: the model cannot be loaded or explained.
            Stopped: there was no answer within `seconds`, or the process ended over it.
        """
        outcome = self._answer(question, seconds)
        if isinstance(outcome, Refusal):
            raise errors.RequestError(
                f"Row {outcome.row}: the model cannot take these values: {outcome.reason}.",
                remedy="Send values in the range that the model was trained on.",
                row=outcome.row,
            )
        if isinstance(outcome, Failure):
            raise errors.Failure(outcome.reason)
        return outcome

    def _answer(self, question: Question, seconds: float) -> Outcome:
        for _ in range(2):
            pipe = self._open()
            try:
                pipe.send(question)
                if pipe.poll(seconds):
                    outcome: Outcome = pipe.recv()
                    return outcome
            except (EOFError, OSError):
                if self._end() == 0:  # it became idle just now
                    continue
                raise Stopped("the explaining process ended") from None
            self._end(kill=True)
            raise Stopped(f"there was no answer within {seconds:.0f} s")
        raise Stopped("the explaining process ended twice")

    def _open(self) -> Connection:
        """The pipe to a process that runs; one that became idle has ended and is replaced."""
        if self._process is not None and self._process.poll() is not None:
            self._end()
        with self._lock:
            if self._closed:
                raise Stopped("the server stops")
            if self._pipe is None:
                self._process, self._pipe = _start()
                self._pipe.send(self._greeting)
            return self._pipe

    def close(self) -> None:
        """End the process, also when it is busy; later questions are not taken."""
        with self._lock:
            self._closed = True
        self._end(kill=True)

    def _end(self, *, kill: bool = False) -> int | None:
        """Forget the process, which ends by itself unless it is killed; returns its exit code."""
        with self._lock:
            process, self._process = self._process, None
            pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.close()
        if process is None:
            return None
        if kill:
            process.kill()
        try:
            return process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _start() -> tuple[subprocess.Popen[bytes], Connection]:
    from multiprocessing.connection import Connection

    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-P", "-m", _MODULE, str(theirs.fileno())]
        process = subprocess.Popen(  # noqa: S603 - this interpreter and a module of ours
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno()
        )
    logger.info("process %d explains", process.pid)
    return process, Connection(ours.detach())
