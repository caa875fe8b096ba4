"""Rollouts settled on a real registry: promoted, halted, killed anywhere, by two controllers at once."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pilotage.console import cli
from pilotage.core import errors, pilots, rollouts, settings
from pilotage.core.artifacts import (
    Comparison,
    Decision,
    Estimate,
    Latency,
    Rival,
    Rollout,
    RolloutState,
    Scorecard,
    Side,
    Verdict,
)  # fmt: skip
from pilotage.core.registry import Alias, Registry
from pilotage.core.registry.clients import RUN_TAG
from pilotage.core.rollouts import Halt
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.pipelines import tables
from pilotage.pipelines.decisions import promotions
from pilotage.pipelines.decisions import rollouts as controller
from pilotage.pipelines.journals import audits

DIGEST = "0" * 64
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


class Killed(BaseException):
    """The controller's process died here."""


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One installation for the module: creating MLflow's store takes seconds."""
    return settings.load(home=tmp_path_factory.mktemp("home"))


@pytest.fixture
def storage(installation: Settings) -> Storage:
    return Storage(installation.storage)


def add_version(registry: Registry, pilot: str, folder: Path) -> int:
    run = registry.start_run(pilot, "run", {RUN_TAG: "run"})
    (folder / "model" / "pilotage").mkdir(parents=True)
    (folder / "model" / "pilotage" / "model.json").write_text("{}")
    uri = registry.log_model(pilot, run, folder / "model", {})
    scorecard = Scorecard(
        pilot=pilot, model=DIGEST, snapshot=DIGEST, metric="roc_auc", test_rows=10,
        metrics={"roc_auc": Estimate(value=0.5)}, baseline=Rival(name="baseline", metrics={"roc_auc": 0.5}),
        latency=Latency(p50_ms=1, p90_ms=1, p99_ms=1, calls=10), passed=True, created_at=NOW,
        gates=(Verdict(gate="roc_auc", passed=True, value=0.5, limit=0.5, reason="better"),),
    )  # fmt: skip
    registry.log_file(run, scorecard.write(folder))
    registry.end_run(run)
    return registry.register(pilot, run, uri, {})


MakePilot = Callable[[], str]


@pytest.fixture
def make(installation: Settings, storage: Storage, tmp_path: Path) -> MakePilot:
    """Pilots with version 1 as champion and version 2 at the first of two steps."""

    def pilot() -> str:
        name = f"flights-{secrets.token_hex(4)}"
        registry = Registry(installation)
        for version in (1, 2):
            add_version(registry, name, tmp_path / name / str(version))
        registry.promote(name, 1)
        registry.challenge(name, 2)
        spec = pilots.parse(
            f"version: 1\npilot: {name}\ndata: {{source: a.csv, target: late}}\ngoal: {{metric: roc_auc}}\n"
            "serve: {rollout: {strategy: canary, pause: 5m, min_requests: 100}}\n"
        )
        rollouts.begin(storage, spec, 1, 2, NOW)
        return name

    return pilot


def serve(storage: Storage, pilot: str, step: int, failures: int = 0) -> None:
    """Leave what a replica counts in a step."""
    found = Comparison(
        pilot=pilot, step=step, champion=Side(requests=500), challenger=Side(requests=100, failures=failures)
    )
    storage.write(rollouts.comparison_name(pilot, 2, "a"), found.model_dump_json().encode())


def record(storage: Storage, pilot: str) -> Rollout:
    found = rollouts.read(storage, pilot, 2)
    assert found is not None
    return found


def actions(installation: Settings, pilot: str) -> list[tuple[str, int | None, str]]:
    lines = audits.read(tables.connect(installation), pilot)
    return [(line.action, line.version, line.who) for line in reversed(lines)]


def assert_promoted(installation: Settings, storage: Storage, pilot: str) -> None:
    done = record(storage, pilot)
    assert (done.state, done.ended_at is not None) == (RolloutState.COMPLETED, True)
    assert Registry(installation).aliases(pilot) == {Alias.CHAMPION: 2, Alias.PREVIOUS: 1}
    assert Registry(installation).version(pilot, 2).tags[rollouts.TAG].startswith("completed")


def assert_halted(installation: Settings, storage: Storage, pilot: str) -> None:
    done = record(storage, pilot)
    assert (done.state, done.ended_at is not None) == (RolloutState.HALTED, True)
    assert Registry(installation).aliases(pilot) == {Alias.CHAMPION: 1}
    tags = Registry(installation).version(pilot, 2).tags
    assert tags[rollouts.TAG] == f"halted: {done.reason}"
    assert tags["pilotage.decision"] == "refused"


