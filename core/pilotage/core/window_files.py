"""How a window is written: a binary file that adds up without being parsed.

A month of ten replicas is thousands of windows, and reading them as JSON takes minutes.
Windows of one version share a layout, whose bytes are the same in each file, and so is the
size of what follows it: their counts and moments are summed as arrays. Where files are, and
what the monitor makes of them, is not known here; nor is what is in a sketch.

    head      magic, format version, bytes of a count, lengths of the next three parts
    layout    JSON: pilot, version, names and cells of the features, cells of the rest
    body      times and totals (int64), counts (uint16, 32 or 64, whichever takes least), moments
              of every feature and of the score (float64)
    tail      nothing, or counts that were too large for the body, novel values as JSON, the sketches
    check     CRC-32 of all before it

Everything is little-endian. A file of a later format is refused by its number.
"""

from __future__ import annotations

import itertools
import json
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.core import errors, moments
from pilotage.core.sheets import Layout, Sheet, Totals
from pilotage.core.windows import Sketches, Window

MAGIC = b"\x89PLTWIN\n"
"""No text begins like it, and whatever changes line ends spoils it."""
FORMAT = 1
_HEAD = struct.Struct("<8sHHIII")
_TOTALS = struct.Struct("<9q")
_SIZES = struct.Struct("<II")
_LARGE = np.dtype([("cell", "<u4"), ("count", "<u8")])
_CHECK = struct.Struct("<I")
_COUNTED = (2, 4, 8)
"""Bytes that a count may have."""
_SUMMED_AT_ONCE = 64
"""Windows that are in memory together while many are summed; far fewer than would overflow their counts."""

_Named = tuple[dict[str, dict[str, int]], dict[str, Sketches], dict[str, Sketches]]
"""Novel values, sketches of numbers, sketches of categories."""


def encode(sheet: Sheet | Window) -> bytes:
    """The file of a window.

    Raises:
        ValueError: a count is negative.
    """
    sheet = Sheet.of(sheet) if isinstance(sheet, Window) else sheet
    least = int(sheet.counts.min(initial=0))
    if least < 0:
        raise ValueError(f"a window cannot count {least} values")
    bytes_each = min(_COUNTED, key=lambda size: len(sheet.counts) * size + _large(sheet.counts, size).nbytes)
    large = _large(sheet.counts, bytes_each)
    fitting = sheet.counts.copy()
    fitting[large["cell"]] = 0
    layout, totals = sheet.layout.text, sheet.totals
    times = totals.start, totals.end, totals.updated_at
    body = b"".join(
        (
            _TOTALS.pack(
                *times,
                *(totals.rows, totals.requests, totals.errors, totals.dropped),
                *(totals.cpu_micros, totals.peak_bytes),
            ),
            fitting.astype(f"<u{bytes_each}").tobytes(),
            sheet.moments.astype("<f8").tobytes(),
        )
    )
    tail = _tail(sheet, large)
    head = _HEAD.pack(MAGIC, FORMAT, bytes_each, len(layout), len(body), len(tail))
    data = b"".join((head, layout, body, tail))
    return data + _CHECK.pack(zlib.crc32(data))


def _large(counts: npt.NDArray[np.int64], bytes_each: int) -> npt.NDArray[np.void]:
    """Counts that need more bytes, with their cells."""
    (cells,) = np.nonzero(counts >> min(8 * bytes_each, 63))
    found = np.empty(len(cells), _LARGE)
    found["cell"], found["count"] = cells, counts[cells]
    return found


