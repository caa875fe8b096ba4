"""From version to smaller version: candidates that stay valid, one registered once, killed or not, served.

One study of a small pilot is made for all tests; what it measured is kept, so studies after it take little.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import yaml
from sqlalchemy import select
from tests.unit.components.shrinking import edges

from pilotage.components import register, shells
from pilotage.components.datasets import Dataset
from pilotage.components.measures import latencies, races
from pilotage.components.shrinking import stores, trials
from pilotage.components.shrinking.trials import Made
from pilotage.components.training import importances
from pilotage.core import errors, features, forms, pilots, settings
from pilotage.core.artifacts import Decision, Report, Share, Shrink, Snapshot
from pilotage.core.features import Columns
from pilotage.core.forms import FormPredictor
from pilotage.core.models import Answering, open_predictor
from pilotage.core.registry import Alias, Registry
from pilotage.core.specs import FeatureKind
from pilotage.pipelines import studies, tables
from pilotage.pipelines.decisions import approvals, promotions
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.readiness import holds
from pilotage.pipelines.studies import shrinks
from pilotage.pipelines.studies.shrinks import Options

ROWS = 1500
SPEC: dict[str, Any] = {
    "version": 1,
    "pilot": "parcels",
    "goal": {"metric": "roc_auc"},
    "data": {"source": "parcels.csv", "target": "late"},
    "train": {"estimator": "hist_gradient_boosting", "params": {"max_iter": 40, "max_leaf_nodes": 8}},
    "gates": [
        {"metric": "roc_auc", "min": 0.6},
        {"metric": "size_mb", "max": 1},
        {"metric": "memory_mb", "max": 500},
    ],
}
WIDE: dict[str, Any] = {"max_drop": 0.5, "at_most": 1.0}
"""Limits that most candidates are within."""
SERVER = """
import sys
from pathlib import Path
from pilotage.core import pilots, settings
from pilotage.serving import servers
folder, url = sys.argv[1:]
servers.run(pilots.load(Path(folder)), settings.load(), port=0, on_ready=Path(url).write_text)
"""


real_race = races.run


@dataclass(frozen=True)
class Bench:
    """An installation with one version, and the study that shrank it."""

    home: Path
    folder: Path
    found: Shrink
    made: dict[str, Made]
    """Every candidate that could be made."""

    @property
    def installation(self) -> settings.Settings:
        return settings.load(home=self.home)

    @property
    def registry(self) -> Registry:
        return Registry(self.installation)

    def shrink(self, study: str | None = None, bundle: Path | None = None, **told: Any) -> tuple[str, Shrink]:
        pilot = pilots.load(self.folder)
        options = Options.model_validate({"version": 1, **told})
        return shrinks.run(
            pilot.spec, pilot.folder, self.installation, options, "me", study=study, bundle=bundle
        )

    def registered(self) -> list[int]:
        return [item.version for item in self.registry.versions("parcels")]


def parcels(rows: int = ROWS) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    weight, route = rng.normal(size=rows), rng.choice(["A", "B", "C"], rows)
    late = weight + 2 * (route == "C") + rng.normal(size=rows) > 1
    return pd.DataFrame(
        {
            "weight": np.where(rng.random(rows) < 0.05, np.nan, weight),
            "route": pd.Series(route).mask(rng.random(rows) < 0.05),
            "fragile": rng.random(rows) < 0.3,
            "noise": rng.normal(size=rows),
            "more_noise": rng.normal(size=rows),
            "late": np.where(late, "yes", "no"),
        }
    )


def first_version(folder: Path) -> None:
    """The steps by hand, with a report that found nothing: validation is not what this is about."""
    pilot = pilots.load(folder)
    told = (pilot.spec.model_dump_json(exclude_unset=True), str(folder), "run-1")
    out = {
        name: str(folder / "out" / name) for name in ("snapshot", "report", "model", "scorecard", "version")
    }
    shells.ingest(*told, out=out["snapshot"])
    snapshot = Snapshot.read(Path(out["snapshot"]))
    report = Report(
        pilot=pilot.name, snapshot=snapshot.digest, suite="a" * 64, drafted=True, success=True, checks=(),
        created_at=datetime.now(UTC),
    )  # fmt: skip
    Path(out["report"]).mkdir(parents=True)
    report.write(Path(out["report"]))
    shells.train(*told, snapshot=out["snapshot"], report=out["report"], out=out["model"])
    made = {name: out[name] for name in ("snapshot", "report", "model")}
    shells.evaluate(*told, **made, out=out["scorecard"])
    shells.register(*told, **made, scorecard=out["scorecard"], out=out["version"])


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("pilot")
    parcels().to_csv(folder / "parcels.csv", index=False)
    (folder / "pilot.yaml").write_text(yaml.safe_dump(SPEC))
    made: dict[str, Made] = {}
    follow = trials.make

    def remembered(recipe: Any, source: Any) -> tuple[Made, str]:
        found = follow(recipe, source)
        made[recipe.name] = found[0]
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILOTAGE_HOME", str(home))
        measure_briefly(patch)
        patch.setattr(trials, "make", remembered)
        first_version(folder)
        bench = Bench(home, folder, None, made)  # type: ignore[arg-type]
        _, found = bench.shrink(max_drop=0.3)
    return Bench(home, folder, found, dict(made))


def measure_briefly(patch: pytest.MonkeyPatch) -> None:
    """Fewer calls and rounds: how exactly times are measured is not what this is about.

    Every candidate is a little faster than the version, so that a busy machine decides nothing.
    """
    quick = partial(importances.measure, budget_seconds=0.1)
    patch.setattr(importances, "measure", quick)
    patch.setattr(latencies, "CALLS", 20)
    patch.setattr(races, "ROUNDS", 5)
    same = Share(value=0.9, low=0.9, high=0.9)

    def run(models: Sequence[Answering], rows: Dataset) -> list[races.Time]:
        first, *others = real_race(models, rows)
        return [first, *(replace(item, row=same, row_p99=same, batch=same) for item in others)]

    patch.setattr(races, "run", run)
    patch.setattr(trials, "_RESAMPLES", 40)


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    measure_briefly(monkeypatch)


def strange(made: Made) -> Columns:
    """Rows that training has hardly seen: everything missing, categories of nowhere, enormous numbers."""
    rows: list[dict[str, Any]] = [
        {item.name: None for item in made.predictor.model.features},
        {
            item.name: {
                FeatureKind.NUMBER: 1e300,
                FeatureKind.BOOLEAN: True,
                FeatureKind.CATEGORY: "nowhere",
            }[item.kind]
            for item in made.predictor.model.features
        },
    ]
    return features.from_rows(made.predictor.model.features, rows)


def test_every_candidate_keeps_its_answers_valid(bench: Bench) -> None:
    assert {"float32", "half-leaves", "small-trees", "student-trees", "student-16"} <= set(bench.made)
    for name, made in bench.made.items():
        answering = FormPredictor(made.form, made.graph, made.predictor.model)
        usual = features.from_rows(
            made.predictor.model.features,
            json.loads(parcels(200).drop(columns="late").to_json(orient="records")),
        )
        for columns in (usual, strange(made)):
            found = answering.predict(columns)
            assert trials.unsound(found) == [], name


def test_every_candidate_is_measured_and_only_one_that_passed_is_chosen(bench: Bench) -> None:
    found = bench.found
    chosen = next(item for item in found.candidates if item.name == found.chosen)
    assert chosen.passed
    assert chosen.size is not None
    assert chosen.drop is not None
    assert chosen.drop <= 0.3
    for item in found.candidates:
        assert item.passed == (not item.reasons)
        if item.size is not None:
            assert item.row is not None
            assert item.batch is not None
            assert [verdict.gate for verdict in item.gates if verdict.value is None] == []
            assert {"size_mb <= 1", "memory_mb <= 500"} <= {verdict.gate for verdict in item.gates}
            assert item.drop_low is not None
            assert item.drop_low <= item.drop <= (item.drop_high or 0)  # type: ignore[operator]


def test_the_version_says_where_it_comes_from_and_has_all_that_versions_have(bench: Bench) -> None:
    registry, version = bench.registry, bench.found.registered
    assert version is not None
    registered = registry.version("parcels", version)
    tags = registered.tags
    assert tags["pilotage.shrunk_from"] == "1"
    assert tags["pilotage.shrunk_how"].startswith(f"{bench.found.chosen}: ")
    assert (tags["pilotage.form"], tags["pilotage.skew"], tags["pilotage.run"]) == ("ready", "none", "run-1")
    assert tags["pilotage.decision"] == bench.found.decision == "promoted"
    assert registry.aliases("parcels")[Alias.CHAMPION] >= version
    folder = registry.folder(registered)
    model = registry.model(registered)
    assert model.shrunk is not None
    assert (model.shrunk.version, model.shrunk.candidate) == (1, bench.found.chosen)
    assert any(line.startswith("onnxruntime==") for line in model.requirements)
    assert set(registry.profile(registered).features) == {item.name for item in model.features}
    assert registry.reference(registered) is not None
    rows = features.from_rows(model.features, json.loads(parcels(80).to_json(orient="records")))
    fast, stored = forms.open_form(folder, model), open_predictor(folder, bench.installation)
    assert fast is not None
    np.testing.assert_allclose(fast.predict(rows).score, stored.predict(rows).score, atol=1e-6)
    assert registry.scorecard(registered).passed
    assert Snapshot.read(registry.run_file(registered.run, Snapshot.FILE)).digest == bench.found.snapshot
    with tables.reading(tables.connect(bench.installation)) as connection:
        audit = tables.audit
        rows_told = (
            connection.execute(select(audit.c.action).where(audit.c.version == version)).scalars().all()
        )
    assert rows_told == ["promoted"]


def test_the_same_study_again_measures_and_registers_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 1 is champion, as it was when that was measured."""
    bench.registry.promote("parcels", 1)
    monkeypatch.setattr(stores, "store", lambda *_: pytest.fail("it was stored again"))
    before = bench.registered()
    name, found = bench.shrink(max_drop=0.3, choose=bench.found.chosen)
    assert (found.registered, bench.registered()) == (bench.found.registered, before)
    engine = tables.connect(bench.installation)
    study = studies.find(engine, name)
    assert study.state == State.SUCCEEDED
    assert study.result is not None
    assert study.result["registered"] == bench.found.registered
    picture = studies.read_file(bench.installation, study, shrinks.PLOT)
    assert picture.startswith(b"<svg ")
    assert str(bench.found.chosen).encode() in picture


