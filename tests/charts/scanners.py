"""checkov, in an environment of its own in `.cache`, since its dependencies do not fit ours."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml
from tests.charts.rendering import REPOSITORY, Document

_PINS = Path(__file__).with_name("checkov-requirements.txt")
_INSTALL_SECONDS = 240
_SCAN_SECONDS = 120


class NotInstalled(Exception):
    """checkov cannot be installed here; the text says why."""


class Finding(NamedTuple):
    """What checkov says of one object."""

    file: str
    check: str
    object: str
    """As `Kind/name`."""
    text: str


def installed() -> Path:
    """The program, installed when it is not there yet.

    Raises:
        NotInstalled: there is no way to.
    """
    digest = hashlib.sha256(_PINS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = REPOSITORY / ".cache" / f"checkov-{digest}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _install(folder)
        (folder / "complete").touch()
    return folder / "bin" / "checkov"


def _install(folder: Path) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    python = str(folder / "bin" / "python")
    install = [
        uv,
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--compile-bytecode",
        "--python",
        python,
        "-r",
        str(_PINS),
    ]
    try:
        for command in ([uv, "venv", "-q", "--python", sys.executable, str(folder)], install):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", None) or error).strip()[-300:]
        raise NotInstalled(f"checkov cannot be installed here: {said}") from error


def scan(
    program: Path, folder: Path, files: Mapping[str, Sequence[Document]], namespace: str
) -> list[Finding]:
    """What checkov has against manifests, by the name of the file that they are put into.

    They get the namespace that Helm and Argo CD put them into; without one checkov takes it for `default`.
    """
    for name, documents in files.items():
        placed = [{**one, "metadata": {**one["metadata"], "namespace": namespace}} for one in documents]
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(placed), encoding="utf-8")
    command = [str(program), "-d", str(folder), "--framework", "kubernetes", "--skip-download", "--compact"]
    found = subprocess.run(
        [*command, "--quiet", "--output", "json"],
        capture_output=True,
        text=True,
        timeout=_SCAN_SECONDS,
        check=False,
        env={**os.environ, "CHECKOV_MAX_FILE_SIZE": "0", "LOG_LEVEL": "ERROR"},
    )
    report = json.loads(found.stdout)
    if report["summary"]["parsing_errors"]:
        raise AssertionError(f"checkov cannot read: {report['results'].get('parsing_errors')}")
    return [_finding(one) for one in report["results"]["failed_checks"]]


def _finding(found: Mapping[str, str]) -> Finding:
    kind, _, name = found["resource"].split(".", 2)
    return Finding(Path(found["file_path"]).stem, found["check_id"], f"{kind}/{name}", found["check_name"])
