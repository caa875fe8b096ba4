"""An installation with pilots to release, and git repositories to release them to."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from pilotage.core import pilots
from pilotage.core.artifacts import Decision, Estimate, Latency, Rival, Scorecard, Verdict
from pilotage.core.registry import Registry
from pilotage.core.registry.clients import RUN_TAG
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import catalogues

DIGEST = "5" * 64
PILOT = """
version: 1
pilot: {name}
goal: {{metric: roc_auc, target: 0.7}}
data: {{source: data.csv, target: y}}
serve: {{replicas: {{min: 2, max: {most}}}, p99_ms: 50, rollout: {{strategy: canary, steps: [10, 50]}}}}
"""
GIT = ("git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main")


def spec(name: str, most: int = 10) -> PilotSpec:
    """The pilot.yaml of a pilot."""
    return pilots.parse(PILOT.format(name=name, most=most))


def add_pilot(settings: Settings, name: str, folder: Path, versions: int = 3) -> None:
    """A pilot whose last version did not pass its gates and whose others did."""
    with tables.connect(settings).begin() as connection:
        catalogues.put(connection, spec(name), folder)
    for number in range(1, versions + 1):
        add_version(settings, name, folder / str(number), passed=number < versions)


def add_version(
    settings: Settings, name: str, folder: Path, *, passed: bool = True, run: str = "run-1"
) -> int:
    """Register one more version."""
    registry = Registry(settings)
    made = registry.start_run(name, "run", {RUN_TAG: run})
    inside = folder / "model" / "pilotage"
    inside.mkdir(parents=True)
    (inside / "model.json").write_text("{}")
    (inside / "profile.json").write_text(f'{{"of": "{folder.name}"}}')
    uri = registry.log_model(name, made, folder / "model", {})
    scorecard = Scorecard(
        pilot=name,
        model=DIGEST,
        snapshot=DIGEST,
        metric="roc_auc",
        target=0.7,
        test_rows=10,
        metrics={"roc_auc": Estimate(value=0.75, low=0.7, high=0.8)},
        baseline=Rival(name="baseline", metrics={"roc_auc": 0.5}),
        latency=Latency(p50_ms=1, p90_ms=1, p99_ms=1, calls=10),
        gates=(Verdict(gate="roc_auc >= 0.65", passed=passed, value=0.75, limit=0.65, reason="not better"),),
        passed=passed,
        created_at=datetime.now(UTC),
    )
    registry.log_file(made, scorecard.write(folder))
    registry.end_run(made)
    tags = {RUN_TAG: run, "pilotage.snapshot": DIGEST, "pilotage.scorecard": scorecard.content_digest}
    tags["pilotage.decision"] = (Decision.PROMOTED if passed else Decision.REFUSED).value
    version: int = registry.register(name, made, uri, tags)
    return version


def git(folder: Path, *words: str) -> str:
    """What a git command prints."""
    done = subprocess.run(
        [*GIT, "-C", str(folder), *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.rstrip("\n")


def bare(folder: Path, files: dict[str, str] | None = None) -> Path:
    """A bare repository on branch main with one commit of `files`; without a commit when None."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "--bare")
    if files is not None:
        commit_files(folder, files, "Begin")
    return folder


def commit_files(repository: Path, files: dict[str, str], message: str) -> str:
    """Commit files as somebody else does: by a clone and a push; returns the commit."""
    clone = repository.with_name(f"{repository.name}-clone-{datetime.now(UTC).timestamp()}")
    subprocess.run([*GIT, "clone", "-q", str(repository), str(clone)], check=True, capture_output=True)
    for name, text in files.items():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(text)
    git(clone, "add", "-A")
    git(clone, "commit", "-q", "-m", message)
    git(clone, "push", "-q", "origin", "HEAD:main")
    return git(clone, "rev-parse", "HEAD")


def log(repository: Path, branch: str = "main") -> list[str]:
    """Subjects of commits, oldest first."""
    return git(repository, "log", "--reverse", "--format=%s", branch).splitlines()


def show(repository: Path, path: str, branch: str = "main") -> str:
    """A file at a branch's head."""
    return git(repository, "show", f"{branch}:{path}")
