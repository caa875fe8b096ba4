"""PromQL as Prometheus itself evaluates it, by `promtool test rules`, over series that a test writes down."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

INTERVAL = "30s"
_SECONDS = 60


def program() -> str:
    """Path of promtool; the test is skipped where there is none."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed: `apt-get install prometheus`")
    return found


def run(folder: Path, tests: Sequence[Mapping[str, Any]], groups: Sequence[Any] = ()) -> str:
    """What promtool has against the tests; empty when they pass."""
    rules = folder / "rules.yaml"
    rules.write_text(yaml.safe_dump({"groups": list(groups)}), encoding="utf-8")
    file = folder / "tests.yaml"
    content = {
        "rule_files": ["rules.yaml"] if groups else [],
        "evaluation_interval": INTERVAL,
        "tests": list(tests),
    }
    file.write_text(yaml.safe_dump(content, width=10_000), encoding="utf-8")
    found = subprocess.run(
        [program(), "test", "rules", str(file)],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    return "" if found.returncode == 0 else found.stdout + found.stderr
