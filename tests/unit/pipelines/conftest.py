"""Small real pipelines, zygotes without heavy imports, and an installation in a temporary folder."""

from __future__ import annotations

import importlib.util
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pilotage.core import pilots, settings
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import states
from pilotage.pipelines.journals.events import Event, Journal
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.machines import environments
from pilotage.pipelines.steps.caches import Cache
from pilotage.pipelines.steps.local import LocalRunner
from pilotage.pipelines.steps.workers import Group, Job, Worker, Workers

LIGHT = (Group("light", ()),)


def _small_pipeline() -> Any:
    """The IR of the pipeline beside this file."""
    place = Path(__file__).with_name("small_pipeline.py")
    found = importlib.util.spec_from_file_location("small_pipeline", place)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module.compiled()


class LocalCache(Cache):
    """A cache over outputs that refer to nothing outside their folders."""

    def _resolve(self, step: str, output: Any) -> None:
        return


class Bench:
    """Runs the small pipeline in one installation and keeps what happened."""

    def __init__(self, installation: Settings, spec: PilotSpec, folder: Path) -> None:
        self.settings = installation
        self.spec = spec
        self.folder = folder
        self.engine = tables.connect(installation)
        self.records = Records(self.engine)
        self.counter = folder / "executed.txt"
        self.events: list[Event] = []
        self.fingerprint: str | None = "one"
        self.run_name = ""
        self.pipeline = _small_pipeline()

    @property
    def executed(self) -> list[str]:
        """Names of executed steps, in order, over all runs."""
        return self.counter.read_text().split() if self.counter.exists() else []

    def run(self, body: str = "pass", *, reading: bool = True) -> Journal:
        """Execute the pipeline; its first step executes `body` first."""
        self.run_name = states.new_id()
        self.records.begin_run(self.run_name, self.spec, self.folder, ("ingest", "train"))
        journal = Journal(self.records, self.run_name, self.events.append)
        cache = LocalCache(
            self.engine,
            self.settings,
            self.spec,
            self.folder,
            self.run_name,
            fingerprint=lambda: self.fingerprint,
            reading=reading,
        )
        logs = self.settings.logs / self.run_name
        workers = Workers(logs, environments.variables(self.settings), LIGHT)
        try:
            runner = LocalRunner(self.settings, journal, cache, workers)
            runner.run(self.pipeline, {"body": textwrap.dedent(body), "counter": str(self.counter)})
        finally:
            workers.stop()
        return journal


@pytest.fixture
def installation(tmp_path: Path) -> Settings:
    """Settings with quick retries."""
    return settings.load(home=tmp_path / "home", step_backoff_seconds=0.05, step_timeout_seconds=30.0)


@pytest.fixture
def spec() -> PilotSpec:
    """A pilot with nothing but what is needed."""
    return pilots.parse(
        "version: 1\npilot: small\ndata: {source: rows.csv, target: y}\ngoal: {metric: roc_auc}\n"
    )


@pytest.fixture
def bench(installation: Settings, spec: PilotSpec, tmp_path: Path) -> Iterator[Bench]:
    """The small pipeline, ready to run."""
    bench = Bench(installation, spec, tmp_path)
    yield bench
    bench.engine.dispose()


@pytest.fixture
def bench_with(spec: PilotSpec, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """The small pipeline under settings of the test's own."""
    made: list[Bench] = []

    def make(**overrides: object) -> Bench:
        made.append(Bench(settings.load(home=tmp_path / "home", **overrides), spec, tmp_path))
        return made[-1]

    yield make
    for bench in made:
        bench.engine.dispose()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """A zygote that has imported nothing."""
    worker = Worker(Group("light", ()), tmp_path / "zygote.log", {})
    yield worker
    worker.stop()


@pytest.fixture
def job(tmp_path: Path) -> Callable[[str], Job]:
    """Builds a component without inputs from the body of its function."""

    def build(body: str) -> Job:
        source = "def work():\n" + textwrap.indent(textwrap.dedent(body).strip(), "    ") + "\n"
        output = {"inputs": {}, "outputs": {"outputFile": str(tmp_path / "out" / "executor_output.json")}}
        return Job(
            step="work",
            source=source,
            function="work",
            executor_input=output,
            environment={"FROM_CALLER": "yes"},
            log=tmp_path / "work.log",
            error=tmp_path / "work.error.json",
        )

    return build
