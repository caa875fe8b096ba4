"""Effect sizes and p-values of columns, against scipy's and against hand-made cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pilotage.core import profiles
from pilotage.serving.monitor.drift.columns import Column, differences, rate_p


def number(values: np.ndarray) -> Column:
    part = profiles.profile_numbers(values)
    return Column("x", "number", np.array(part.counts), np.zeros((0, part.cells), int), 0, edges=part.edges)


def category(values: Sequence[str | None]) -> Column:
    part = profiles.profile_categories(np.array(values, dtype=object))
    empty = np.zeros((0, part.cells), int)
    return Column("c", "category", np.array(part.counts), empty, part.singletons, categories=part.categories)


def counted(column: Column, values: np.ndarray) -> np.ndarray:
    return profiles.NumberProfile(edges=column.edges, counts=(), moments=None).count(values)[None, :]


def test_the_distance_is_scipys_on_values_that_have_cells_of_their_own() -> None:
    generator = np.random.default_rng(1)
    reference, window = (
        generator.integers(0, 40, 3000).astype(float),
        generator.integers(5, 45, 500).astype(float),
    )
    column = number(reference)
    found = differences(column, counted(column, window), column.counts, 500)
    assert found.ks[0] == pytest.approx(stats.ks_2samp(reference, window).statistic)


def test_chi_squared_is_scipys_on_a_category() -> None:
    reference, window = ["a"] * 500 + ["b"] * 300 + ["c"] * 200, np.array([[40, 40, 20, 0, 0]])
    column = category(reference)
    found = differences(column, window, column.counts, 100)
    table = [[500, 300, 200], [40, 40, 20]]
    assert found.p_shape[0] == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)


def test_the_rate_test_is_scipys_exact_binomial() -> None:
    for count, size, other, other_size in ((3, 200, 1, 5000), (0, 200, 4, 5000), (12, 50, 90, 900)):
        exact = stats.binomtest(
            count, count + other, size / (size + other_size), alternative="greater"
        ).pvalue
        found = rate_p(*(np.array([value]) for value in (count, size, other, other_size)))
        assert found[0] == pytest.approx(exact)


def test_psi_without_drift_is_about_nothing_even_in_small_windows() -> None:
    generator = np.random.default_rng(2)
    column = number(generator.normal(size=5000))
    windows = np.vstack([counted(column, generator.normal(size=150)) for _ in range(200)])
    assert differences(column, windows, column.counts, 150).psi.mean() < 0.04


def test_cells_are_joined_until_each_is_expected_to_hold_five_rows() -> None:
    column = number(np.random.default_rng(3).normal(size=5000))
    for rows in (10, 30, 100, 10_000):
        group = column.groups(rows)
        expected = np.bincount(group, weights=column.counts[:-1]) / column.counts[:-1].sum() * rows
        assert (expected >= 5).all()
        assert (np.diff(group) >= 0).all()
        assert len(expected) <= 12


def test_an_unseen_value_alone_does_not_break_the_shape_test() -> None:
    column = category(["a", "b"] * 500)
    found = differences(column, np.array([[50, 49, 1, 0]]), column.counts, 100)
    assert found.p_shape[0] > 0.5
    assert found.unseen[0] == pytest.approx(0.01)
    assert found.p_unseen[0] > 0.05


def test_nulls_that_were_never_there_are_told_by_an_exact_test() -> None:
    column = number(np.random.default_rng(4).normal(size=2000))
    one, many = (np.concatenate([column.counts[:-1] // 20, [nulls]])[None, :] for nulls in (1, 12))
    assert differences(column, one, column.counts, 100).p_missing[0] > 0.02
    assert differences(column, many, column.counts, 100).p_missing[0] < 1e-6


@pytest.mark.parametrize("values", [np.full(50, np.nan), np.full(50, 3.0), np.array([1.0])])
def test_columns_without_variety_are_compared_without_trouble(values: np.ndarray) -> None:
    column = number(values)
    for window in (
        column.counts,
        np.zeros_like(column.counts),
        np.eye(len(column.counts), dtype=int)[-1] * 40,
    ):
        found = differences(column, np.array([window]), column.counts, 40)
        for part in (found.psi, found.ks, found.p_shape, found.p_missing, found.p_unseen):
            assert np.isfinite(part).all()


@given(
    st.lists(st.integers(0, 400), min_size=4, max_size=9),
    st.lists(st.integers(0, 400), min_size=9, max_size=9),
    st.integers(1, 5000),
)
def test_whatever_the_counts_all_measures_stay_in_their_ranges(
    reference: list[int], window: list[int], rows: int
) -> None:
    cells = len(reference)
    edges = tuple(float(edge) for edge in range(cells - 2))
    blocks = np.zeros((0, cells), int)
    for column in (
        Column("x", "number", np.array(reference), blocks, 0, edges=edges),
        Column("c", "category", np.array(reference), blocks, 3, categories=tuple("abcdefg"[: cells - 2])),
    ):
        found = differences(column, np.array([window[:cells]]), column.counts, rows)
        assert found.psi[0] >= 0
        for part in (found.ks, found.association, found.missing, found.unseen):
            assert 0 <= part[0] <= 1 + 1e-9
        for part in (found.p_shape, found.p_missing, found.p_unseen):
            assert 0 <= part[0] <= 1


@given(st.lists(st.integers(1, 400), min_size=4, max_size=9))
def test_the_reference_itself_never_differs(reference: list[int]) -> None:
    counts = np.array(reference)
    edges = tuple(float(edge) for edge in range(len(counts) - 2))
    column = Column("x", "number", counts, np.zeros((0, len(counts)), int), 0, edges=edges)
    found = differences(column, counts[None, :], counts, int(counts.sum()))
    assert found.psi[0] == 0
    assert found.ks[0] == pytest.approx(0)
    assert min(found.p_shape[0], found.p_missing[0]) > 0.99
