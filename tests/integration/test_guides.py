"""The guides tell the truth: their commands run, and every key of pilot.yaml is on its page."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pilotage.core import pilots
from pilotage.core.metrics import Measure
from pilotage.core.specs import Estimator

DOCS = Path(__file__).parents[2] / "docs"


def commands(guide: Path) -> str:
    """The commands of a guide's console blocks, with what stands below them until the next one."""
    blocks = re.findall(r"^```console\n(.*?)^```", guide.read_text(), re.DOTALL | re.MULTILINE)
    return "".join(re.sub(r"^\$ ", "", block, flags=re.MULTILINE) for block in blocks)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="the guide calls curl, which is not here")
def test_the_first_pilot_can_be_followed_to_its_end(tmp_path: Path, uncovered: None) -> None:
    script = commands(DOCS / "first-pilot.md").replace("8080", free_port())
    assert script.count("pilotage ") > 10
    environment = {
        **{
            name: value for name, value in os.environ.items() if not name.startswith(("PILOTAGE_", "MLFLOW_"))
        },
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    ended = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-3000:]
    assert '"ids":["patient-1","patient-2","patient-3"]' in ended.stdout
    assert "champion" in ended.stdout


def keys(schema: dict[str, Any], part: dict[str, Any]) -> set[str]:
    """Every key that the schema knows, at any depth."""
    if "$ref" in part:
        return keys(schema, schema["$defs"][part["$ref"].rsplit("/", 1)[-1]])
    below = [*part.get("anyOf", []), *part.get("oneOf", []), *part.get("properties", {}).values()]
    below += [part[name] for name in ("items", "additionalProperties") if isinstance(part.get(name), dict)]
    return set(part.get("properties", {})).union(*(keys(schema, child) for child in below))


def test_every_key_of_pilot_yaml_is_on_its_page() -> None:
    page = (DOCS / "pilot-yaml.md").read_text()
    words = set(re.findall(r"[a-z0-9_]+", " ".join(re.findall(r"`([^`]*)`", page))))
    schema = pilots.schema()
    assert keys(schema, schema) - words == set()
    assert {item.value for item in (*Estimator, *Measure)} - words == set()
