"""Options of the benchmarks."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make bench ARGS=…` passes them on."""
    group = parser.getgroup("benchmarks")
    group.addoption(
        "--quick", action="store_true", help="measure everything shortly; results go to .cache/bench/quick"
    )
    group.addoption(
        "--only", default="", metavar="NAMES", help="contenders besides Pilotage to measure, by comma"
    )
