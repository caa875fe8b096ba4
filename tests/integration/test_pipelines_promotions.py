"""Promotions, rollbacks and approvals on a real MLflow registry, each with its audit record."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pilotage.core import errors, settings
from pilotage.core.artifacts import Decision, Estimate, Latency, Rival, Scorecard, Verdict
from pilotage.core.registry import Alias, Registry
from pilotage.core.registry.tags import RUN_TAG
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.decisions import approvals, promotions
from pilotage.pipelines.decisions.approvals import ApprovalState
from pilotage.pipelines.journals import audits
from pilotage.pipelines.journals.records import Records

DIGEST = "0" * 64


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One installation for the module: creating MLflow's store takes seconds."""
    return settings.load(home=tmp_path_factory.mktemp("home"))


@pytest.fixture
def pilot(request: pytest.FixtureRequest, installation: Settings, tmp_path: Path) -> str:
    """A pilot with three versions: the first two passed their gates, the third did not."""
    name: str = request.node.name.replace("_", "-")[:40].strip("-")
    for number, passed in enumerate((True, True, False)):
        _add(Registry(installation), name, tmp_path / str(number), passed)
    return name


def _add(registry: Registry, pilot: str, folder: Path, passed: bool) -> None:
    run = registry.start_run(pilot, "run", {RUN_TAG: "run"})
    (folder / "model" / "pilotage").mkdir(parents=True)
    (folder / "model" / "pilotage" / "model.json").write_text("{}")
    uri = registry.log_model(pilot, run, folder / "model", {})
    scorecard = Scorecard(
        pilot=pilot,
        model=DIGEST,
        snapshot=DIGEST,
        metric="roc_auc",
        test_rows=10,
        metrics={"roc_auc": Estimate(value=0.5)},
        baseline=Rival(name="baseline", metrics={"roc_auc": 0.5}),
        latency=Latency(p50_ms=1, p90_ms=1, p99_ms=1, calls=10),
        gates=(Verdict(gate="roc_auc", passed=passed, value=0.5, limit=0.5, reason="not better"),),
        passed=passed,
        created_at=datetime.now(UTC),
    )
    registry.log_file(run, scorecard.write(folder))
    registry.end_run(run)
    registry.register(pilot, run, uri, {})


def _actions(installation: Settings, pilot: str) -> list[tuple[str, int | None, str, str]]:
    lines = audits.read(tables.connect(installation), pilot)
    return [(line.action, line.version, line.who, line.why) for line in reversed(lines)]


def test_a_promotion_moves_the_alias_and_says_who_and_why(installation: Settings, pilot: str):
    first = promotions.promote(installation, pilot, 1, who="ann", why="looks good")
    second = promotions.promote(installation, pilot, 2, who="bob", why="better")
    assert (first.replaced, second.replaced) == (None, 1)
    assert Registry(installation).aliases(pilot) == {Alias.CHAMPION: 2, Alias.PREVIOUS: 1}
    assert _actions(installation, pilot) == [
        ("promote", 1, "ann", "looks good"),
        ("promote", 2, "bob", "better"),
    ]


def test_promoting_the_champion_changes_nothing(installation: Settings, pilot: str):
    promotions.promote(installation, pilot, 1)
    again = promotions.promote(installation, pilot, 1)
    assert not again.changed
    assert len(_actions(installation, pilot)) == 1


def test_a_version_whose_gates_failed_is_promoted_only_by_force(installation: Settings, pilot: str):
    with pytest.raises(errors.PromotionRefused, match="not better"):
        promotions.promote(installation, pilot, 3)
    assert _actions(installation, pilot) == []
    promotions.promote(installation, pilot, 3, force=True)
    assert Registry(installation).aliases(pilot)[Alias.CHAMPION] == 3


def test_an_unknown_version_is_named(installation: Settings, pilot: str):
    with pytest.raises(errors.NotFound, match="no version 9; it has 1, 2, 3"):
        promotions.promote(installation, pilot, 9)


