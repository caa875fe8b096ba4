"""The explaining process: `python -m pilotage.serving.inference.explanations FD`.

It answers one question after another until the server closes the pipe or asks
nothing for long, keeps the two models that it used last, and gives way to
predictions on the same cores.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections import OrderedDict
from multiprocessing.connection import Connection
from pathlib import Path

from pilotage.core import models, signatures
from pilotage.core.explanations.methods import Explainer
from pilotage.core.features import Columns
from pilotage.core.models import Predictor
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.settings import Settings
from pilotage.serving.inference.explanations.questions import (
    Failure,
    Greeting,
    Outcome,
    Question,
    Refusal,
)
from pilotage.serving.versions import lives

logger = logging.getLogger(__name__)

MOST_MODELS = 2
"""Champion and challenger."""
NICENESS = 10
_INSIDE = "pilotage"
_REFUSING = (ValueError, TypeError, OverflowError, ArithmeticError)
"""What models raise on values that they cannot take."""


class Explainers:
    """The models that were asked about last."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: OrderedDict[Path, tuple[Predictor, ReferenceProfile, Explainer]] = OrderedDict()

    def answer(self, question: Question) -> Outcome:
        """The explanation of a question's rows, or why there is none; never raises an error."""
        try:
            predictor, profile, explainer = self._of(question.folder)
        except Exception as error:
            logger.exception("the model in %s cannot be loaded", question.folder)
            return Failure(f"its model could not be loaded ({type(error).__name__})")
        try:
            return explainer.explain(question.columns, question.budget)
        except _REFUSING as error:
            row = _first_refused(predictor, question.columns, profile)
            if row is not None:
                return Refusal(row, _brief(error))
            logger.exception("the model in %s cannot be explained", question.folder)
            return Failure(f"its model failed ({type(error).__name__})")
        except Exception as error:
            logger.exception("the model in %s cannot be explained", question.folder)
            return Failure(f"its model failed ({type(error).__name__})")

    def _of(self, folder: Path) -> tuple[Predictor, ReferenceProfile, Explainer]:
        if folder not in self._kept:
            while len(self._kept) >= MOST_MODELS:
                self._kept.popitem(last=False)
            predictor = models.open_predictor(signatures.verified(folder, self._settings), self._settings)
            profile = ReferenceProfile.read(folder / _INSIDE)
            self._kept[folder] = (predictor, profile, Explainer(predictor, profile))
        self._kept.move_to_end(folder)
        return self._kept[folder]


def _first_refused(predictor: Predictor, columns: Columns, profile: ReferenceProfile) -> int | None:
    """Position of the first row that a model refuses which takes an ordinary row; None when there is none."""
    if not _takes(predictor, lives.typical_row(predictor.model, profile)):
        return None
    rows = len(next(iter(columns.values())))
    alone = ({name: column[row : row + 1] for name, column in columns.items()} for row in range(rows))
    return next((row for row, one in enumerate(alone) if not _takes(predictor, one)), None)


def _takes(predictor: Predictor, columns: Columns) -> bool:
    try:
        predictor.predict(columns)
    except Exception:
        return False
    return True


def _brief(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200].rstrip(".")


def serve(pipe: Connection) -> None:
    """Answer what comes through `pipe` until its other end is closed or idle."""
    try:
        greeting: Greeting = pipe.recv()
        explainers = Explainers(greeting.settings)
        while pipe.poll(greeting.idle_seconds):
            pipe.send(explainers.answer(pipe.recv()))
    except (EOFError, ConnectionError):
        logger.debug("the server has gone")


def main() -> None:
    """Run the process whose end of the pipe is the file descriptor in the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the server's to handle
    os.nice(NICENESS)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    with Connection(int(sys.argv[1])) as pipe:
        serve(pipe)


if __name__ == "__main__":
    main()
