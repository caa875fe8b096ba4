"""How large differences are without drift: the threshold that keeps the false alarm rate.

A reference without time is redrawn: pairs of a pseudo-window and a pseudo-reference of
the sizes at hand, column by column, give the distribution of the smallest p-value
(Westfall and Young, 1993). Columns are drawn independently because the profile holds no
joint rows, which makes the threshold stricter than it need be when columns depend.

Real time is not like independent rows, so a reference with time blocks is compared with
itself: contiguous blocks as long as a window against the blocks that are not near them,
the same blocks for all columns. Centre and spread of each measure come from one half of
the time, the largest standardised measure over all columns from the other (cross-fitting),
and a Gumbel distribution is fitted to those maxima. What is compared is in `columns`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from pilotage.core.artifacts import Part
from pilotage.core.errors import NotFound
from pilotage.core.storage import Storage
from pilotage.serving.monitor.drift.columns import Column, Counts, Difference, Floats, differences

REVISION = 5
"""Raised when the same reference would give another calibration."""
DRAWS = 1000
LEAST_BLOCKS = 12
"""Blocks from which a reference is compared with itself."""
PROMISED_BLOCKS = 50
"""Blocks from which the false alarm rate can be promised."""
BLOCKS_A_WINDOW = 10
"""A pseudo-window is at most the reference's blocks divided by this."""
WEIGHTS = (0.6, 0.3, 0.1)
"""Shares of the false alarm rate spent on distributions, missing rates and unseen values."""
_KINDS = np.array([0, 0, 1, 2])
"""Which weight each measure spends: distance, association, missing rate, unseen share."""
_LEAST_SCALE = 0.5
"""Of the Gumbel distribution: about that of the maximum of 10 independent normal measures."""
_LEAST_VARIATION = 0.5
"""Spread of a measure relative to its centre; for distances of independent samples it is about this."""
_LEAST_SPREAD = 0.02
"""Spread of a measure: differences of this size never matter to a model."""
_WIDENING = 4.0
"""The tail is widened by this over the number of pseudo-windows that do not overlap, for few tell little;
on weeks of real flights drawn at random, 13 for the reference, false alarms halved to 1.9 %."""


class Mode(StrEnum):
    """How the threshold was found."""

    REDRAWN = "redrawn"
    BLOCKS = "blocks"


class Calibration(Part):
    """What is usual without drift, for windows of about `rows` rows."""

    mode: Mode
    rows: int
    threshold: float
    """A column has drifted when its p-value is below."""
    draws: int
    blocks: int = 0
    """Time blocks of the reference."""
    window_blocks: int = 0
    """Blocks of a pseudo-window."""
    centre: tuple[tuple[float, ...], ...] = ()
    """By column, then by measure; blocks only."""
    spread: tuple[tuple[float, ...], ...] = ()
    location: tuple[float, ...] = ()
    """Of the Gumbel distribution, by kind of measure."""
    scale: tuple[float, ...] = ()
    borrowed: bool = False
    """What the model says has too few blocks of its own and is judged by the spread of the features."""


def size_class(rows: int) -> int:
    """The largest power of the square root of 2 that is at most `rows`, as an integer."""
    return int(2 ** (np.floor(2 * np.log2(max(rows, 1))) / 2) + 1e-9)


@dataclass(frozen=True)
class Setup:
    """What a calibration depends on, besides the columns."""

    rows: int
    """Size class of the window."""
    rate: float
    """False alarm rate over all columns together."""
    window_blocks: float
    """Length of a window in blocks; 0 without blocks."""
    seed: int


def calibrate(columns: Sequence[Column], setup: Setup) -> Calibration:
    """The calibration of `columns`, as `columns_of` gives them."""
    if by_blocks(columns, setup.window_blocks):
        return _from_blocks(columns, setup, len(columns[0].blocks))
    return _redrawn(columns, setup)


def by_blocks(columns: Sequence[Column], window_blocks: float) -> bool:
    """Whether the reference has the time blocks to compare it with itself."""
    return len(columns[0].blocks) >= LEAST_BLOCKS and window_blocks > 0