class _Killed(BaseException):
    """What no code handles, as a process that ends handles nothing."""


@pytest.mark.parametrize("where", ["store", "version", "record"])
def test_a_study_that_dies_between_choice_and_end_registers_one_version_when_it_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    bench.registry.promote("parcels", 1)
    _, seen = bench.shrink(**WIDE, register=False)
    others = [item.name for item in seen.candidates if item.passed and item.name != bench.found.chosen]
    name = others[["store", "version", "record"].index(where)]
    place, attribute = {
        "store": (register, "register"),
        "version": (Registry, "challenge"),
        "record": (promotions, "record_decision"),
    }[where]
    before = set(bench.registered())
    with monkeypatch.context() as patch:

        def die(*_: Any, **__: Any) -> None:
            raise _Killed

        patch.setattr(place, attribute, die)
        with pytest.raises(_Killed):
            bench.shrink(**WIDE, choose=name)
    engine = tables.connect(bench.installation)
    died = studies.latest(engine, "parcels", studies.Kind.SHRINK)
    assert died is not None
    assert died.state != State.SUCCEEDED
    _, found = bench.shrink(died.id)
    again, repeated = bench.shrink(**WIDE, choose=name)
    made = set(bench.registered()) - before
    assert made == {found.registered} == {repeated.registered}
    tags = bench.registry.version("parcels", int(found.registered or 0)).tags
    assert tags[stores.STUDY_TAG] == died.id != again
    with tables.reading(engine) as connection:
        audit = tables.audit
        told = connection.execute(select(audit.c.action).where(audit.c.version == found.registered)).scalars()
        assert told.all() == [tags["pilotage.decision"]]


