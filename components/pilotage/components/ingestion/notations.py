"""Numbers and dates in notations that are read as texts: `3,14`, `1 234`, `12 %`, `€ 5`, `31.12.2026`.

Nothing is converted, because `1,234` may be either of two numbers and `01/02/2026` either of two days: such
a column stays text, and whoever owns the pilot is told, with an example and what to do. A number with a
point for thousands (`1.234`) cannot be told from one with three decimals and is not found here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pilotage.core.artifacts import Notation, Notice
from pilotage.core.personal import patterns

ALMOST = 0.95
"""From this share of a column's values on it is taken for one of numbers, or of dates."""
_LONGEST = 40
_SIGN = r"[+\-\x{2212}]?"
_GAP = r"[ '\x{2019}\x{a0}\x{202f}]"
_FIGURES = r"[0-9](?:[0-9.,]|" + _GAP + r"[0-9])*"
_MONEY = r"(?:[$\x{20ac}\x{a3}\x{a5}]|EUR|USD|GBP|CHF|JPY)"
_AMBIGUOUS = rf"^{_SIGN}[1-9][0-9]{{0,2}},[0-9]{{3}}$"
_TIME = r"(?:,?[T ]+[0-9]{1,2}:[0-9]{2}[0-9:., APMapmZ+-]*)?"
_FORMS = {
    Notation.DECIMAL_COMMA: rf"^{_SIGN}(?:[0-9]+|[0-9]{{1,3}}(?:(?:\.|{_GAP})[0-9]{{3}})+)?,[0-9]+$",
    Notation.THOUSANDS: rf"^{_SIGN}[0-9]{{1,3}}"
    rf"(?:(?:,[0-9]{{3}})+|(?:{_GAP}[0-9]{{3}})+|(?:\.[0-9]{{3}}){{2,}})(?:\.[0-9]+)?$",
    Notation.PERCENT: rf"^{_SIGN}{_FIGURES}{_GAP}?%$",
    Notation.CURRENCY: rf"^{_SIGN}{_MONEY}{_GAP}?{_SIGN}{_FIGURES}$|^{_SIGN}{_FIGURES}{_GAP}?{_MONEY}$",
    Notation.BRACKETS: rf"^\({_MONEY}?{_FIGURES}\)$",
    Notation.DATE: r"^[0-9]{1,2}([./-])[0-9]{1,2}[./-][0-9]{4}" + _TIME + r"$|^[0-9]{1,2}/[0-9]{1,2}/[0-9]{2}"
    rf"{_TIME}$|^[0-9]{{4}}[./][0-9]{{1,2}}[./][0-9]{{1,2}}{_TIME}$",
}
_PLAUSIBLE = rf"^{_SIGN}[(]?{_MONEY}? ?{_SIGN}[,0-9][^\n]*$"
_WORDS = {
    Notation.DECIMAL_COMMA: "numbers with a decimal comma",
    Notation.THOUSANDS: "numbers with separators between thousands",
    Notation.PERCENT: "numbers with a percent sign",
    Notation.CURRENCY: "numbers with a currency",
    Notation.BRACKETS: "numbers in brackets",
    Notation.DATE: "dates or times, but not in ISO 8601",
}
_READERS = {
    Notation.DECIMAL_COMMA: '`pandas.read_csv(…, decimal=",")`',
    Notation.THOUSANDS: '`pandas.read_csv(…, thousands=",")`',
    Notation.PERCENT: '`column.str.rstrip("% ").astype(float) / 100`',
    Notation.CURRENCY: '`column.str.replace(r"[^0-9.-]", "", regex=True).astype(float)`',
    Notation.BRACKETS: '`column.str.replace(r"^\\((.*)\\)$", r"-\\1", regex=True).astype(float)`',
    Notation.DATE: '`pandas.to_datetime(column, format="%d.%m.%Y")`',
}
_PLAIN = {Notation.DATE: "as 2026-12-31"}


@dataclass
class Tally:
    """What was seen of one column's texts so far."""

    present: int = 0
    numbers: int = 0
    """That are plain ones."""
    counts: dict[Notation, int] = field(default_factory=lambda: dict.fromkeys(Notation, 0))
    ambiguous: int = 0
    """Such as `1,234`, which are counted as thousands besides."""
    first: dict[Notation, str] = field(default_factory=dict)

    def see(self, values: pl.Series, plain: npt.NDArray[np.bool_], weights: npt.NDArray[Any]) -> None:
        """Take in different texts, which of them are plain numbers, and how often each stands."""
        self.present += int(weights.sum())
        self.numbers += int(weights[plain].sum())
        odd = (weights > 0) & ~plain
        odd &= ((values.str.len_chars() <= _LONGEST) & values.str.contains(_PLAUSIBLE)).to_numpy()
        where = np.flatnonzero(odd)
        if not where.size:
            return
        some, weighed = values[where], weights[where]
        left = np.ones(len(some), dtype=bool)
        ambiguous = some.str.contains(_AMBIGUOUS).to_numpy()
        self.ambiguous += int(weighed[ambiguous].sum())
        for notation, form in _FORMS.items():
            found = left & some.str.contains(form).to_numpy()
            if notation is Notation.DECIMAL_COMMA:
                found &= ~ambiguous
            left &= ~found
            if found.any():
                self.counts[notation] += int(weighed[found].sum())
                self.first.setdefault(notation, str(some[int(np.flatnonzero(found)[0])]))

    def notice(self, column: str) -> Notice | None:
        """What to say of the column, if almost all of it is numbers, or dates, and some are written oddly."""
        dates = self.counts[Notation.DATE]
        if dates and dates >= ALMOST * self.present:
            return self._notice(column, Notation.DATE, dates)
        odd = sum(self.counts.values()) - dates
        if not odd or odd + self.numbers < ALMOST * self.present:
            return None
        counts = dict(self.counts)
        if counts[Notation.DECIMAL_COMMA]:
            counts[Notation.DECIMAL_COMMA] += self.ambiguous
            counts[Notation.THOUSANDS] -= self.ambiguous
        notation = max((each for each in Notation if each is not Notation.DATE), key=counts.__getitem__)
        return self._notice(column, notation, odd)

    def _notice(self, column: str, notation: Notation, rows: int) -> Notice:
        example = "" if patterns.hinted(column) else patterns.masked(self.first[notation])
        return Notice(column=column, notation=notation, rows=rows, present=self.present, example=example)


def of(values: pl.Series) -> Notation | None:
    """The notation of a column's different values."""
    tally = Tally()
    plain = values.cast(pl.Float64, strict=False).is_not_null().to_numpy()
    tally.see(values, plain, np.ones(len(values), dtype=np.int64))
    found = tally.notice("")
    return None if found is None else found.notation


def sentence(notice: Notice) -> str:
    """What was seen, without the column's name."""
    such = f", such as `{notice.example}`," if notice.example else ""
    looks = f"look like {_WORDS[notice.notation]}; they are read as text."
    return f"{notice.rows:,} of {notice.present:,} values{such} {looks}"


def warning(notice: Notice) -> str:
    """All of it in one paragraph."""
    return f"`{notice.column}`: {sentence(notice)} {remedy(notice.notation)}"


def remedy(notation: Notation) -> str:
    """What to do about a column in this notation."""
    return (
        f"Write them {_PLAIN.get(notation, 'as 1234.5')} in the source, or convert them in a function that "
        f"`data.source` names (`python: module:function`), for example with {_READERS[notation]}."
    )
