"""The demo's figures are computed right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pilotage.console.demo import tallies
from pilotage.console.demo.observers import Retraining
from pilotage.console.demo.replays import Exchange
from pilotage.core.artifacts import Trigger, TriggerState
from pilotage.core.specs import Cause

APRIL = datetime(2013, 4, 28, tzinfo=UTC)


def exchange(first: int, version: int, *, status: int = 200, took: float = 10.0) -> Exchange:
    """An exchange of one row."""
    return Exchange(first=first, rows=1, milliseconds=took, status=status, version=version)


def retraining(version: int | None, *, promoted: bool = True) -> Retraining:
    """A retraining that ended."""
    trigger = Trigger(
        id="t1",
        pilot="flight-delay",
        version=1,
        cause=Cause.DRIFT,
        alarm="a1",
        at=APRIL,
        reason="drift",
        state=TriggerState.DONE,
    )
    return Retraining(trigger, "succeeded", "r1", version, promoted, "every gate passed", 9.0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=60))
def test_auc_is_scikit_learns_ties_included(pairs: list[tuple[bool, int]]) -> None:
    labels = np.array([label for label, _ in pairs])
    scores = np.array([score / 6 for _, score in pairs])
    found = tallies.auc(labels, scores)
    if labels.all() or not labels.any():
        assert found is None
    else:
        assert found == pytest.approx(roc_auc_score(labels, scores))


def test_auc_leaves_out_rows_without_a_score() -> None:
    labels = np.array([True, False, False])
    assert tallies.auc(labels, np.array([0.9, np.nan, 0.1])) == 1.0


def test_months_count_requests_failures_and_versions() -> None:
    times = pl.Series([APRIL + timedelta(days=day) for day in range(6)])
    labels = np.array([True, False, True, True, False, False])
    first = np.array([0.9, 0.1, 0.2, 0.3, 0.5, 0.6])
    exchanges = [exchange(0, 1), exchange(1, 1), exchange(2, 1, took=30.0), exchange(3, 2), exchange(4, 2)]
    exchanges.append(exchange(5, 0, status=503))
    april, may = tallies.months(times, labels, first, first, exchanges, [], [retraining(2)])
    assert (april.month, april.requests, april.failed) == ("2013-04", 3, 0)
    assert (april.versions, april.retrainings) == ((1,), 1)
    assert april.auc_first == 1.0
    assert april.p99_ms == pytest.approx(29.6)
    assert (may.month, may.requests, may.failed, may.versions) == ("2013-05", 3, 1, (2,))
    assert may.auc_live == 0.0


def test_the_comparison_begins_with_the_first_answer_of_a_retrained_version() -> None:
    labels = np.array([True, False, True, False])
    live, first = np.array([0.1, 0.9, 0.9, 0.1]), np.array([0.9, 0.1, 0.1, 0.9])
    exchanges = [exchange(0, 1), exchange(1, 1), exchange(2, 3), exchange(3, 3)]
    found = tallies.comparison(labels, first, live, exchanges)
    assert found == tallies.Comparison(rows=2, auc_first=0.0, auc_live=1.0)
    assert tallies.comparison(labels, first, live, exchanges[:2]) is None


def test_promotions_name_what_they_replaced_and_from_when() -> None:
    times = pl.Series([APRIL, APRIL + timedelta(days=1)])
    exchanges = [exchange(0, 1), exchange(1, 2)]
    done = [retraining(2), retraining(3, promoted=False), retraining(4)]
    found = tallies.promotions(exchanges, done, times, 1)
    assert [(item["version"], item["replaced"]) for item in found] == [(2, 1), (4, 2)]
    assert [item["live_from"] for item in found] == ["2013-04-29T00:00:00+00:00", None]