def cached(storage: Storage, name: str, columns: Sequence[Column], setup: Setup) -> Calibration:
    """The calibration kept as `name` in `storage`, made and kept when it is not there."""
    try:
        return Calibration.model_validate_json(storage.read(name))
    except (NotFound, ValidationError):
        calibration = calibrate(columns, setup)
        storage.write(name, calibration.model_dump_json().encode())
        return calibration


def p_values(columns: Sequence[Column], found: Sequence[Difference], calibration: Calibration) -> Floats:
    """The p-value of each column of one window, shape `(columns,)`; over all tests of the column."""
    if calibration.mode is Mode.REDRAWN:
        return np.array([smallest_p(column, part)[0] for column, part in zip(columns, found, strict=True)])
    measures = np.array([_measures(part)[0] for part in found])
    z = (measures - np.array(calibration.centre)) / np.array(calibration.spread)
    location, scale = np.array(calibration.location)[_KINDS], np.array(calibration.scale)[_KINDS]
    tail = -np.expm1(-np.exp(np.clip(-(z - location) / scale, -700, 700)))
    smallest: Floats = np.minimum(1.0, (tail / np.array(WEIGHTS)[_KINDS]).min(axis=1))
    return smallest


def smallest_p(column: Column, difference: Difference) -> Floats:
    """Bonferroni's p-value over the tests of a column, shape `(n,)`."""
    tests = [difference.p_shape, difference.p_missing]
    if column.kind == "category":
        tests.append(difference.p_unseen)
    smallest: Floats = np.minimum(1.0, len(tests) * np.min(tests, axis=0))
    return smallest


def _redrawn(columns: Sequence[Column], setup: Setup) -> Calibration:
    generator = np.random.default_rng(setup.seed)
    smallest = np.ones(DRAWS)
    for column in columns:
        if not column.size:
            continue
        usual = column.corrected(column.counts[None, :])[0] / column.size
        windows = generator.multinomial(setup.rows, usual, size=DRAWS)
        reference = generator.multinomial(column.size, column.shares, size=DRAWS)
        found = differences(column, windows, reference, setup.rows)
        smallest = np.minimum(smallest, smallest_p(column, found))
    threshold = min(float(np.quantile(smallest, setup.rate)), setup.rate)
    return Calibration(mode=Mode.REDRAWN, rows=setup.rows, threshold=threshold, draws=DRAWS)