def test_a_good_challenger_goes_step_by_step_to_champion(
    installation: Settings, storage: Storage, make: MakePilot
) -> None:
    pilot = make()
    controller.settle(pilot, installation, NOW + timedelta(minutes=1))
    assert record(storage, pilot).step == 0
    serve(storage, pilot, 0)
    assert not controller.due(installation, pilot, LATER - timedelta(seconds=1))
    assert controller.due(installation, pilot, LATER)
    controller.settle(pilot, installation, LATER)
    second = record(storage, pilot)
    assert (second.step, second.share, second.step_started_at) == (1, 50, LATER)
    assert [(stage.share, stage.measured.requests) for stage in second.stages if stage.measured] == [
        (10, 100)
    ]
    controller.settle(pilot, installation, LATER + timedelta(days=1))
    assert record(storage, pilot).step == 1, "counts of the first step let it pass the second"
    serve(storage, pilot, 1)
    controller.settle(pilot, installation, LATER + timedelta(minutes=5))
    assert_promoted(installation, storage, pilot)
    assert actions(installation, pilot) == [("promoted", 2, promotions.PLATFORM)]
    assert not controller.due(installation, pilot, LATER + timedelta(days=1))
    assert controller.settle(pilot, installation, LATER + timedelta(days=1)) == []


def test_a_bad_challenger_is_taken_back(installation: Settings, storage: Storage, make: MakePilot) -> None:
    pilot = make()
    serve(storage, pilot, 0, failures=20)
    assert controller.due(installation, pilot, NOW)
    controller.settle(pilot, installation, NOW + timedelta(seconds=1))
    assert_halted(installation, storage, pilot)
    assert "20 of 100 requests failed" in record(storage, pilot).reason
    assert actions(installation, pilot) == [("halt", 2, promotions.PLATFORM)]


def test_a_server_that_stopped_takes_it_back(
    installation: Settings, storage: Storage, make: MakePilot
) -> None:
    pilot = make()
    halt = Halt(replica="a", reason="it broke", at=NOW)
    storage.write(rollouts.halt_name(pilot, 2, "a"), halt.model_dump_json().encode())
    controller.settle(pilot, installation, NOW)
    assert_halted(installation, storage, pilot)
    assert record(storage, pilot).reason == "it broke"


@pytest.mark.parametrize("failures", [0, 20], ids=["promoted", "halted"])
def test_a_controller_that_is_killed_at_any_write_is_followed_by_one_that_finishes(
    installation: Settings, storage: Storage, make: MakePilot, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    moment = LATER + timedelta(minutes=5)
    writes = [
        (Storage, "write"), (Registry, "promote"), (Registry, "withdraw"), (Registry, "tag"),
        (audits, "write"),
    ]  # fmt: skip
    survived = False
    crash = 0
    while not survived:
        crash += 1
        pilot = make()
        rollouts.write(storage, record(storage, pilot).model_copy(update={"step": 1}))
        serve(storage, pilot, 1, failures)
        with monkeypatch.context() as patch:
            count = _kill_at(patch, writes, crash)
            try:
                controller.settle(pilot, installation, moment)
                survived = True
            except Killed:
                assert count[0] == crash
        controller.settle(pilot, installation, moment)
        (assert_halted if failures else assert_promoted)(installation, storage, pilot)
        told = [action for action, _, _ in actions(installation, pilot)]
        assert told.count("halt") == (1 if failures else 0)
        assert told.count("promoted") <= 1
    assert crash > 4


def _kill_at(patch: pytest.MonkeyPatch, writes: list[tuple[Any, str]], crash: int) -> list[int]:
    """Die before the `crash`-th of all writes."""
    count = [0]
    for owner, name in writes:
        real = getattr(owner, name)

        def write(*given: Any, _real: Any = real, **named: Any) -> Any:
            count[0] += 1
            if count[0] == crash:
                raise Killed
            return _real(*given, **named)

        patch.setattr(owner, name, write)
    return count


def test_two_controllers_at_once_promote_once(
    installation: Settings, storage: Storage, make: MakePilot
) -> None:
    pilot = make()
    rollouts.write(storage, record(storage, pilot).model_copy(update={"step": 1}))
    serve(storage, pilot, 1)
    moment = LATER + timedelta(minutes=5)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: controller.settle(pilot, installation, moment), range(16)))
    controller.settle(pilot, installation, moment)
    assert_promoted(installation, storage, pilot)
    assert actions(installation, pilot) == [("promoted", 2, promotions.PLATFORM)]


def test_a_clock_that_was_put_back_begins_the_step_anew(
    installation: Settings, storage: Storage, make: MakePilot
) -> None:
    pilot = make()
    serve(storage, pilot, 0)
    yesterday = NOW - timedelta(days=1)
    controller.settle(pilot, installation, yesterday)
    assert record(storage, pilot).step_started_at == yesterday
    controller.settle(pilot, installation, yesterday + timedelta(minutes=4))
    assert record(storage, pilot).step == 0
    controller.settle(pilot, installation, yesterday + timedelta(minutes=5))
    assert record(storage, pilot).step == 1


def test_a_promotion_by_a_person_ends_the_rollout(
    installation: Settings, storage: Storage, make: MakePilot
) -> None:
    pilot = make()
    promotions.promote(installation, pilot, 2, who="ann", why="in a hurry")
    controller.settle(pilot, installation, NOW)
    assert_promoted(installation, storage, pilot)
    assert actions(installation, pilot) == [("promote", 2, "ann")]


