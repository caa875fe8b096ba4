"""The watch on a real registry and a real storage: windows in, reports and alarms out."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.serving import small_profiles

from pilotage.core import profiles, storage, window_files, windows
from pilotage.core.artifacts import (
    DriftReport,
    Estimate,
    Feature,
    Latency,
    Model,
    ModelFormat,
    Report,
    Rival,
    Scorecard,
    Skew,
)  # fmt: skip
from pilotage.core.metrics import Task
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings, load
from pilotage.core.specs import Cause, FeatureKind, PilotSpec, Value
from pilotage.core.storage import Storage
from pilotage.core.windows import Window
from pilotage.serving.monitor import watches
from pilotage.serving.monitor import watches as monitor
from pilotage.serving.records.labels import store_labels

EPOCH = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = datetime(2026, 12, 1, tzinfo=UTC)
FEATURES = (
    Feature(name="distance", kind=FeatureKind.NUMBER),
    Feature(name="carrier", kind=FeatureKind.CATEGORY),
    Feature(name="insured", kind=FeatureKind.BOOLEAN),
    Feature(name="booked", kind=FeatureKind.TIME),
)
DIGEST = "0" * 64


def draw(rows: int, seed: int, *, shift: float = 1.0, skill: float = 1.0) -> dict[str, Any]:
    """Rows of one population; `shift` scales the distance, `skill` is how far the score sees."""
    generator = np.random.default_rng(seed)
    distance = generator.gamma(3.0, 300.0, rows)
    distance[generator.random(rows) < 0.05] = np.nan
    late = generator.random(rows) < 0.3
    score = 1 / (1 + np.exp(-(skill * np.where(late, 1.2, -1.2) + generator.normal(0, 1.2, rows))))
    booked = np.datetime64("2025-01-01", "us") + generator.integers(0, 86_400_000, rows) * np.timedelta64(
        1, "ms"
    )
    return {
        "distance": distance * shift,
        "carrier": np.array(generator.choice(["AA", "UA", "DL"], rows, p=[0.5, 0.3, 0.2]), dtype=object),
        "insured": (generator.random(rows) < 0.4).astype(float),
        "booked": booked,
        "score": score,
        "late": late,
    }


@dataclass
class World:
    """A home with one pilot, its registered versions, and what a server would have written."""

    settings: Settings
    registry: Registry
    spec: PilotSpec
    profile: ReferenceProfile

    @property
    def storage(self) -> Storage:
        return Storage(self.settings.storage)

    def serve(
        self, hour: int, rows: dict[str, Any], *, version: int = 1, replica: str = "a", log: bool = True
    ) -> list[str]:
        """Write a window and its row log as a replica does; returns the ids."""
        start = EPOCH + hour * HOUR
        features = {name: part for name, part in rows.items() if name in self.profile.features}
        counts = small_profiles.count_columns(self.profile, {item.name: item for item in FEATURES}, features)
        n = len(rows["score"])
        window = Window(
            pilot="demo", version=version, start=start, end=start + HOUR, rows=n, requests=n, errors=1,
            features={name: tuple(part.tolist()) for name, part in counts.items()},
            score=tuple(self.profile.score.count(rows["score"]).tolist()),
            latency=tuple(windows.count_latencies(np.full(n, 3.0)).tolist()),
            updated_at=start + HOUR,
        )  # fmt: skip
        name = windows.window_name("demo", version, start, replica)
        self.storage.write(name, window_files.encode(window))
        ids = [f"{hour}-{replica}-{row}" for row in range(n)]
        if log:
            table = pa.table(
                {
                    "id": ids,
                    "time": pa.array([start] * n, pa.timestamp("us", "UTC")),
                    "prediction": ["true" if value > 0.5 else "false" for value in rows["score"]],
                    "score": rows["score"],
                    "probabilities": [[1 - value, value] for value in rows["score"].tolist()],
                }
            )
            self.write_rows(windows.rows_name("demo", version, start, replica, 0), table)
        return ids

    def write_rows(self, name: str, table: pa.Table) -> None:
        sink = io.BytesIO()
        pq.write_table(table, sink)
        self.storage.write(name, sink.getvalue())

    def label(self, ids: Sequence[str], late: Sequence[bool]) -> None:
        store_labels(self.storage, "demo", list(ids), [bool(value) for value in late])

    def watch(self, now: datetime = NOW) -> list[DriftReport]:
        return monitor.watch(self.spec, self.settings, registry=self.registry, now=now)


def _register(registry: Registry, folder: Path, profile: ReferenceProfile) -> int:
    run = registry.start_run("demo", "run", {})
    model = Model(
        pilot="demo", digest=DIGEST, format=ModelFormat.SKOPS, estimator="logistic_regression", params={},
        seed=1, features=FEATURES, target="late", task=Task.CLASSIFICATION, classes=(False, True),
        positive=True, snapshot=DIGEST, train_rows=6000, test_rows=1500, validation={}, requirements=(),
        python="3.11", code=DIGEST, created_at=EPOCH,
    )  # fmt: skip
    estimate = Estimate(value=0.92, low=0.91, high=0.93)
    scorecard = Scorecard(
        pilot="demo", model=DIGEST, snapshot=DIGEST, metric="roc_auc", test_rows=1500,
        metrics={"roc_auc": estimate}, baseline=Rival(name="prior", metrics={}, guess=False),
        latency=Latency(p50_ms=1, p90_ms=1, p99_ms=1, calls=1), gates=(), passed=True, created_at=EPOCH,
    )  # fmt: skip
    report = Report(
        pilot="demo", snapshot=DIGEST, suite=DIGEST, drafted=True, success=True, checks=(),
        value_skew=(Skew(column="carrier", message="UA doubled"),), created_at=EPOCH,
    )  # fmt: skip
    inside = folder / "model" / "pilotage"
    model.write(inside)
    profile.write(inside)
    uri = registry.log_model("demo", run, folder / "model", {})
    registry.log_file(run, scorecard.write(folder))
    registry.log_file(run, report.write(folder))
    registry.end_run(run)
    return registry.register("demo", run, uri, {})


@pytest.fixture(scope="module")
def profile() -> ReferenceProfile:
    rows = draw(6000, 1)
    return ReferenceProfile(
        pilot="demo",
        snapshot=DIGEST,
        rows=6000,
        features={item.name: profiles.profile_column(item, rows[item.name]) for item in FEATURES},
        score=profiles.profile_numbers(draw(1500, 2)["score"]),
    )


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, profile: ReferenceProfile) -> Registry:
    folder = tmp_path_factory.mktemp("registry")
    registry = Registry(load(home=folder / "home"))
    for name in ("one", "two"):
        _register(registry, folder / name, profile)
    registry.promote("demo", 1)
    return registry


@pytest.fixture
def world(tmp_path: Path, registry: Registry, profile: ReferenceProfile) -> World:
    spec = PilotSpec.model_validate(
        {
            "version": 1,
            "pilot": "demo",
            "goal": {"metric": "roc_auc"},
            "data": {"source": "x.csv", "target": "late"},
            "monitor": {"window": "1h"},
        }
    )
    return World(load(home=tmp_path / "home"), registry, spec, profile)


def test_undrifted_windows_make_reports_without_alarm(world: World) -> None:
    for hour in range(5):
        world.serve(hour, draw(800, 10 + hour))
    found = world.watch()
    assert [report.start for report in found] == [EPOCH + hour * HOUR for hour in range(5)]
    assert not [alarm for report in found for alarm in report.alarms]
    first = found[0]
    assert (first.rows, first.requests, first.errors) == (800, 800, 1)
    assert first.p99_ms == pytest.approx(3.0, rel=0.25)
    assert [part.feature for part in first.features] == [item.name for item in FEATURES]
    assert first.score is not None
    assert first.value_skew == (Skew(column="carrier", message="UA doubled"),)


def test_a_shift_raises_one_drift_alarm_that_names_the_feature_and_its_effect(world: World) -> None:
    world.serve(0, draw(800, 10, shift=1.6))
    (report,) = world.watch()
    (alarm,) = report.alarms
    assert alarm.cause is Cause.DRIFT
    assert alarm.features == ("distance",)
    assert "`distance`: other values are frequent (PSI" in alarm.message
    assert alarm.end == EPOCH + HOUR
    assert alarm.value is not None
    assert alarm.limit is not None
    assert alarm.value < alarm.limit


def test_watching_again_changes_nothing_and_returns_nothing(world: World) -> None:
    world.serve(0, draw(800, 10, shift=1.6))
    (first,) = world.watch()
    stamps = world.storage.stamps("windows/demo/reports")
    assert world.watch() == []
    assert world.storage.stamps("windows/demo/reports") == stamps
    assert monitor.reports(world.spec, world.settings) == [first]


def test_a_repeated_flush_with_the_same_counts_is_no_change(world: World) -> None:
    world.serve(0, draw(800, 10))
    assert len(world.watch()) == 1
    world.serve(0, draw(800, 10))
    assert world.watch() == []


def test_the_latest_window_stays_open_until_a_later_one_or_the_clock(world: World) -> None:
    world.serve(0, draw(100, 10))
    soon = EPOCH + HOUR + timedelta(minutes=5)
    assert world.watch(soon) == []
    world.serve(1, draw(100, 11))
    assert [report.start for report in world.watch(soon)] == [EPOCH]
    assert [report.start for report in world.watch(EPOCH + 4 * HOUR)] == [EPOCH + HOUR]


def test_a_row_dated_ahead_of_the_clock_closes_nothing(world: World) -> None:
    world.serve(0, draw(300, 10))
    world.serve(5000, draw(1, 11))
    soon = EPOCH + 1.5 * HOUR
    assert world.watch(soon) == []
    world.serve(1, draw(300, 12))
    assert [report.start for report in world.watch(soon)] == [EPOCH]


def test_replicas_add_up_in_any_order_and_a_late_one_changes_the_report(world: World) -> None:
    world.serve(0, draw(400, 10), replica="b")
    world.serve(0, draw(500, 11), replica="a")
    (report,) = world.watch()
    assert report.rows == 900
    world.serve(0, draw(300, 12), replica="c")
    (report,) = world.watch()
    assert report.rows == 1200
    assert len(monitor.reports(world.spec, world.settings)) == 1


def test_labels_that_come_late_partly_twice_or_for_unknown_ids(world: World) -> None:
    rows = draw(1000, 10)
    ids = world.serve(0, rows)
    (report,) = world.watch()
    assert report.performance is None

    world.label(["never-served"], [True])
    assert world.watch() == []

    world.label(ids[:40], rows["late"][:40])
    (report,) = world.watch()
    assert report.performance is not None
    assert (report.performance.value, report.performance.labelled) == (None, 40)

    world.label(ids, rows["late"])
    world.label(ids[:40], rows["late"][:40])
    (report,) = world.watch()
    assert report.performance is not None
    assert (report.performance.labelled, report.performance.rows) == (1000, 1000)
    assert report.performance.value == pytest.approx(0.92, abs=0.02)
    assert not report.alarms
    world.label(ids, rows["late"])
    assert world.watch() == []


def test_the_last_label_of_an_id_counts(world: World) -> None:
    rows = draw(400, 10)
    ids = world.serve(0, rows)
    world.label(ids, ~rows["late"])
    (report,) = world.watch()
    assert report.performance is not None
    assert report.performance.value is not None
    assert report.performance.value < 0.2
    world.label(ids, rows["late"])
    (report,) = world.watch()
    assert report.performance is not None
    assert report.performance.value is not None
    assert report.performance.value > 0.8


def test_money_is_counted_on_labelled_rows_and_again_when_prices_change(world: World) -> None:
    prices = {"true_positive": 12, "false_positive": -3, "false_negative": -8, "currency": "EUR"}
    rows = draw(1000, 60)
    ids = world.serve(0, rows)
    assert world.watch()[0].brought is None
    told, late = rows["score"][:400] > 0.5, rows["late"][:400]
    world.label(ids[:400], late)
    assert world.watch()[0].brought is None
    world = replace(world, spec=_priced(world.spec, prices))
    found = world.watch()[0].brought
    assert found is not None
    hit, wrong, missed = (told & late).sum(), (told & ~late).sum(), (~told & late).sum()
    assert (found.currency, found.labelled) == ("EUR", 400)
    assert found.value == 12 * hit - 3 * wrong - 8 * missed
    assert found.baseline == -8 * late.sum()
    assert found.estimated == pytest.approx(2.5 * (found.value - found.baseline))
    assert found.error is not None
    assert found.error > 0
    assert world.watch() == []
    dearer = replace(world, spec=_priced(world.spec, {**prices, "true_positive": 24})).watch()[0].brought
    assert dearer is not None
    assert dearer.value == found.value + 12 * hit


def _priced(spec: PilotSpec, prices: dict[str, Any]) -> PilotSpec:
    goal = spec.goal.model_copy(update={"value": Value.model_validate(prices)})
    return spec.model_copy(update={"goal": goal})


def test_labels_that_are_no_class_are_left_out_and_counted(world: World) -> None:
    rows = draw(300, 10)
    ids = world.serve(0, rows)
    store_labels(world.storage, "demo", ids, ["?", "?", *(bool(value) for value in rows["late"][2:])])
    (report,) = world.watch()
    assert report.performance is not None
    assert report.performance.labelled == 298
    assert report.performance.reason.startswith("2 labels are none of the model's classes")


def test_performance_that_falls_raises_an_alarm_with_interval(world: World) -> None:
    rows = draw(1000, 10, skill=0.3)
    world.label(world.serve(0, rows), rows["late"])
    (report,) = world.watch()
    causes = {alarm.cause: alarm for alarm in report.alarms}
    assert report.performance is not None
    assert report.performance.dropped
    message = causes[Cause.PERFORMANCE].message
    assert "it was 0.92 when it was evaluated" in message
    assert "95 % interval" in message


def test_alarm_ids_stay_when_the_report_changes(world: World) -> None:
    rows = draw(1000, 10, skill=0.3)
    ids = world.serve(0, rows)
    world.label(ids[:800], rows["late"][:800])
    first = {alarm.cause: alarm.id for report in world.watch() for alarm in report.alarms}
    world.label(ids[800:], rows["late"][800:])
    second = {alarm.cause: alarm.id for report in world.watch() for alarm in report.alarms}
    assert Cause.PERFORMANCE in first
    assert first == second


def test_a_version_that_served_little_and_is_no_champion_raises_no_alarm(world: World) -> None:
    world.serve(0, draw(800, 10))
    world.serve(0, draw(100, 11, shift=3.0), version=2)
    found = {report.version: report for report in world.watch()}
    assert [part.feature for part in found[2].features if part.drifted] == ["distance"]
    assert not found[2].alarms


def test_a_version_that_is_gone_is_left_out(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.serve(0, draw(100, 10), version=9)
    world.serve(0, draw(100, 10))
    assert [report.version for report in world.watch()] == [1]
    assert "no version 9" in caplog.text


def test_broken_files_are_left_out_and_named(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.serve(0, draw(300, 10), replica="a")
    world.storage.write(windows.window_name("demo", 1, EPOCH, "b"), b"{")
    world.storage.write(windows.rows_name("demo", 1, EPOCH, "b", 0), b"PAR1")
    world.storage.write(windows.labels_name("demo", "f" * 64), b"nothing")
    world.storage.write("windows/demo/1/notes/window-a.window", b"{}")
    world.label([f"0-a-{row}" for row in range(300)], draw(300, 10)["late"])
    (report,) = world.watch()
    assert report.rows == 300
    assert report.performance is not None
    assert report.performance.labelled == 300
    assert "is not a window" in caplog.text
    assert "is not a Parquet file" in caplog.text


@pytest.mark.parametrize("writes", range(1, 6))
def test_a_crash_before_any_write_is_made_good_by_the_next_watch(
    world: World, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    world.serve(0, draw(800, 10, shift=1.6))
    left = [writes]

    def dies(self: Storage, name: str, data: bytes) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        storage.write_file(Path(self.location(name)), data)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "write", dies)
        with pytest.raises(KeyboardInterrupt):
            world.watch()
    world.watch()
    (report,) = monitor.reports(world.spec, world.settings)
    assert len(report.alarms) == 1
    folder = windows.reports_folder("demo", 1, EPOCH)
    assert report.evidence[:12] in world.storage.read(f"{folder}/drift.html").decode()
    index = world.storage.read(f"windows/demo/reports/{watches.INDEX}").decode()
    assert "1/20260302T000000Z/drift.html" in index
    assert world.watch() == []


def test_a_report_that_was_damaged_or_deleted_is_made_again(world: World) -> None:
    world.serve(0, draw(800, 10))
    world.watch()
    name = windows.reports_folder("demo", 1, EPOCH) + "/drift.json"
    world.storage.delete(name)
    assert len(world.watch()) == 1
    page = windows.reports_folder("demo", 1, EPOCH) + "/drift.html"
    world.storage.delete(page)
    assert len(world.watch()) == 1
    assert world.storage.exists(page)


def test_other_limits_in_the_spec_judge_all_windows_again(world: World) -> None:
    world.serve(0, draw(800, 10, shift=1.6))
    assert len(world.watch()[0].alarms) == 1
    drift = world.spec.monitor.drift.model_copy(update={"min_effect": 5.0})
    lenient = world.spec.monitor.model_copy(update={"drift": drift})
    world.spec = world.spec.model_copy(update={"monitor": lenient})
    (report,) = world.watch()
    assert not report.alarms


def test_labels_of_a_key_that_is_served_again_and_again_join_by_time(world: World) -> None:
    rows = draw(400, 10)
    for hour in range(2):
        start = EPOCH + hour * HOUR
        world.serve(hour, rows, log=False)
        times = [start + timedelta(seconds=9 * row) for row in range(400)]
        log = pa.table(
            {
                "id": [f"customer-{row % 50}" for row in range(400)],  # each eight times an hour
                "time": pa.array(times, pa.timestamp("us", tz="UTC")),
                "prediction": ["true" if value > 0.5 else "false" for value in rows["score"]],
                "score": rows["score"],
            }
        )
        world.write_rows(windows.rows_name("demo", 1, start, "a", 0), log)
        if hour == 0:
            late = [bool(value) for value in rows["late"]]
            store_labels(
                world.storage, "demo", log["id"].to_pylist(), late, [time.isoformat() for time in times]
            )
    first, second = world.watch()
    assert first.performance is not None
    assert first.performance.labelled == first.performance.rows == 400
    assert first.performance.value == pytest.approx(0.95, abs=0.04)
    assert second.performance is None  # its rows have the same ids and other times


def persistent(world: World, windows_: int) -> World:
    monitor_ = world.spec.monitor
    drift = monitor_.drift.model_copy(update={"persistence": windows_})
    changed = monitor_.model_copy(update={"drift": drift})
    return replace(world, spec=world.spec.model_copy(update={"monitor": changed}))


def test_an_alarm_waits_for_as_many_windows_in_a_row_as_asked(world: World) -> None:
    world = persistent(world, 2)
    for hour, shift in enumerate((1.6, 1.0, 1.6, 1.6, 1.6)):
        world.serve(hour, draw(800, 10 + hour, shift=shift))
    found = world.watch()
    assert [any(part.drifted for part in report.features) for report in found] == [
        True,
        False,
        True,
        True,
        True,
    ]
    assert [bool(report.alarms) for report in found] == [False, False, False, True, True]


def test_a_late_replica_of_an_earlier_window_decides_over_a_later_ones_alarm(world: World) -> None:
    world = persistent(world, 2)
    world.serve(0, draw(100, 10))
    world.serve(1, draw(800, 11, shift=1.6))
    assert not [alarm for report in world.watch() for alarm in report.alarms]
    world.serve(0, draw(3000, 12, shift=1.6), replica="late")
    found = {report.start: report for report in world.watch()}
    assert set(found) == {EPOCH, EPOCH + HOUR}
    assert not found[EPOCH].alarms  # nothing is known of the window before it
    assert [alarm.features for alarm in found[EPOCH + HOUR].alarms] == [("distance",)]
    assert world.watch() == []


def test_one_id_served_twice_counts_once_with_its_last_prediction(world: World) -> None:
    rows = draw(300, 10)
    ids = world.serve(0, rows)
    again = pa.table(
        {
            "id": ids[:1],
            "time": pa.array([EPOCH + timedelta(minutes=30)], pa.timestamp("us", "UTC")),
            "prediction": ["true"],
            "score": [0.99],
            "probabilities": [[0.01, 0.99]],
        }
    )
    world.write_rows(windows.rows_name("demo", 1, EPOCH, "a", 1), again)
    world.label(ids, rows["late"])
    (report,) = world.watch()
    assert report.performance is not None
    assert (report.performance.labelled, report.performance.rows) == (300, 300)


def test_nothing_served_is_nothing_to_say(world: World) -> None:
    assert world.watch() == []
    assert monitor.reports(world.spec, world.settings) == []
    assert not world.storage.exists("windows")


def test_the_stored_report_is_the_one_returned(world: World) -> None:
    world.serve(0, draw(300, 10))
    (report,) = world.watch()
    data = world.storage.read(windows.reports_folder("demo", 1, EPOCH) + "/drift.json")
    assert DriftReport.model_validate_json(data) == report


_ONE_WATCH = """
import sys
from datetime import datetime
from pathlib import Path
from pilotage.core.registry import Registry
from pilotage.core.settings import load
from pilotage.core.specs import PilotSpec
from pilotage.serving.monitor import watches as monitor
home, registry_home, spec, now = sys.argv[1:]
spec = PilotSpec.model_validate_json(spec)
registry = Registry(load(home=Path(registry_home)))
sys.stdout.write("ready\\n")
sys.stdout.flush()
monitor.watch(spec, load(home=Path(home)), registry=registry, now=datetime.fromisoformat(now))
"""


def test_a_watch_killed_at_any_moment_is_carried_on_by_the_next(world: World) -> None:
    for hour in range(12):
        rows = draw(400, 10 + hour, shift=1.6 if hour % 2 else 1.0)
        world.label(world.serve(hour, rows), rows["late"])
    home = Path(world.registry._settings.home)
    arguments = [str(world.settings.home), str(home), world.spec.model_dump_json(), NOW.isoformat()]
    for delay_seconds in (0.05, 0.15, 0.3, 0.6):
        process = subprocess.Popen([sys.executable, "-c", _ONE_WATCH, *arguments], stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(delay_seconds)
        finally:
            process.kill()
            process.communicate()
    world.watch()
    found = monitor.reports(world.spec, world.settings)
    assert [report.start for report in found] == [EPOCH + hour * HOUR for hour in range(12)]
    assert [len(report.alarms) for report in found] == [0, 1] * 6
    assert all(report.performance and report.performance.labelled == 400 for report in found)
    assert world.watch() == []
