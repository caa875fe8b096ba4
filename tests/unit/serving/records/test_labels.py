"""Labels are kept once, as text, or refused by position."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilotage.core import errors
from pilotage.core.storage import Storage
from pilotage.serving.records.labels import store_labels


def stored(storage: Storage) -> list[dict[str, str]]:
    return [
        row
        for name in storage.names("windows/flights/labels")
        for row in pq.read_table(io.BytesIO(storage.read(name))).to_pylist()
    ]


def test_labels_are_text_as_the_log_spells_predictions(storage: Storage) -> None:
    given_labels = [True, False, 1, 1.0, 2.5, "on time", np.int64(3), np.float64(0.5)]
    assert store_labels(storage, "flights", list(range(8)), given_labels) == 8
    labels = [row["label"] for row in stored(storage)]
    assert labels == ["true", "false", "1", "1", "2.5", "on time", "3", "0.5"]
    assert [row["id"] for row in stored(storage)] == [str(value) for value in range(8)]


def test_the_same_batch_again_is_the_same_file(storage: Storage) -> None:
    for _ in range(3):
        assert store_labels(storage, "flights", ["a", "b"], [1, 0]) == 2
    assert len(storage.names("windows/flights/labels")) == 1
    store_labels(storage, "flights", ["a", "b"], [1, 1])
    assert len(storage.names("windows/flights/labels")) == 2


def test_no_labels_leave_no_file(storage: Storage) -> None:
    assert store_labels(storage, "flights", [], []) == 0
    assert storage.names("windows") == []


@pytest.mark.parametrize(
    ("ids", "labels", "message"),
    [
        pytest.param(["a"], [1, 2], "1 ids and 2 labels", id="lengths"),
        pytest.param(["a", None], [1, 2], "Row 1: id is None", id="no-id"),
        pytest.param(["a", ""], [1, 2], "Row 1: id is ''", id="empty-id"),
        pytest.param(["a", True], [1, 2], "Row 1: id is True", id="boolean-id"),
        pytest.param(["a", 1.5], [1, 2], "Row 1: id is 1.5", id="fraction-id"),
        pytest.param(["a", "b"], [1, None], "Row 1: label is None", id="no-label"),
        pytest.param(["a", "b"], [1, [2]], "Row 1: label is", id="list-label"),
        pytest.param(["a", "b"], [1, float("nan")], "Row 1: label is nan", id="nan"),
    ],
)
def test_a_wrong_batch_is_refused_whole(
    storage: Storage, ids: list[Any], labels: list[Any], message: str
) -> None:
    with pytest.raises(errors.RequestError, match=message.replace("[", r"\[")):
        store_labels(storage, "flights", ids, labels)
    assert storage.names("windows") == []


def test_batches_at_the_same_time_are_all_kept(storage: Storage) -> None:
    with ThreadPoolExecutor(8) as pool:
        batches = [([f"{batch}-{row}" for row in range(20)], [1] * 20) for batch in range(40)]
        counts = list(pool.map(lambda batch: store_labels(storage, "flights", *batch), batches * 2))
    assert counts == [20] * 80
    assert len(stored(storage)) == 800


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(st.text(min_size=1), st.text()), min_size=1, max_size=5))
def test_any_text_comes_back_as_it_was(storage: Storage, rows: list[tuple[str, str]]) -> None:
    for name in storage.names("windows"):
        storage.delete(name)
    ids, labels = [row[0] for row in rows], [row[1] for row in rows]
    store_labels(storage, "flights", ids, labels)
    assert [(row["id"], row["label"]) for row in stored(storage)] == rows