def test_a_person_takes_the_challenger_back(
    installation: Settings, storage: Storage, make: MakePilot
) -> None:
    pilot = make()
    halted = controller.halt(installation, pilot, who="ann", why="complaints")
    assert halted is not None
    assert_halted(installation, storage, pilot)
    assert halted.reason == "taken back by ann: complaints"
    assert actions(installation, pilot) == [("halt", 2, "ann")]
    assert controller.halt(installation, pilot, who="ann") is None


def test_a_version_that_was_rejected_is_kept_out(
    installation: Settings, storage: Storage, make: MakePilot
) -> None:
    pilot = make()
    assert controller.reject(installation, pilot, 1, who="ann") is None
    assert controller.reject(installation, pilot, who="ann", why="ugly") is not None
    assert_halted(installation, storage, pilot)
    with pytest.raises(errors.PromotionRefused, match="rejected by ann"):
        promotions.promote(installation, pilot, 2)
    assert [action for action, _, _ in actions(installation, pilot)] == ["halt", "reject"]


def test_a_rollout_whose_version_was_rejected_meanwhile_is_halted(
    installation: Settings, storage: Storage, make: MakePilot
) -> None:
    pilot = make()
    promotions.turn_down(installation, pilot, 2, who="ann")
    rollouts.write(storage, record(storage, pilot).model_copy(update={"step": 1}))
    serve(storage, pilot, 1)
    controller.settle(pilot, installation, LATER)
    assert_halted(installation, storage, pilot)
    assert "rejected by ann" in record(storage, pilot).reason


def test_a_newer_challenger_takes_the_place_of_the_older(
    installation: Settings, storage: Storage, make: MakePilot, tmp_path: Path
) -> None:
    pilot = make()
    registry = Registry(installation)
    registry.challenge(pilot, add_version(registry, pilot, tmp_path / "third"))
    controller.settle(pilot, installation, NOW)
    assert record(storage, pilot).reason == "version 3 took its place"
    assert registry.aliases(pilot) == {Alias.CHAMPION: 1, Alias.CHALLENGER: 3}


def test_an_older_rollout_that_is_settled_late_leaves_the_new_champion_its_tags(
    installation: Settings, storage: Storage, make: MakePilot
) -> None:
    pilot = make()
    promotions.promote(installation, pilot, 2, who="ann")
    rollouts.write(storage, record(storage, pilot).model_copy(update={"state": RolloutState.HALTED}))
    controller.settle(pilot, installation, NOW)
    registry = Registry(installation)
    assert registry.aliases(pilot)[Alias.CHAMPION] == 2
    assert registry.version(pilot, 2).tags["pilotage.decision"] == Decision.PROMOTED.value


def test_nothing_is_due_without_a_rollout(installation: Settings) -> None:
    assert not controller.due(installation, "unheard-of")
    assert controller.settle("unheard-of", installation) == []


def call(capfd: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The JSON that a command prints."""
    assert cli.run([*arguments, "--json"]) == 0
    document: dict[str, Any] = json.loads(capfd.readouterr().out)
    return document


@pytest.fixture
def at_home(installation: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands work on the module's installation."""
    monkeypatch.setenv("PILOTAGE_HOME", str(installation.home))


def test_the_command_shows_a_rollout_with_its_figures(
    at_home: None, storage: Storage, make: MakePilot, capfd: pytest.CaptureFixture[str]
) -> None:
    pilot = make()
    serve(storage, pilot, 0, failures=1)
    (shown,) = call(capfd, "rollouts", pilot)["rollouts"]
    assert (shown["state"], shown["share"], shown["challenger"]) == ("running", 10, 2)
    assert (shown["measured"]["requests"], shown["measured"]["errors"]) == (100, 0.01)
    assert cli.run(["rollouts", pilot]) == 0
    text = capfd.readouterr().out
    assert "running" in text
    assert "failed requests beyond the champion's: 1.00% (bound 1.0%)" in text


def test_commands_promote_take_back_and_reject_what_is_rolled_out(
    at_home: None,
    installation: Settings,
    storage: Storage,
    make: MakePilot,
    capfd: pytest.CaptureFixture[str],
) -> None:
    hurried, regretted, refused = make(), make(), make()
    assert call(capfd, "promote", hurried, "2")["changed"]
    assert_promoted(installation, storage, hurried)
    assert call(capfd, "rollback", regretted, "--who", "ann")["version"] == 1
    assert_halted(installation, storage, regretted)
    assert call(capfd, "reject", refused, "--who", "ann")["state"] == "halted"
    assert_halted(installation, storage, refused)
    assert cli.run(["promote", refused, "2"]) == errors.ExitCode.REFUSED
    assert call(capfd, "rollback", hurried)["version"] == 1, "without a rollout it is the champion's turn"