def test_none_is_chosen_where_none_saves_enough_and_the_exit_code_says_so(bench: Bench) -> None:
    bench.registry.promote("parcels", 1)
    before = bench.registered()
    words = [
        "shrink",
        str(bench.folder),
        "--version",
        "1",
        "--max-drop",
        "0.3",
        "--at-most",
        "0.0001",
        "--json",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pilotage.console", *words],
        env={**os.environ, "PILOTAGE_HOME": str(bench.home)},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 3, done.stderr.decode()
    document = json.loads(done.stdout)
    assert document["chosen"] is None
    assert document["registered"] is None
    assert "saves too little" in document["reason"]
    assert all(item["reasons"] for item in document["candidates"])
    assert bench.registered() == before


def test_a_candidate_that_a_gate_refuses_is_not_registered_even_by_name(bench: Bench) -> None:
    bench.registry.promote("parcels", 1)
    before = bench.registered()
    _, found = bench.shrink(max_drop=0.3, at_most=0.01, choose="half-leaves")
    assert found.chosen is None
    assert "half-leaves" in found.reason
    assert bench.registered() == before
    with pytest.raises(errors.NotFound, match="No candidate is called"):
        bench.shrink(max_drop=0.3, choose="smallest")


def test_one_that_is_slower_is_chosen_for_its_size_alone_and_waits_for_a_person(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.registry.promote("parcels", 1)
    _, seen = bench.shrink(**WIDE, register=False)
    *_, name = (item.name for item in seen.candidates if item.passed and item.name != bench.found.chosen)
    _, fast = bench.shrink(**WIDE, choose=name)
    bench.registry.client.delete_model_version("parcels", str(fast.registered))
    bench.registry.promote("parcels", 1)
    measured, slower = shrinks._Shrinking._measured, Share(value=1.3, low=1.2, high=1.4)

    def slow(study: Any, source: Any) -> Shrink:
        found = measured(study, source)
        rows = [
            item if item.row is None else item.model_copy(update={"row": slower}) for item in found.candidates
        ]
        return found.model_copy(update={"candidates": tuple(rows)})

    monkeypatch.setattr(shrinks._Shrinking, "_measured", slow)
    before = bench.registered()
    _, refused = bench.shrink(max_drop=0.3)
    assert refused.chosen is None
    assert "it is slower: 1.30 of the time for a row" in refused.reason
    assert bench.registered() == before

    _, found = bench.shrink(**WIDE, objective="size", choose=name)
    version = int(found.registered or 0)
    assert version not in before
    assert found.decision == Decision.PENDING
    assert found.held is not None
    assert "slower than version 1: 1.30 of the time for a row" in found.held
    assert bench.registry.aliases("parcels")[Alias.CHAMPION] == 1
    waiting = approvals.of(bench.installation, "parcels", version)
    assert waiting is not None
    assert waiting.state is approvals.ApprovalState.PENDING
    with pytest.raises(errors.PromotionRefused, match="waits for a person: it is slower"):
        holds.promote(bench.installation, "parcels", version)
    promotions.approve(bench.installation, "parcels", version, who="ann", why="it fits the device now")
    assert bench.registry.aliases("parcels")[Alias.CHAMPION] == version


@pytest.fixture
def server(bench: Bench, tmp_path: Path) -> Iterator[httpx.Client]:
    """A real server of the shrunk version."""
    bench.registry.promote("parcels", int(bench.found.registered or 0))
    url = tmp_path / "url"
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(bench.folder), str(url)],
        env={**os.environ, "PILOTAGE_HOME": str(bench.home)},
    )
    try:
        end = time.monotonic() + 60
        while not (url.exists() and url.read_text()):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        with httpx.Client(base_url=url.read_text(), timeout=60) as client:
            yield client
    finally:
        process.kill()
        process.wait()


