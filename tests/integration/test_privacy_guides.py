"""The guides about personal and synthetic data: their commands run and print what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.test_guides import DOCS, follow, require_shown


@pytest.mark.slow
@pytest.mark.parametrize("name", ["personal-data", "synthetic-data"])
def test_a_guide_works_as_it_is_written(name: str, tmp_path: Path, uncovered: None) -> None:
    require_shown(follow(DOCS / f"{name}.md", tmp_path, ()))
