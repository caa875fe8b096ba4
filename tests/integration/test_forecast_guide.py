"""The guide of forecasts tells the truth: its commands run and print what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.test_guides import DOCS, follow, require_shown


@pytest.mark.slow
def test_forecasts_are_what_their_guide_shows(tmp_path: Path, uncovered: None) -> None:
    done = follow(DOCS / "forecast.md", tmp_path, [])
    assert sum("pilotage " in command.script for command, _ in done) > 5
    require_shown(done)
    assert (tmp_path / "forecast.svg").read_text().startswith("<svg")
