"""Sketches keep what they promise, whatever they are made and merged from."""

from __future__ import annotations

import subprocess
import sys
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.core.windows import Sketches
from pilotage.serving.records import sketches
from pilotage.serving.records.sketches import Numbers, Texts


def of_numbers(values: np.ndarray) -> Sketches:
    numbers = Numbers()
    numbers.add(values)
    return (numbers.data(),)


def of_texts(values: list[str]) -> Sketches:
    texts = Texts()
    texts.add(values)
    return (texts.data(),)


def test_quantiles_of_many_windows_are_within_their_error() -> None:
    random = np.random.default_rng(0)
    parts = [random.gamma(2.0, 3.0, 5000) for _ in range(50)]
    values = np.sort(np.concatenate(parts))
    shares = [0.05, 0.25, 0.5, 0.75, 0.95]
    found = sketches.quantiles(tuple(part for values in parts for part in of_numbers(values)), shares)
    ranks = np.searchsorted(values, found.values, side="right") / len(values)
    assert found.size == len(values)
    assert found.error < 0.025
    assert np.abs(ranks - shares).max() < 2 * found.error


def test_equal_values_count_in_full() -> None:
    held = of_numbers(np.repeat([1.0, 2.0, 3.0], [100, 800, 100]))
    assert sketches.quantiles(held, [0.15, 0.5, 0.85]).values == (2.0, 2.0, 2.0)


def test_values_beyond_what_waits_are_folded_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sketches, "_MOST_WAITING", 10)
    numbers, texts = Numbers(), Texts()
    for begin in range(0, 100, 7):
        numbers.add(np.arange(begin, begin + 7.0))
        texts.add(f"{k}" for k in range(begin, begin + 7))
        assert len(numbers._waiting) < 10
        assert len(texts._waiting) < 17
    assert sketches.quantiles((numbers.data(),), [1.0])[:2] == (105, (104.0,))
    assert sketches.distinct((texts.data(),)).estimate == pytest.approx(105, rel=0.15)


def test_a_repeated_read_of_a_sketch_changes_nothing() -> None:
    numbers, texts = Numbers(), Texts()
    numbers.add(np.arange(10_000.0))
    texts.add(map(str, range(1000)))
    assert numbers.data() == numbers.data()
    assert texts.data() == texts.data()


@given(st.lists(st.sets(st.text(max_size=3), max_size=20), min_size=1, max_size=5), st.randoms())
@settings(deadline=None, max_examples=30)
def test_distinct_counts_do_not_depend_on_order_or_repetition(parts: list[set[str]], random: Random) -> None:
    held = [part for values in parts for part in of_texts(sorted(values))]
    shuffled = held * 2
    random.shuffle(shuffled)
    one, two = sketches.distinct(tuple(held)), sketches.distinct(tuple(shuffled))
    assert one.estimate == pytest.approx(two.estimate, rel=0.02)
    truth = len(set().union(*parts))
    assert one.estimate == pytest.approx(truth, rel=0.2, abs=0.1)


def test_text_that_is_no_unicode_is_counted_too() -> None:
    assert sketches.distinct(of_texts(["\ud800", "a"])).estimate == pytest.approx(2, abs=0.01)


def test_many_columns_beyond_their_range_share_what_a_window_may_take() -> None:
    def filled() -> Numbers:
        numbers = Numbers()
        numbers.add(np.random.default_rng(0).normal(size=50_000))
        return numbers

    few = sketches.fitting({str(k): filled() for k in range(3)})
    many = sketches.fitting({str(k): filled() for k in range(80)})
    assert sum(len(part) for parts in many.values() for part in parts) <= sketches.MOST_BYTES
    assert len(few["0"][0]) > len(many["0"][0])
    assert sketches.quantiles(many["0"], [0.5]).values[0] == pytest.approx(0, abs=0.4)


@pytest.mark.usefixtures("uncovered")
def test_the_library_is_not_loaded_before_a_value_needs_it() -> None:
    code = (
        "import sys, pilotage.serving.records.recorders, pilotage.serving.records.sketches as s;"
        "s.fitting({}); assert not {'datasketches', '_datasketches'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
