"""Guides for clusters tell the truth: what can be run is run, and the rest names what there is."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import typer
import yaml
from tests.charts import rendering
from tests.integration.test_guides import follow, require_shown

from pilotage.console import cli

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
GUIDES = ("cluster", "air-gapped", "upgrade", "disaster-recovery", "sizing", "observability")
HELM = {
    "install": {"--namespace", "--values", "--wait", "--timeout", "--set", "--create-namespace"},
    "upgrade": {"--namespace", "--values", "--wait", "--timeout", "--set", "--install", "--dry-run"},
    "test": {"--namespace", "--logs"},
}
"""Of Helm 3 and 4, which is not installed here."""
FREE = {"git", "openssl", "curl", "createdb", "venv/bin/pip", "python3.13", "prometheus", "cat"}
"""Programs whose options are taken as they are."""
OPTIONS = re.compile(r"^\s+(?:-\w, )?(--[a-z0-9-]+)", re.MULTILINE)


@dataclass(frozen=True)
class Line:
    """One command that a guide shows and nothing runs."""

    guide: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.guide}: {' '.join(self.words)}"


def blocks(guide: str, kind: str) -> list[str]:
    text = (DOCS / f"{guide}.md").read_text("utf-8")
    return [
        re.sub(rf"^{indent}", "", block, flags=re.MULTILINE)
        for indent, block in re.findall(rf"^( *)```{kind}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    ]


def lines(guide: str) -> Iterator[Line]:
    for block in blocks(guide, "sh"):
        for text in block.replace("\\\n", " ").splitlines():
            words = shlex.split(text, comments=True)
            while words and (words[0] == "export" or re.match(r"[A-Z_]+=", words[0])):
                words.pop(0)
            if words:
                yield Line(guide, tuple(words))


def options_of(words: Sequence[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("--") and word != "--"}


def check(line: Line) -> list[str]:
    """What is wrong with a command."""
    words = [word for word in line.words if word not in ("<", ">")]
    program, rest = words[0], words[1:]
    checker = CHECKS.get(program)
    problems = [] if checker is None and program in FREE else [f"{program} is not known here"]
    if checker is not None:
        problems = checker(rest)
    for word in rest:
        place = re.fullmatch(r"(?:--\w+=)?((?:charts|infra|pilots|docs|tests)/[\w./-]+)", word)
        if place and not (REPOSITORY / place[1]).exists():
            problems.append(f"there is no {place[1]}")
    return [f"{line}: {problem}" for problem in problems]


def check_pilotage(words: Sequence[str]) -> list[str]:
    command: Any = typer.main.get_command(cli.build())
    path = ["pilotage"]
    rest = list(words)
    while rest and isinstance(command, click.Group | typer.core.TyperGroup):
        if rest[0].startswith("-"):
            break
        found = command.commands.get(rest[0])
        if found is None:
            return (
                [f"`{' '.join(path)}` has no command {rest[0]}"] if not command.invoke_without_command else []
            )
        command, path = found, [*path, rest.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
    wrong = options_of(rest) - known
    return [f"`{' '.join(path)}` has no option {option}" for option in sorted(wrong)]


def check_kubectl(words: Sequence[str]) -> list[str]:
    if shutil.which("kubectl") is None:
        return []
    until = words.index("--") if "--" in words else len(words)
    own, inner = words[:until], words[until + 1 :]
    deep = 3 if own[:2] == ["create", "secret"] else 2 if own[0] in ("create", "rollout", "auth") else 1
    verb = own[:deep]
    known = kubectl_options(*verb)
    if not known:
        return [f"kubectl has no {' '.join(verb)}"]
    problems = [f"kubectl {' '.join(verb)} has no {option}" for option in sorted(options_of(own) - known)]
    return problems + (check_pilotage(inner[1:]) if inner and inner[0] == "pilotage" else [])


@functools.cache
def kubectl_options(*verb: str) -> frozenset[str]:
    """Options of a verb, and those that all have; none where there is no such verb."""
    told = subprocess.run(["kubectl", *verb, "--help"], capture_output=True, text=True, timeout=60)
    if told.returncode or f"kubectl {verb[0]}" not in told.stdout:
        return frozenset()
    common = subprocess.run(["kubectl", "options"], capture_output=True, text=True, timeout=60)
    return frozenset(OPTIONS.findall(told.stdout + common.stdout))


def check_helm(words: Sequence[str]) -> list[str]:
    if words[0] not in HELM:
        return [f"helm has no {words[0]}, as far as this test knows"]
    problems = [f"helm {words[0]} has no {option}" for option in sorted(options_of(words) - HELM[words[0]])]
    chart = next((word for word in words if word.startswith("charts/")), None)
    for position, word in enumerate(words):
        if word == "--set" and chart is not None:
            problems += missing_value(chart.removeprefix("charts/"), words[position + 1].partition("=")[0])
    return problems


def missing_value(chart: str, key: str) -> list[str]:
    values: Any = yaml.safe_load((REPOSITORY / "charts" / chart / "values.yaml").read_text("utf-8"))
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            return [f"charts/{chart} has no value {key}"]
        values = values[part]
    return []


def check_python(words: Sequence[str]) -> list[str]:
    if words[0] != "infra/mirror/mirror.py":
        return []
    parser: argparse.ArgumentParser = mirror()._parser()
    try:
        parser.parse_args(words[1:])
    except SystemExit:
        return ["mirror.py does not take that"]
    return []


@functools.cache
def mirror() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mirror", REPOSITORY / "infra" / "mirror" / "mirror.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def check_make(words: Sequence[str]) -> list[str]:
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE)
    return [f"make has no {word}" for word in words if "=" not in word and word not in targets]


def check_postgresql(program: str, words: Sequence[str]) -> list[str]:
    if shutil.which(program) is None:
        return []
    told = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=60).stdout
    return [f"{program} has no {option}" for option in sorted(options_of(words) - set(OPTIONS.findall(told)))]


CHECKS: dict[str, Callable[[Sequence[str]], list[str]]] = {
    "pilotage": check_pilotage,
    "kubectl": check_kubectl,
    "helm": check_helm,
    "python": check_python,
    "make": check_make,
    "pg_dump": functools.partial(check_postgresql, "pg_dump"),
    "pg_restore": functools.partial(check_postgresql, "pg_restore"),
}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pilotage runz", "`pilotage` has no command runz"),
        ("pilotage rollback p --environment prod", "`pilotage rollback` has no option --environment"),
        ("pilotage users token ada --role viewer --hours 3", "`pilotage users token` has no option --hours"),
        ("kubectl exec deploy/x --in pilotage -- pilotage users", "kubectl exec has no --in"),
        ("kubectl exec deploy/x -- pilotage users ad", "`pilotage users` has no command ad"),
        ("kubectl frobnicate x", "kubectl has no frobnicate"),
        ("helm install p charts/pilotage --set image.tags=1", "charts/pilotage has no value image.tags"),
        ("python infra/mirror/mirror.py image --to x", "mirror.py does not take that"),
        ("kubectl apply --filename infra/none.yaml", "there is no infra/none.yaml"),
        ("make clusters", "make has no clusters"),
        ("frobnicate", "frobnicate is not known here"),
    ],
)
def test_what_is_not_there_is_found(text: str, told: str) -> None:
    if text.startswith("kubectl") and shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    assert f"x: {text}: {told}" in check(Line("x", tuple(shlex.split(text))))


@pytest.mark.parametrize("guide", GUIDES)
def test_every_command_names_what_there_is(guide: str) -> None:
    found = list(lines(guide))
    assert found or guide == "sizing"
    assert [problem for line in found for problem in check(line)] == []


@pytest.mark.parametrize("guide", GUIDES)
def test_values_are_those_of_the_charts(guide: str) -> None:
    for block in blocks(guide, "yaml"):
        head = re.match(r"# values of charts/(\w+)", block)
        assert head is not None, f"{guide}: a block of YAML that does not say what it is"
        assert rendering.render(head[1], yaml.safe_load(block))


@pytest.mark.parametrize("guide", GUIDES)
def test_links_lead_somewhere(guide: str) -> None:
    text = (DOCS / f"{guide}.md").read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert (DOCS / target).exists(), f"{guide}: {target}"
    for place in re.findall(r"`((?:charts|infra|tests|docs)/[\w./-]+?)/?`", text):
        assert (REPOSITORY / place).exists(), f"{guide}: {place}"


@pytest.mark.slow
def test_the_guide_to_clusters_shows_what_its_commands_print(tmp_path: Path, uncovered: None) -> None:
    shutil.copytree(REPOSITORY / "pilots" / "diamond-price", tmp_path / "pilots" / "diamond-price")
    done = follow(DOCS / "cluster.md", tmp_path, [])
    assert len(done) == 3
    require_shown(done)


@pytest.mark.slow
def test_what_is_needed_without_a_registry_is_listed(tmp_path: Path, uncovered: None) -> None:
    shutil.copytree(REPOSITORY / "infra" / "mirror", tmp_path / "infra" / "mirror")
    shutil.copytree(REPOSITORY / "infra" / "images" / "locks", tmp_path / "infra" / "images" / "locks")
    require_shown(follow(DOCS / "air-gapped.md", tmp_path, []))


@pytest.mark.slow
def test_an_upgrade_goes_as_its_guide_shows(tmp_path: Path, uncovered: None) -> None:
    program = [sys.executable, "-m", "pilotage.console", "triggers", "snooze", "flight-delay"]
    home = ["--home", str(tmp_path / ".pilotage")]
    subprocess.run([*program, "--for", "1d", "--why", "something is there", *home], check=True, timeout=120)
    require_shown(follow(DOCS / "upgrade.md", tmp_path, []))


@pytest.mark.slow
def test_what_was_lost_comes_back_as_its_guide_shows(tmp_path: Path, uncovered: None) -> None:
    done = follow(DOCS / "disaster-recovery.md", tmp_path, [])
    assert sum(bool(command.shown) for command, _ in done) == 6
    require_shown(done)
    assert (tmp_path / "restored" / "pilotage.db").is_file()
