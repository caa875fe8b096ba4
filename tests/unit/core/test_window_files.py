"""Files of windows come back as they were, add up as windows do, and are refused when not whole."""

from __future__ import annotations

import struct
import zlib
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.core.test_windows import alike, drawn

from pilotage.core import errors, moments, window_files, windows
from pilotage.core.sheets import Layout, Sheet, Totals, micros
from pilotage.core.windows import Window

START = datetime(2026, 1, 1, tzinfo=UTC)


def opened(*parts: Window) -> list[window_files.Opened]:
    return [window_files.opened(window_files.encode(part)) for part in parts]


def simple(**parts: object) -> Window:
    held = {"pilot": "a", "version": 1, "start": START, "end": START, "updated_at": START, **parts}
    return Window.model_validate(held)


@given(drawn())
def test_a_window_comes_back_as_it_was(window: Window) -> None:
    assert window_files.decode(window_files.encode(window)).window() == window


@given(st.lists(drawn(), min_size=1, max_size=5))
def test_files_add_up_as_windows_do(held: list[Window]) -> None:
    assert alike(window_files.total(opened(*held)), windows.merge(held))


def test_so_do_more_files_than_are_summed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_files, "_SUMMED_AT_ONCE", 3)
    many = [
        simple(features={"x": (k, 1)}, novel={"c": {"v": k}}, distinct={"c": (bytes([k]),)})
        for k in range(1, 12)
    ]
    assert window_files.total(opened(*many)) == windows.merge(many)


@pytest.mark.parametrize("most", [(1 << 16) - 1, 1 << 16, (1 << 32) - 1, 1 << 32, 1 << 60])
def test_counts_of_any_size_come_back_and_add_up(most: int) -> None:
    for counts in ((most,), (most, *[7] * 100), (*[most] * 100, 7)):
        window = simple(features={"x": counts})
        assert window_files.decode(window_files.encode(window)).window() == window
        double = window_files.total(opened(window, window, simple())).features["x"]
        assert double == tuple(2 * count for count in counts)


def test_one_large_count_does_not_make_all_others_large() -> None:
    small, mixed = (window_files.encode(simple(features={"x": (most, *[7] * 999)})) for most in (1, 1 << 40))
    assert len(mixed) < len(small) + 100


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot count -1"):
        window_files.encode(simple(score=(-1, 2)))


def test_windows_of_another_version_or_other_cells_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="a 1 and a 2 do not add up"):
        window_files.total(opened(simple(), simple(version=2)))
    with pytest.raises(ValueError, match="2 and 3 cells"):
        window_files.total(opened(simple(score=(1, 2)), simple(score=(1, 2, 3))))


def test_a_file_that_is_cut_changed_or_foreign_is_refused() -> None:
    data = window_files.encode(simple(features={"x": (1, 2)}, novel={"c": {"v": 1}}))
    for size in range(len(data)):
        with pytest.raises(errors.DataError, match="window"):
            window_files.opened(data[:size])
    for place in range(len(data)):
        with pytest.raises(errors.DataError):
            window_files.opened(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    for foreign in (b"", b"{}", b"PAR1" * 100, data + b"\n"):
        with pytest.raises(errors.DataError, match="window"):
            window_files.opened(foreign)


def test_a_file_of_a_later_format_is_refused_by_its_number() -> None:
    data = bytearray(window_files.encode(simple()))
    struct.pack_into("<H", data, len(window_files.MAGIC), 7)
    with pytest.raises(errors.DataError, match="format 7; this version of Pilotage reads format 1"):
        window_files.decode(bytes(data))


@pytest.mark.parametrize("layout", [b"[]", b"{", b'{"pilot":"a","version":1,"features":[],"score":9}'])
def test_a_layout_that_is_not_that_of_the_counts_is_refused(layout: bytes) -> None:
    body = window_files._TOTALS.pack(*[0] * 9) + moments.empty(1).tobytes()
    head = window_files._HEAD.pack(window_files.MAGIC, window_files.FORMAT, 2, len(layout), len(body), 0)
    data = head + layout + body
    with pytest.raises(errors.DataError, match="counts are not those"):
        window_files.opened(data + struct.pack("<I", zlib.crc32(data)))


def test_windows_of_one_version_share_their_layout_whatever_they_hold() -> None:
    layout = Layout("a", 1, (("x", 3), ("y", 2)), 4, 2, 5)
    totals = Totals(*[micros(START)] * 3)
    none = Sheet(layout, totals, np.zeros(layout.cells, np.int64), moments.empty(3))
    many = Sheet(layout, totals, np.arange(layout.cells) * 10**6, moments.measure(np.ones((3, 9)))[0])
    texts = {window_files.opened(window_files.encode(sheet)).layout for sheet in (none, many)}
    assert len(texts) == 1
    assert window_files.decode(window_files.encode(many)).window().moments.keys() == {"x", "y"}
    assert window_files.decode(window_files.encode(none)).window().moments == {}


def test_times_are_kept_to_the_microsecond() -> None:
    time = datetime(2026, 5, 17, 3, 14, 15, 926535, tzinfo=UTC)
    window = simple(start=time, end=time + timedelta(microseconds=1), updated_at=time)
    assert window_files.decode(window_files.encode(window)).window() == window
