"""A trained version, what its server recorded, and a monitor that says what happened: all of it real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pilotage.core import features, pilots, settings
from pilotage.core.artifacts import ChangeKind, DriftReport
from pilotage.core.pilots import Pilot
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import Cause
from pilotage.core.storage import Storage
from pilotage.pipelines.execution import runs
from pilotage.serving.monitor import watches
from pilotage.serving.monitor.causes.causes import CONCEPT
from pilotage.serving.records.labels import store_labels
from pilotage.serving.records.recorders import Recorder
from pilotage.serving.records.servings import Served
from pilotage.serving.versions import lives
from pilotage.serving.versions.lives import Live

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROWS = 900
PILOT = """
version: 1
pilot: parcels
goal: {metric: roc_auc}
data: {source: parcels.csv, target: late}
train: {estimator: logistic_regression}
monitor: {window: 1h}
"""


def parcels(rows: int, seed: int) -> pd.DataFrame:
    """Parcels: distance and time taken go together, and both with how late they are."""
    generator = np.random.default_rng(seed)
    distance = generator.gamma(3.0, 200.0, rows)
    taken = distance / 60 + generator.normal(0, 1.0, rows)
    carrier = generator.choice(["air", "rail", "road"], rows, p=[0.2, 0.3, 0.5])
    chance = 1 / (1 + np.exp(-(distance / 250 - 3 + np.where(carrier == "road", 1.0, 0.0))))
    return pd.DataFrame(
        {
            "distance": distance.round(1),
            "taken": taken.round(3),
            "carrier": carrier,
            "weight": generator.lognormal(0, 1, rows).round(3),
            "late": generator.random(rows) < chance,
        }
    )


@dataclass
class World:
    settings: Settings
    pilot: Pilot
    live: Live
    recorder: Recorder

    def serve(self, hour: int, rows: pd.DataFrame, *, labelled: bool = False) -> None:
        """Record an hour's rows as the server does, with their labels if they have come."""
        start, count = BEGIN + hour * HOUR, len(rows)
        wanted = self.live.model.features
        told = [
            {str(name): value for name, value in row.items()}
            for row in rows[[feature.name for feature in wanted]].to_dict("records")
        ]
        columns = features.from_rows(wanted, told)
        ids: list[str | None] = [f"{hour}-{row}" for row in range(count)]
        self.recorder.record(
            Served(
                live=self.live,
                rows=count,
                columns=columns,
                ids=ids,
                times=np.full(count, np.datetime64(start.replace(tzinfo=None), "us")),
                prediction=self.live.predictor.predict(columns),
                sizes=[count],
                latencies_ms=[1.0],
                arrived=start,
            )
        )
        if labelled:
            store_labels(Storage(self.settings.storage), "parcels", ids, rows["late"].tolist())

    def watch(self) -> list[DriftReport]:
        self.recorder.drain()
        self.recorder.flush()
        return watches.watch(self.pilot.spec, self.settings, now=datetime.now(UTC) + 2 * HOUR)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Pilot]:
    folder = tmp_path_factory.mktemp("parcels")
    parcels(8000, 1).to_csv(folder / "parcels.csv", index=False)
    (folder / pilots.FILE_NAME).write_text(PILOT)
    home, pilot = settings.load(home=folder / "home"), pilots.load(folder)
    assert runs.run(pilot.spec, folder, home).promoted
    return home, pilot


@pytest.fixture
def world(tmp_path: Path, trained: tuple[Settings, Pilot]) -> World:
    home, pilot = trained
    here = home.model_copy(update={"storage_url": str(tmp_path / "storage")})
    registry = Registry(home)
    champion = registry.champion("parcels")
    assert champion is not None
    live = lives.load(registry, here, champion)
    recorder = Recorder("parcels", HOUR, here, Storage(here.storage), 10**6)
    return World(here, pilot, live, recorder)


def causes_of(reports: Sequence[DriftReport]) -> list[list[Cause]]:
    return [[alarm.cause for alarm in report.alarms] for report in reports]


