"""An installation in which a pilot has earned every point that evidence can give: made by the real steps.

Steps are called in this process, so that their libraries are imported once; what a process of theirs would
write of itself is written with the same functions.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select
from tests.unit.pipelines.drift_reports import brought, realized, report

from pilotage.components import shells
from pilotage.core import pilots, rollouts, settings
from pilotage.core.artifacts import Comparison, Decision, DriftReport, Side, Version
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.core.storage import Storage
from pilotage.core.windows import reports_folder
from pilotage.pipelines import tables
from pilotage.pipelines.decisions import promotions
from pilotage.pipelines.decisions import rollouts as controller
from pilotage.pipelines.journals import states
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.readiness import judgements, proofs, trials
from pilotage.pipelines.readiness.scores import Readiness
from pilotage.pipelines.readiness.subjects import Subject
from pilotage.pipelines.retraining import observations, schedules

NAME = "ready"
PILOT = """\
version: 1
pilot: ready
goal: {{metric: roc_auc, value: {{true_positive: 5, false_positive: -1, currency: EUR}}}}
data:
  source: {{python: "rows:load", args: {{rows: 900}}}}
  target: y
  time: at
  key: id
  features: {features}
  personal: {{kinds: {{email: mask}}}}
  retention: 365d
expectations: suite.json
train:
  estimator: hist_gradient_boosting
  params: {{max_iter: 20, min_samples_leaf: 10}}
  search: {{trials: 2, timeout: 2m, space: {{learning_rate: {{low: 0.1, high: 0.3}}}}}}
gates:
  - {{metric: latency_p99_ms, max: 5000}}
  - {{metric: group_metric_difference, by: team, max: 0.9}}
  - {{metric: demographic_parity_difference, by: team, max: 0.9}}
serve: {{rollout: {{strategy: canary, steps: [50], pause: 1s, min_requests: 10}}}}
retrain: {{schedule: "0 3 * * 1"}}
"""
BEFORE = {"a": "number", "team": "category"}
AFTER = {"a": "number", "b": "number", "team": "category"}
SOURCE = '''\
"""Rows that somebody makes up."""

import numpy as np
import pandas as pd


def load(rows):
    draw = np.random.default_rng(5)
    a, b = draw.normal(size=rows), draw.normal(size=rows)
    team = draw.choice(["red", "green", "blue"], size=rows)
    hidden = a * b + a**2 - 1 + 0.8 * (team == "red") + draw.normal(size=rows) * 0.6
    at = pd.date_range("2026-01-01", periods=rows, freq="h", tz="UTC")
    return pd.DataFrame({"id": np.arange(rows).astype(str), "at": at, "a": a, "b": b, "team": team,
                         "y": (hidden > 0).astype(int)})
'''
TESTS = """\
from pathlib import Path

import rows

from pilotage.core import pilots


def test_rows_have_both_classes():
    assert set(rows.load(50)["y"]) == {0, 1}


def test_the_spec_names_a_metric():
    assert pilots.load(Path(__file__).parent).spec.goal.metric == "roc_auc"
"""
HOOKS = "- {name: on-call, url: 'https://hooks.example.org/x', secret: 'env:READY_HOOK', pilots: [ready]}\n"


@dataclass
class Home:
    """The installation, and a copy of it as it was made."""

    settings: Settings
    folder: Path
    copy: Path

    @property
    def engine(self) -> Any:
        """Its database."""
        return tables.connect(self.settings)

    @property
    def registry(self) -> Registry:
        """Its versions."""
        return Registry(self.settings)

    @property
    def subject(self) -> Subject:
        """What is held about the champion."""
        return Subject(self.settings, self.engine, self.registry, NAME)

    def assess(self, now: datetime | None = None) -> Readiness:
        """How ready the pilot is."""
        return judgements.assess(self.settings, NAME, now=now)

    def of_run(self, version: int, name: str) -> Path:
        """A file that the run of a version left in MLflow."""
        return self.registry.run_file(self.registry.version(NAME, version).run, name)

    def of_model(self, version: int, name: str) -> Path:
        """A file in the folder of a version's model."""
        place = self.registry.folder_at(self.registry.version(NAME, version).location)
        return place / "pilotage" / name

    def restore(self) -> None:
        """Put everything back as it was made."""
        self.engine.dispose()
        shutil.rmtree(self.settings.home)
        shutil.copytree(self.copy, self.settings.home)


