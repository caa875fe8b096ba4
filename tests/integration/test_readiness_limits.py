"""Versions whose pilot is not ready: refused with the tests to earn, forced, held, and let go when it is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.integration.test_pipelines_promotions import _add
from tests.integration.test_pipelines_rollouts import LATER, add_version, serve

from pilotage.core import errors, pilots, rollouts, settings
from pilotage.core.artifacts import Decision, RolloutState
from pilotage.core.registry import Alias, Registry
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.pipelines import tables
from pilotage.pipelines.decisions import approvals, promotions
from pilotage.pipelines.decisions import rollouts as controller
from pilotage.pipelines.execution.runs import RunResult
from pilotage.pipelines.journals import audits, catalogues
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.readiness import holds, notes, rubrics
from pilotage.pipelines.releases import evidence

TEXT = """\
version: 1
pilot: {name}
data: {{source: rows.csv, target: y}}
goal: {{metric: roc_auc}}
{more}
"""
GATE = "gates: [{metric: readiness, min: 2}]"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings.load(home=tmp_path_factory.mktemp("home"))


@pytest.fixture
def pilot(request: pytest.FixtureRequest, installation: Settings, tmp_path: Path) -> str:
    """A pilot with two versions that passed their gates, and no other evidence."""
    name: str = request.node.name.replace("_", "-")[:40].strip("-")
    for number in range(2):
        _add(Registry(installation), name, tmp_path / str(number), True)
    return name


def know(installation: Settings, name: str, more: str = GATE) -> None:
    spec = pilots.parse(TEXT.format(name=name, more=more))
    with tables.connect(installation).begin() as connection:
        catalogues.put(connection, spec, installation.home / name)


def vouch(installation: Settings, name: str) -> None:
    """Half a point for each test: 3.5 in each section."""
    for rule in rubrics.RULES:
        notes.add(tables.connect(installation), name, rule.id, "done by hand", who="ann")


def test_a_gate_refuses_and_names_what_to_earn_and_force_overrules(installation: Settings, pilot: str):
    know(installation, pilot)
    with pytest.raises(errors.PromotionRefused) as refused:
        promotions.promote(installation, pilot, 1, who="ann")
    assert "is below 2" in refused.value.message
    assert "monitoring has 0, earn monitoring-1, monitoring-2" in refused.value.message
    assert f"pilotage readiness {pilot}" in refused.value.remedy
    assert Registry(installation).aliases(pilot) == {}
    promotions.promote(installation, pilot, 1, who="ann", why="we have to", force=True)
    [line] = audits.read(tables.connect(installation), pilot)
    assert (line.action, line.details["forced"]) == ("promote", True)


def test_a_ready_pilot_is_promoted_and_what_was_champion_may_go_back(installation: Settings, pilot: str):
    know(installation, pilot)
    vouch(installation, pilot)
    promotions.promote(installation, pilot, 1, who="ann")
    promotions.promote(installation, pilot, 2, who="ann")
    for note in notes.listed(tables.connect(installation), pilot):
        notes.withdraw(tables.connect(installation), pilot, note.id, who="ann")
    assert promotions.rollback(installation, pilot, who="ann").version == 1
    assert promotions.promote(installation, pilot, 2, who="ann").version == 2


def test_an_approval_does_not_make_a_pilot_ready(installation: Settings, pilot: str):
    know(installation, pilot, GATE + "\napproval: manual")
    engine = tables.connect(installation)
    promotions.record_decision(engine, pilot, 1, Decision.PENDING, "run", "waits", None)
    with pytest.raises(errors.PromotionRefused, match="not ready for production"):
        promotions.approve(installation, pilot, 1, who="ann")
    assert approvals.find(installation, pilot)[0].version == 1
    vouch(installation, pilot)
    holds.catch_up(installation, engine)  # a person is asked, and has not said yes
    assert Registry(installation).aliases(pilot) == {}
    promotions.approve(installation, pilot, 1, who="ann")
    assert Registry(installation).aliases(pilot)[Alias.CHAMPION] == 1


def test_a_setting_asks_by_environment(installation: Settings, pilot: str):
    know(installation, pilot, "")
    strict = installation.model_copy(update={"readiness": {"production": 2.0, "staging": 0.0}})
    registered = Registry(installation).version(pilot, 1)
    promotions.require_releasable(strict, registered, "staging", who="ann")
    promotions.require_releasable(strict, registered, "elsewhere", who="ann")
    with pytest.raises(errors.PromotionRefused, match="PILOTAGE_READINESS, production=2"):
        promotions.require_releasable(strict, registered, "production", who="ann")
    with pytest.raises(errors.PromotionRefused, match="not ready for production"):
        evidence.gather(strict, pilot, 1, "production", by="ann", force=False)
    promotions.require_releasable(strict, registered, "production", who="ann", force=True)


def test_a_pilot_that_nothing_is_known_of_is_not_ready(installation: Settings, pilot: str):
    strict = installation.model_copy(update={"readiness": {"production": 0.5}})
    with pytest.raises(errors.PromotionRefused, match=r"its pilot.yaml is not known here"):
        promotions.promote(strict, pilot, 1, who="ann")


def result(pilot: str) -> RunResult:
    return RunResult(
        run="run", pilot=pilot, state=State.SUCCEEDED, exit_code=0, seconds=1.0, steps=(), version=1,
        decision=Decision.PENDING, reason="waits until the pilot's readiness is judged",
    )  # fmt: skip


def test_a_run_tells_what_holds_its_version_and_the_leader_lets_it_go(installation: Settings, pilot: str):
    know(installation, pilot)
    engine = tables.connect(installation)
    spec = pilots.parse(TEXT.format(name=pilot, more=GATE))
    promotions.record_decision(engine, pilot, 1, Decision.PENDING, "run", "waits", None)
    held = holds.settle(installation, engine, spec, result(pilot))
    assert (held.promoted, held.exit_code, held.gates[-1]["passed"]) == (False, 3, False)
    assert held.gates[-1]["gate"] == "readiness >= 2"
    assert "earn monitoring-1" in held.reason
    holds.catch_up(installation, engine)
    assert Registry(installation).aliases(pilot) == {}
    vouch(installation, pilot)
    holds.catch_up(installation, engine)
    assert Registry(installation).aliases(pilot)[Alias.CHAMPION] == 1
    assert approvals.find(installation, pilot) == []
    assert audits.read(engine, pilot)[0].who == promotions.PLATFORM


def test_a_ready_pilots_version_is_promoted_with_its_run(installation: Settings, pilot: str):
    know(installation, pilot)
    vouch(installation, pilot)
    engine = tables.connect(installation)
    spec = pilots.parse(TEXT.format(name=pilot, more=GATE))
    promotions.record_decision(engine, pilot, 1, Decision.PENDING, "run", "waits", None)
    done = holds.settle(installation, engine, spec, result(pilot))
    assert (done.promoted, done.decision, done.exit_code) == (True, Decision.PROMOTED, 0)
    assert done.gates[-1]["value"] == 3.5


def test_a_rollout_goes_on_until_its_pilot_is_ready(installation: Settings, tmp_path: Path):
    name, storage, registry = "slow", Storage(installation.storage), Registry(installation)
    for version in (1, 2):
        add_version(registry, name, tmp_path / str(version))
    registry.promote(name, 1)
    registry.challenge(name, 2)
    canary = "serve: {rollout: {strategy: canary, steps: [50], pause: 5m, min_requests: 100}}"
    know(installation, name, GATE + "\n" + canary)
    spec = pilots.parse(TEXT.format(name=name, more=GATE + "\n" + canary))
    rollouts.begin(storage, spec, 1, 2, LATER - timedelta(minutes=5))
    serve(storage, name, 0)
    [waits] = controller.settle(name, installation, LATER)
    assert (waits.state, "not ready for production" in waits.reason) == (RolloutState.RUNNING, True)
    assert not controller.due(installation, name, LATER + timedelta(minutes=4))
    vouch(installation, name)
    [done] = controller.settle(name, installation, LATER + timedelta(minutes=6))
    assert done.state is RolloutState.COMPLETED
    assert registry.aliases(name)[Alias.CHAMPION] == 2


def test_steps_do_not_judge_readiness():
    spec = pilots.parse(TEXT.format(name="x", more=GATE))
    assert "readiness" not in {gate.metric for gate in spec.all_gates}
    assert [gate.label for gate in spec.decided_gates] == ["readiness >= 2"]


@pytest.mark.parametrize("wrong", ["{metric: readiness, max: 2}", "{metric: readiness, against: champion}"])
def test_a_gate_on_readiness_says_the_least(wrong: str):
    with pytest.raises(errors.SpecError, match="a gate on `readiness` says `min`"):
        pilots.parse(TEXT.format(name="x", more=f"gates: [{wrong}]"))


@pytest.mark.parametrize("wrong", ["production", "production=much", "production=8", "=2", "production=-1"])
def test_a_setting_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, wrong: str):
    monkeypatch.setenv("PILOTAGE_READINESS", wrong)
    with pytest.raises(errors.SettingsError, match="PILOTAGE_READINESS: has"):
        settings.load()


def test_a_setting_gets_into_other_processes(monkeypatch: pytest.MonkeyPatch):
    from pilotage.pipelines.machines import environments

    monkeypatch.setenv("PILOTAGE_READINESS", "production=2, staging=1.5")
    found = settings.load()
    assert found.readiness == {"production": 2.0, "staging": 1.5}
    assert environments.variables(found)["PILOTAGE_READINESS"] == "production=2.0,staging=1.5"
    monkeypatch.delenv("PILOTAGE_READINESS")
    assert "PILOTAGE_READINESS" not in environments.variables(settings.load())