def test_quiet_hours_raise_no_alarm_and_estimates_are_close_to_what_comes_true(world: World) -> None:
    for hour in range(5):
        world.serve(hour, parcels(ROWS, 10 + hour), labelled=True)
    found = world.watch()
    assert causes_of(found) == [[]] * 5
    for report in found:
        assert report.estimated is not None
        assert report.performance is not None
        assert report.estimated.value == pytest.approx(report.performance.value, abs=0.05)
        assert report.estimated.value is not None
        assert report.estimated.low is not None
        assert report.estimated.high is not None
        assert report.estimated.low < report.estimated.value < report.estimated.high
        assert report.multivariate is not None
        assert not report.rows_drifted
        assert "spent on rows as a whole" in report.method
        assert not report.changes
    assert [report.track.windows if report.track else None for report in found] == [0, 1, 2, 3, 4]
    importances = {part.feature: part.importance for part in found[0].features}
    assert importances["distance"] is not None
    assert importances["weight"] is not None
    assert importances["distance"] > 5 * importances["weight"]


def test_an_alarm_says_that_the_unit_changed_and_what_that_did_to_the_scores(world: World) -> None:
    rows = parcels(ROWS, 20)
    rows["distance"] = rows["distance"] * 1.609344
    world.serve(0, rows)
    (report,) = world.watch()
    (alarm,) = report.alarms
    assert alarm.features[0] in {"distance", "score"}
    assert ChangeKind.UNIT in {change.kind for change in report.changes if change.feature == "distance"}
    (change,) = (change for change in report.changes if change.feature == "distance")
    assert change.message in alarm.message
    assert report.contributions[0].feature == "distance"
    assert report.contributions[0].value > 3 * report.contributions[0].error
    assert "The mean score moved by +" in alarm.message
    (part,) = (part for part in report.features if part.feature == "distance")
    assert "values lie outside of training's range, half of them from" in part.reason
    assert part.wasserstein is not None
    assert part.wasserstein == pytest.approx(0.609 * rows["distance"].mean() / 1.609 / 346, rel=0.25)


def test_what_no_column_shows_is_seen_in_whole_rows(world: World) -> None:
    rows = parcels(2000, 30)
    rows["taken"] = np.random.default_rng(0).permutation(rows["taken"].to_numpy())
    for part in range(4):  # of several replicas' worth of rows, for the sample is bounded
        world.serve(0, rows[part * 500 : (part + 1) * 500].reset_index(drop=True))
    (report,) = world.watch()
    assert not [part.feature for part in report.features if part.drifted]
    assert report.rows_drifted
    (alarm,) = report.alarms
    assert alarm.cause is Cause.DRIFT
    assert alarm.features == ()
    assert "Rows as a whole differ" in alarm.message


def test_labels_show_where_the_model_fails(world: World) -> None:
    rows = parcels(3000, 40)
    rail = (rows["carrier"] == "rail").to_numpy()
    rows.loc[rail, "late"] = ~rows.loc[rail, "late"]
    world.serve(0, rows, labelled=True)
    (report,) = world.watch()
    assert Cause.PERFORMANCE in causes_of([report])[0]
    assert any("rail" in segment.description for segment in report.segments)
    (unexplained,) = (part for part in report.loss_contributions if part.feature == CONCEPT)
    assert unexplained.value > 3 * unexplained.error
    assert unexplained == report.loss_contributions[0]


def test_without_samples_windows_are_judged_all_the_same(world: World) -> None:
    without = world.settings.model_copy(update={"feature_sample": 0})
    recorder = Recorder("parcels", HOUR, without, Storage(without.storage), 10**6)
    rows = parcels(ROWS, 20)
    rows["distance"] = rows["distance"] * 1.609344
    World(without, world.pilot, world.live, recorder).serve(0, rows)
    recorder.drain()
    recorder.flush()
    (report,) = world.watch()
    assert "distance" in report.alarms[0].features
    assert (report.estimated, report.multivariate, report.changes) == (None, None, ())