def test_the_bundle_answers_as_the_server_where_nothing_but_onnxruntime_is(
    bench: Bench, server: httpx.Client, tmp_path: Path
) -> None:
    _, found = bench.shrink(bundle=tmp_path / "edge", max_drop=0.3, choose="original", register=False)
    assert found.registered == 1
    _, found = bench.shrink(bundle=tmp_path / "edge.zip", max_drop=0.3, choose=bench.found.chosen)
    shutil.unpack_archive(tmp_path / "edge.zip", tmp_path / "small")
    rows = json.loads(parcels(60).drop(columns="late").to_json(orient="records"))
    rows += [{**rows[0], "route": "nowhere"}, dict.fromkeys(rows[0])]
    served = server.post("/predict", json={"rows": rows}).json()
    assert served["version"] == bench.found.registered
    python = edges.environment(tmp_path / "venv")
    done = edges.run(python, tmp_path / "small", given=edges.as_lines(rows))
    assert done.returncode == 0, done.stderr.decode()
    answers = edges.answers(done)
    assert [line["prediction"] for line in answers] == served["predictions"]
    assert [line["probabilities"] for line in answers] == served["probabilities"]


def test_a_shrunk_version_explains_its_rows(bench: Bench, server: httpx.Client) -> None:
    rows = json.loads(parcels(3).drop(columns="late").to_json(orient="records"))
    answer = server.post("/explain", json={"rows": rows})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["version"] == bench.found.registered
    sums = [base + sum(row.values()) for base, row in zip(told["base"], told["explanations"], strict=True)]
    np.testing.assert_allclose(sums, told["values"], atol=1e-6)
