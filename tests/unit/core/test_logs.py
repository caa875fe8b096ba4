"""How a process logs: what a handler leaves out is still there for others."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from pilotage.core import logs


@pytest.fixture(autouse=True)
def _loggers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loggers as they were, given back afterwards."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    before = root.level, logging.getLogger("pilotage").level
    yield
    logging.captureWarnings(False)
    root.setLevel(before[0])
    logging.getLogger("pilotage").setLevel(before[1])


@pytest.mark.parametrize("debug", [True, False])
def test_a_traceback_is_written_for_those_who_debug_and_kept_for_other_handlers(
    capsys: pytest.CaptureFixture[str], debug: bool
) -> None:
    kept: list[logging.LogRecord] = []

    class Other(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record)

    logs.configure(0, debug=debug)
    logging.getLogger().addHandler(Other())
    try:
        raise OSError("the disk is full")
    except OSError:
        logging.getLogger("pilotage.some").exception("It failed")
    entry = json.loads(capsys.readouterr().err)
    assert entry["message"] == "It failed"
    assert ("exception" in entry) is debug
    assert kept[0].exc_info is not None
    assert str(kept[0].exc_info[1]) == "the disk is full"


def test_a_line_on_a_terminal_is_readable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logs.configure(1, debug=False)
    logging.getLogger("pilotage.some").info("It ran")
    assert capsys.readouterr().err.endswith("INFO    pilotage.some: It ran\n")