def _from_blocks(columns: Sequence[Column], setup: Setup, blocks: int) -> Calibration:
    generator = np.random.default_rng(setup.seed)
    length = _pseudo_length(setup, blocks)
    joint = [column for column in columns if len(column.blocks) == blocks]
    kept = _thinning(joint[0], setup.rows, length)
    starts = _starts(blocks, length, kept)
    measures = np.stack(
        [_block_measures(column, starts, length, kept, setup.rows, generator) for column in joint], axis=1
    )
    halves = (starts + length <= blocks // 2, starts >= blocks // 2)
    location, scale = _gumbel(measures, halves, setup.rows)
    scale = scale * (1 + _WIDENING * length / blocks)
    centre, spread = (
        dict(zip((id(column) for column in joint), part, strict=True))
        for part in _standard(measures, setup.rows)
    )
    for column in columns:
        if id(column) not in centre and len(column.blocks) >= LEAST_BLOCKS:
            centre[id(column)], spread[id(column)] = _own_standard(column, setup, generator)
    return Calibration(
        mode=Mode.BLOCKS,
        rows=setup.rows,
        threshold=setup.rate,
        draws=len(starts),
        blocks=blocks,
        window_blocks=length,
        centre=_by_column(columns, centre),
        spread=_by_column(columns, spread),
        location=tuple(location.tolist()),
        scale=tuple(scale.tolist()),
        borrowed=len(centre) < len(columns),
    )


def _pseudo_length(setup: Setup, blocks: int) -> int:
    """Blocks of a pseudo-window, of which there are to be enough that do not overlap."""
    return int(np.clip(round(setup.window_blocks), 1, max(1, blocks // BLOCKS_A_WINDOW)))


def _starts(blocks: int, length: int, kept: float) -> npt.NDArray[np.intp]:
    """First blocks of pseudo-windows; each several times where thinning makes the repeats different."""
    starts = np.arange(blocks - length + 1)
    return np.tile(starts, 1 if kept >= 1 else -(-DRAWS // len(starts)))


def _own_standard(column: Column, setup: Setup, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Centre and spread of a column whose blocks are others than the features', such as the score's."""
    blocks = len(column.blocks)
    length = _pseudo_length(setup, blocks)
    kept = _thinning(column, setup.rows, length)
    starts = _starts(blocks, length, kept)
    measures = _block_measures(column, starts, length, kept, setup.rows, generator)
    centre, spread = _standard(measures[:, None, :], setup.rows)
    return centre[0], spread[0] * (1 + _WIDENING * length / blocks)


def _by_column(columns: Sequence[Column], found: dict[int, Floats]) -> tuple[tuple[float, ...], ...]:
    """What was found for each column; for one without enough blocks the upper quartile of the others."""
    borrowed = np.quantile(np.stack(list(found.values())), 0.75, axis=0)
    return tuple(tuple(found.get(id(column), borrowed).tolist()) for column in columns)


def _thinning(column: Column, rows: int, length: int) -> float:
    """Share of a pseudo-window's rows to keep so that it is not larger than the window; 1 when it is not."""
    usual = column.size / len(column.blocks) * length
    return min(1.0, rows / usual) if usual > 0 and rows < 0.8 * usual else 1.0


def _block_measures(
    column: Column,
    starts: npt.NDArray[np.intp],
    length: int,
    kept: float,
    rows: int,
    generator: np.random.Generator,
) -> Floats:
    """Measures of pseudo-windows that begin at `starts` against all blocks not near them."""
    sums = np.vstack([np.zeros((1, len(column.counts)), dtype=np.int64), np.cumsum(column.blocks, axis=0)])
    windows: Counts = sums[starts + length] - sums[starts]
    blocks = len(column.blocks)
    gap = length if blocks >= 8 * length else 0
    near = sums[np.minimum(starts + length + gap, blocks)] - sums[np.maximum(starts - gap, 0)]
    reference = sums[-1] - near
    if kept < 1:
        windows = generator.binomial(windows, kept)
    return _measures(differences(column, windows, reference, rows, inside=True))


def _measures(found: Difference) -> Floats:
    """Measures without a ceiling, shape `(n, 4)`: -log(1 - distance) for shapes, angles for rates."""
    missing = np.abs(np.arcsin(np.sqrt(found.missing)) - np.arcsin(np.sqrt(found.reference_missing)))
    return np.stack(
        [
            -np.log1p(-np.minimum(found.ks, 0.9999)),
            -np.log1p(-np.minimum(found.association, 0.9999)),
            missing,
            np.arcsin(np.sqrt(found.unseen)),
        ],
        axis=1,
    )


def _standard(measures: Floats, rows: int) -> tuple[Floats, Floats]:
    """Centre and spread by column and measure; a spread seen over a short time is not taken for too small."""
    centre = measures.mean(axis=0)
    least = max(0.5 / np.sqrt(max(rows, 1)), _LEAST_SPREAD)
    return centre, np.maximum(measures.std(axis=0, ddof=1), np.maximum(_LEAST_VARIATION * centre, least))


def _gumbel(
    measures: Floats, halves: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]], rows: int
) -> tuple[Floats, Floats]:
    """Location and scale, by kind of measure, of the cross-fitted maxima over all columns, by moments."""
    maxima = []
    for fitted, scored in (halves, halves[::-1]):
        centre, spread = _standard(measures[fitted], rows)
        z = (measures[scored] - centre) / spread
        maxima.append(np.stack([z[:, :, kind == _KINDS].max(axis=(1, 2)) for kind in range(len(WEIGHTS))], 1))
    found = np.vstack(maxima)
    scale = np.maximum(found.std(axis=0, ddof=1) * np.sqrt(6) / np.pi, _LEAST_SCALE)
    location: Floats = np.maximum(found.mean(axis=0) - np.euler_gamma * scale, 0.0)
    return location, scale
