"""Compiled code and NumPy count alike; nobody pays for the code unasked, or fails for want of it."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.core import cells, kernels, profiles

SPECIAL = [
    np.nan,
    np.inf,
    -np.inf,
    0.0,
    -0.0,
    5e-324,
    -5e-324,
    2.2250738585072014e-308,
    1.7976931348623157e308,
]
VALUES = st.lists(st.one_of(st.floats(), st.sampled_from(SPECIAL)), max_size=60)
EDGES = st.lists(st.floats(allow_nan=False), max_size=64, unique=True)


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which nobody asked for the compiled code yet."""
    monkeypatch.setattr(cells._Compiled, "kernel", None)
    monkeypatch.setattr(cells._Compiled, "asked", False)


@pytest.fixture(scope="module")
def machine_code() -> kernels.Kernel:
    return kernels.compiled()


def counted(kernel: Any, edges: np.ndarray, values: np.ndarray, group: np.ndarray | None, groups: int) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells._Compiled, "kernel", staticmethod(kernel))
        patch.setattr(cells, "_FEWEST", 0)
        return cells.count(edges, values, group, groups)


@given(EDGES, VALUES, st.booleans(), st.integers(1, 4))
@settings(max_examples=300, deadline=None)
def test_compiled_code_and_numpy_count_alike(
    machine_code: kernels.Kernel, drawn: list[float], values: list[float], onto_edges: bool, groups: int
) -> None:
    edges = np.unique(np.array(drawn, dtype=np.float64))
    numbers = np.array([*values, *(edges if onto_edges else [])], dtype=np.float64)
    group = None if groups == 1 else np.arange(numbers.size) % groups
    expected = cells._by_numpy(edges, numbers, group, groups)
    assert expected.sum() == numbers.size
    for kernel in (machine_code, kernels.histogram):
        assert counted(kernel, edges, numbers, group, groups).tolist() == expected.tolist()


def test_more_edges_than_the_compiled_code_knows_are_counted_too(machine_code: kernels.Kernel) -> None:
    edges, numbers = np.arange(65.0), np.arange(-1.0, 70.0)
    expected = cells._by_numpy(edges, numbers, None, 1)
    assert counted(machine_code, edges, numbers, None, 1).tolist() == expected.tolist()


def test_neighbours_in_memory_and_order_of_bytes_do_not_matter(machine_code: kernels.Kernel) -> None:
    edges, numbers = np.array([0.0, 0.5]), np.random.default_rng(0).normal(size=2000)
    for view in (numbers[::2], numbers.astype(">f8"), numbers.astype("float32"), numbers):
        view.flags.writeable = view is numbers
        expected = cells._by_numpy(edges, view, None, 1)
        assert counted(machine_code, edges, view, None, 1).tolist() == expected.tolist()


@pytest.mark.usefixtures("unasked")
def test_the_code_is_loaded_when_it_is_worthwhile_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[bool] = []
    monkeypatch.setattr(cells, "compiled", lambda: loaded.append(True))
    cells.prepare(cells.WORTHWHILE - 1)
    assert not loaded
    cells.prepare(cells.WORTHWHILE)
    cells.prepare(cells.WORTHWHILE)
    assert loaded == [True]


@pytest.mark.usefixtures("unasked")
def test_numpy_counts_where_there_is_no_compiled_code(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing() -> Any:
        raise ImportError("No module named 'numba'")

    monkeypatch.setattr(cells, "compiled", missing)
    with caplog.at_level(logging.DEBUG, logger=cells.__name__):
        cells.prepare(cells.WORTHWHILE)
        cells.prepare(cells.WORTHWHILE)
    assert [record.getMessage() for record in caplog.records] == [
        "numbers are counted by NumPy, for there is no compiled code: No module named 'numba'"
    ]
    assert profiles.profile_numbers(np.arange(2000.0)).counts[1] > 0


def test_a_read_only_file_system_only_costs_the_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    compile_it = numba.njit

    def njit(*args: Any, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function 'histogram': no locator available")
        return compile_it(*args, **options)

    monkeypatch.setattr(numba, "njit", njit)
    counts = np.zeros((1, 3), np.int64)
    edges = np.array([1.0, *[np.inf] * 63])
    kernels.compiled()(np.array([0.5, 1.0, 2.0, np.nan]), edges, np.zeros(0, np.int64), 2, counts)
    assert counts.tolist() == [[2, 1, 1]]


@pytest.mark.usefixtures("uncovered")
def test_counting_does_not_import_numba_unasked() -> None:
    code = (
        "import sys, numpy as np; from pilotage.core import batches, profiles;"
        "profiles.profile_numbers(np.arange(2e6)); assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