def test_a_rollback_goes_back_once_and_then_says_that_it_cannot(installation: Settings, pilot: str):
    with pytest.raises(errors.NotFound, match="no previous champion"):
        promotions.rollback(installation, pilot)
    promotions.promote(installation, pilot, 1)
    promotions.promote(installation, pilot, 2)
    back = promotions.rollback(installation, pilot, who="ann", why="complaints")
    assert (back.version, back.replaced) == (1, 2)
    with pytest.raises(errors.NotFound, match="pilotage promote"):
        promotions.rollback(installation, pilot)
    assert _actions(installation, pilot)[-1] == ("rollback", 1, "ann", "complaints")


def _ask(installation: Settings, pilot: str, version: int) -> None:
    engine = tables.connect(installation)
    promotions.record_decision(engine, pilot, version, Decision.PENDING, "run", "waits", None)


def test_a_question_is_asked_once_and_a_yes_promotes(installation: Settings, pilot: str):
    _ask(installation, pilot, 1)
    _ask(installation, pilot, 1)
    assert [(item.version, item.state) for item in approvals.find(installation, pilot)] == [
        (1, ApprovalState.PENDING)
    ]
    promotions.approve(installation, pilot, who="ann", why="fine")
    assert Registry(installation).aliases(pilot)[Alias.CHAMPION] == 1
    assert approvals.find(installation, pilot) == []
    assert not promotions.approve(installation, pilot, 1).changed
    assert [action[0] for action in _actions(installation, pilot)] == ["pending", "approve"]


def test_who_asked_for_a_run_does_not_decide_where_two_people_are_asked_for(
    installation: Settings, pilot: str, tmp_path: Path
):
    strict = installation.model_copy(update={"four_eyes": True})
    spec = PilotSpec.model_validate(
        {"version": 1, "pilot": pilot, "data": {"source": "a.csv", "target": "y"}, "goal": {"metric": "r2"}}
    )
    Records(tables.connect(strict)).begin_run(pilot, spec, tmp_path, ("train",), asked_by="ann")
    for version in (1, 2):
        Registry(strict).tag(pilot, version, {RUN_TAG: pilot})
        _ask(strict, pilot, version)
    for decide in (promotions.promote, promotions.approve):
        with pytest.raises(errors.Forbidden, match="`ann` asked for the run"):
            decide(strict, pilot, 1, who="ann")
    assert Registry(strict).aliases(pilot) == {}
    assert promotions.approve(strict, pilot, 1, who="eve").changed
    assert promotions.approve(installation, pilot, 2, who="ann").changed


def test_a_no_keeps_the_version_out_until_it_is_overruled(installation: Settings, pilot: str):
    _ask(installation, pilot, 2)
    Registry(installation).challenge(pilot, 2)
    rejected = promotions.reject(installation, pilot, who="ann", why="not now")
    assert Alias.CHALLENGER not in Registry(installation).aliases(pilot)
    assert (rejected.state, rejected.who, rejected.why) == (ApprovalState.REJECTED, "ann", "not now")
    assert promotions.reject(installation, pilot, 2).who == "ann"
    with pytest.raises(errors.PromotionRefused, match="rejected by ann"):
        promotions.approve(installation, pilot, 2)
    with pytest.raises(errors.PromotionRefused, match="rejected by ann"):
        promotions.promote(installation, pilot, 2)
    promotions.promote(installation, pilot, 2, force=True)
    assert Registry(installation).aliases(pilot)[Alias.CHAMPION] == 2


def test_a_yes_cannot_be_taken_back_by_a_no(installation: Settings, pilot: str):
    _ask(installation, pilot, 1)
    promotions.approve(installation, pilot)
    with pytest.raises(errors.PromotionRefused, match="pilotage rollback"):
        promotions.reject(installation, pilot, 1)


def test_nothing_to_approve_is_an_error(installation: Settings, pilot: str):
    with pytest.raises(errors.NotFound, match="approval: manual"):
        promotions.approve(installation, pilot)


def test_a_promotion_that_the_registry_refuses_leaves_no_audit_record(
    installation: Settings, pilot: str, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise errors.Unavailable("The registry is away.")

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "promote", fail)
        with pytest.raises(errors.Unavailable):
            promotions.promote(installation, pilot, 1)
    assert _actions(installation, pilot) == []