def make(place: Path) -> Home:
    """A pilot with two versions, the second of which went through a rollout and is watched."""
    folder, hooks = place / "pilot", place / "hooks.yaml"
    folder.mkdir()
    hooks.write_text(HOOKS)
    os.environ["READY_HOOK"] = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    os.environ["PILOTAGE_HOME"] = str(place / "home")
    installation = settings.load(webhooks_file=hooks)
    (folder / "rows.py").write_text(SOURCE)
    (folder / "test_ready.py").write_text(TESTS)
    git(folder, "init", "-q")
    first = write(folder, BEFORE)
    carry_out(installation, first, folder)
    second = write(folder, AFTER)
    carry_out(installation, second, folder)
    roll_out(installation, second)
    promotions.rollback(installation, NAME, who="ann", why="rehearsal")
    promotions.promote(installation, NAME, 2, who="ann", why="the rehearsal is over")
    watch(installation, second)
    engine = tables.connect(installation)
    schedules.add(engine, NAME, "0 3 * * 1", "UTC", "ann")
    tell(engine)
    let_in(engine)
    made = Home(installation, folder, place / "copy")
    for kind in proofs.Kind:
        trials.prove(made.subject, kind, who="ann")
    engine.dispose()
    shutil.copytree(installation.home, made.copy)
    return made


def write(folder: Path, features: dict[str, str]) -> PilotSpec:
    """Write and commit pilot.yaml, and what is expected of its features."""
    (folder / "pilot.yaml").write_text(PILOT.format(features=json.dumps(features)))
    held = [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": name}} for name in features]
    (folder / "suite.json").write_text(json.dumps({"name": NAME, "expectations": held}))
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "Change the features\n\nReviewed-by: Bo <bo@example.org>")
    return pilots.load(folder).spec


def git(folder: Path, *words: str) -> None:
    """Call git as Ann."""
    person = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *person, "-C", str(folder), *words], check=True, capture_output=True)


def carry_out(installation: Settings, spec: PilotSpec, folder: Path) -> Version:
    """The five steps, with the rows that a run writes of them."""
    store, run = Records(tables.connect(installation)), states.new_id()
    names = ("ingest", "validate", "train", "evaluate", "register")
    store.begin_run(run, spec, folder, names, asked_by="ann")
    told = {"pilot": spec.model_dump_json(exclude_unset=True), "folder": str(folder), "run": run}
    out = installation.home / "runs" / run
    places = {name: str(out / name) for name in ("snapshot", "report", "model", "scorecard", "version")}
    taken: dict[str, str] = {}
    for step, output in zip(names, places, strict=True):
        more = {"page": str(out / "page")} if step == "validate" else {}
        found = getattr(shells, step)(**told, **taken, **more, out=places[output])
        taken[output] = places[output]
        known = {output: {**found, "uri": places[output]}}
        ended = {"state": State.SUCCEEDED, "cached": False, "seconds": 1.0, "peak_memory_bytes": 2**28}
        store.update_step(run, step, **ended, outputs=known, ended_at=tables.now())
    made = Version.read(Path(places["version"]))
    promotions.record_decision(
        store.engine, NAME, made.version, made.decision, run, made.reason, made.replaced
    )
    store.end_run(run, State.SUCCEEDED, 0, result={"version": made.version})
    return made


def roll_out(installation: Settings, spec: PilotSpec) -> None:
    """Let the second version answer its share of the requests, and become champion."""
    storage, registry = Storage(installation.storage), Registry(installation)
    side = Side(requests=40, rows=40)
    seen = Comparison(pilot=NAME, step=0, champion=side, challenger=side)
    storage.write(rollouts.comparison_name(NAME, 2, "r1"), seen.model_dump_json().encode())
    controller.settle(NAME, installation, datetime.now(UTC) + timedelta(seconds=2))
    assert registry.aliases(NAME)["champion"] == 2
    decided = registry.version(NAME, 2).tags["pilotage.decision"]
    assert decided == Decision.PROMOTED


def watch(installation: Settings, spec: PilotSpec) -> None:
    """Ten windows of the second version, in which a better metric brought more."""
    made, storage = datetime.now(UTC), Storage(installation.storage)
    reports = [
        report(
            hour, pilot=NAME, version=2, made=made,
            performance=realized(0.7 + hour / 100), brought=brought(100.0 + 5 * hour + hour % 2, 50.0),
        )
        for hour in range(10)
    ]  # fmt: skip
    for item in reports:
        folder = reports_folder(NAME, 2, item.start)
        storage.write(f"{folder}/{DriftReport.FILE}", item.model_dump_json().encode())
    observations.observe(installation, spec, reports, 2)


def tell(engine: Any) -> None:
    """One event that a webhook took."""
    with engine.begin() as connection:
        event = connection.scalar(select(tables.outbox.c.event).where(tables.outbox.c.pilot == NAME))
        row = {"event": event, "endpoint": "on-call", "state": "delivered", "attempts": 1}
        moments = {name: tables.now() for name in ("since", "next_at", "ended_at")}
        connection.execute(insert(tables.deliveries), {**row, **moments})


def let_in(engine: Any) -> None:
    """One person, with a role for the pilot."""
    moment = tables.now()
    person = {"name": "ann", "state": "active", "created_at": moment, "created_by": "local"}
    grant = {"user": "ann", "pilot": NAME, "role": "approver", "at": moment, "who": "local"}
    with engine.begin() as connection:
        connection.execute(insert(tables.users), person)
        connection.execute(insert(tables.grants), grant)
