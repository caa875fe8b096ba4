"""The committed JSON schemas are those of the models, and artifacts read back what they wrote."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

import pilotage.core.schemas as committed
from pilotage.core import errors
from pilotage.core.artifacts import Alarm, Release
from pilotage.core.metrics import METRICS, Task, task_of
from pilotage.core.schemas.__main__ import current
from pilotage.core.specs import Cause

FOLDER = Path(committed.__file__).parent


@pytest.mark.parametrize("name", sorted(current()))
def test_a_committed_schema_is_current(name: str) -> None:
    stored = json.loads((FOLDER / name).read_text())
    assert stored == json.loads(json.dumps(current()[name])), "run `python -m pilotage.core.schemas`"


def test_no_schema_is_left_over() -> None:
    assert {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.json")} == set(current())


def test_an_artifact_reads_back_from_its_folder(tmp_path: Path) -> None:
    alarm = Alarm(
        id="x",
        pilot="a",
        version=1,
        cause=Cause.DRIFT,
        start=datetime(2013, 1, 1, tzinfo=UTC),
        end=datetime(2013, 1, 8, tzinfo=UTC),
        message="`distance` drifted",
    )
    alarm.write(tmp_path)
    assert Alarm.read(tmp_path) == alarm
    assert Alarm.read(tmp_path).content_digest == alarm.content_digest


def test_a_missing_artifact_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound, match=r"alarm\.json"):
        Alarm.read(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"kind": "release", "schema_version": 2}'])
def test_another_content_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / Release.FILE).write_text(text)
    with pytest.raises(errors.DataError, match="not a Release"):
        Release.read(tmp_path)


def test_every_metric_is_a_scorer_of_scikit_learn() -> None:
    from sklearn.metrics import get_scorer_names

    assert set(get_scorer_names()) >= METRICS


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("metric", sorted(METRICS))
def test_a_metric_belongs_to_the_task_that_its_scorer_takes(metric: str) -> None:
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.metrics import get_scorer

    features, numbers, classes = [[0.0], [1.0], [2.0], [3.0]], [1.0, 2.0, 3.0, 4.5], [0, 1, 0, 1]
    if task_of(metric) is Task.REGRESSION:
        score = get_scorer(metric)(DummyRegressor().fit(features, numbers), features, numbers)
    else:
        score = get_scorer(metric)(
            DummyClassifier(strategy="uniform").fit(features, classes), features, classes
        )
    assert isinstance(float(score), float)