def _tail(sheet: Sheet, large: npt.NDArray[np.void]) -> bytes:
    if not (len(large) or sheet.novel or sheet.outside or sheet.distinct):
        return b""
    kinds = sheet.outside, sheet.distinct
    lengths = [{name: [*map(len, parts)] for name, parts in kind.items()} for kind in kinds]
    text = json.dumps([sheet.novel, *lengths], separators=(",", ":")).encode()
    sketches = (part for kind in kinds for parts in kind.values() for part in parts)
    return b"".join((_SIZES.pack(len(large), len(text)), large.tobytes(), text, *sketches))


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that was found to be the whole of a window."""

    layout: bytes
    bytes_each: int
    body: memoryview
    tail: memoryview


def opened(data: bytes) -> Opened:
    """A file, as `total` takes it.

    Raises:
        DataError: it is not a window, not whole, or in another format; says which.
    """
    if len(data) < _HEAD.size + _CHECK.size or not data.startswith(MAGIC):
        raise errors.DataError("It is not a window, or only the beginning of one.")
    _, version, bytes_each, layout, body, tail = _HEAD.unpack_from(data)
    if version != FORMAT:
        raise errors.DataError(
            f"It is a window in format {version}; this version of Pilotage reads format {FORMAT}.",
            remedy="Read it with the version of Pilotage that wrote it, or a later one.",
        )
    whole = memoryview(data)
    if len(data) != _HEAD.size + layout + body + tail + _CHECK.size:
        raise errors.DataError("It is only a part of a window.")
    if zlib.crc32(whole[: -_CHECK.size]) != _CHECK.unpack_from(data, len(data) - _CHECK.size)[0]:
        raise errors.DataError("It is a window whose content was changed: its checksum is not right.")
    begin = _HEAD.size + layout
    text = bytes(whole[_HEAD.size : begin])
    try:
        fits = bytes_each in _COUNTED and body == _body_size(_layout(text), bytes_each)
    except (ValueError, TypeError, KeyError):
        fits = False
    if not fits:
        raise errors.DataError("It is a window whose counts are not those that it says it has.")
    return Opened(text, bytes_each, whole[begin : begin + body], whole[begin + body : begin + body + tail])


@lru_cache(maxsize=64)
def _layout(text: bytes) -> Layout:
    return Layout.of_text(text)


def _body_size(layout: Layout, bytes_each: int) -> int:
    measured = (len(layout.features) + 1) * moments.MEASURES * 8
    return _TOTALS.size + layout.cells * bytes_each + measured


def decode(data: bytes) -> Sheet:
    """What `encode` wrote.

    Raises:
        DataError: as `opened` says.
    """
    return _summed([opened(data)])


def total(files: Iterable[Opened]) -> Window:
    """The windows in a non-empty series of `files` together, as `Window.merged` has it.

    Raises:
        ValueError: they are of different pilots or versions, or their cells differ.
    """
    alike: dict[tuple[bytes, int], list[Opened]] = {}
    together: dict[tuple[bytes, int], list[Sheet]] = {}
    for parts in files:
        key = parts.layout, parts.bytes_each
        held = alike.setdefault(key, [])
        held.append(parts)
        if len(held) == _SUMMED_AT_ONCE:
            together.setdefault(key, []).append(_summed(alike.pop(key)))
    for key, held in alike.items():
        together.setdefault(key, []).append(_summed(held))
    by_layout: dict[bytes, list[Sheet]] = {}
    for (layout, _), sheets in together.items():
        by_layout.setdefault(layout, []).extend(sheets)
    first, *others = (_added(sheets).window() for sheets in by_layout.values())
    for other in others:
        first = first.merged(other)
    return first


def _summed(files: Sequence[Opened]) -> Sheet:
    """The sum of files with the same layout and size of counts."""
    layout, bytes_each = _layout(files[0].layout), files[0].bytes_each
    begin, end = _TOTALS.size, _TOTALS.size + layout.cells * bytes_each
    counts: npt.NDArray[Any] = np.zeros(layout.cells, np.uint32 if bytes_each < 4 else np.uint64)
    for file in files:  # in place: no window is copied on the way
        counts += np.frombuffer(file.body[begin:end], f"<u{bytes_each}")
    totals = np.frombuffer(b"".join([file.body[:begin] for file in files]), "<i8")
    measured = np.frombuffer(b"".join([file.body[end:] for file in files]), "<f8")
    by_file = measured.reshape(len(files), -1, moments.MEASURES)
    total = counts.astype(np.int64)
    named = []
    for file in files:
        if file.tail:
            large, names = _read_tail(file.tail)
            total[large["cell"]] += large["count"].astype(np.int64)
            named.append(names)
    sheet = Sheet(
        layout,
        _totals(totals.reshape(len(files), -1)),
        total,
        moments.total(by_file) if len(files) > 1 else by_file[0].astype(np.float64),
    )
    return _with_names(sheet, named)


def _added(sheets: Sequence[Sheet]) -> Sheet:
    """The sum of sheets of one layout."""
    if len(sheets) == 1:
        return sheets[0]
    totals = np.array([list(vars(sheet.totals).values()) for sheet in sheets], np.int64)
    return _with_names(
        Sheet(
            sheets[0].layout,
            _totals(totals),
            np.sum([sheet.counts for sheet in sheets], axis=0),
            moments.total(np.stack([sheet.moments for sheet in sheets])),
        ),
        [(sheet.novel, sheet.outside, sheet.distinct) for sheet in sheets],
    )


def _totals(many: npt.NDArray[np.int64]) -> Totals:
    start, end, updated_at = many[:, :3].T
    summed = many[:, 3:-1].sum(axis=0).tolist()
    summed.append(int(many[:, -1].max()))
    return Totals(int(start.min()), int(end.max()), int(updated_at.max()), *summed)


def _read_tail(tail: memoryview) -> tuple[npt.NDArray[np.void], _Named]:
    large, text = _SIZES.unpack_from(tail)
    begin = _SIZES.size + large * _LARGE.itemsize
    novel, *kinds = json.loads(bytes(tail[begin : begin + text]))
    begin += text
    found: list[dict[str, Sketches]] = []
    for lengths in kinds:
        held: dict[str, Sketches] = {}
        for name, sizes in lengths.items():
            bounds = itertools.pairwise(itertools.accumulate(sizes, initial=begin))
            held[name] = tuple(bytes(tail[start:end]) for start, end in bounds)
            begin += sum(sizes)
        found.append(held)
    return np.frombuffer(tail, _LARGE, large, _SIZES.size), (novel, found[0], found[1])


def _with_names(sheet: Sheet, parts: Sequence[_Named]) -> Sheet:
    """The sheet with what files say by name, together."""
    if len(parts) == 1:
        sheet.novel, sheet.outside, sheet.distinct = parts[0]
        return sheet
    for novel, _, _ in parts:
        for name, values in novel.items():
            counter = sheet.novel.setdefault(name, defaultdict(int))
            for value, count in values.items():
                counter[value] += count
    sheet.novel = {name: dict(counter) for name, counter in sheet.novel.items()}
    sheet.outside = _beside([outside for _, outside, _ in parts])
    sheet.distinct = _beside([distinct for _, _, distinct in parts])
    return sheet


def _beside(many: Sequence[dict[str, Sketches]]) -> dict[str, Sketches]:
    found: dict[str, list[bytes]] = {}
    for held in many:
        for name, sketches in held.items():
            found.setdefault(name, []).extend(sketches)
    return {name: tuple(sorted(sketches)) for name, sketches in sorted(found.items())}
