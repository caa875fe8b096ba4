"""Counts personal data in columns, batch by batch, and never keeps a value.

Columns that pilot.yaml says something of are looked at whole; of others some rows of each batch,
at places that depend on the batch's number only. Each different text is looked at once a batch.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pilotage.components.personal import presidio
from pilotage.core.artifacts import PersonalFinding
from pilotage.core.personal import patterns
from pilotage.core.specs import Personal, PersonalKind, Policy
from pilotage.core.specs.protections import NAMED_ONLY, reason_of

SAMPLED_ROWS = 2_048
"""Of a batch, where a column is not looked at whole."""
WEAK_SHARE = 0.5
"""Bare digits count when this share of a column's has the right check digits: a tenth has by chance."""
_LEAST_DIGITS = 10**8
"""Whole numbers below are neither ids nor cards."""


@dataclass
class Counts:
    """What was seen of one column."""

    looked: int = 0
    bare: int = 0
    """Values that are digits and nothing else."""
    strong: Counter[PersonalKind] = field(default_factory=Counter)
    weak: Counter[PersonalKind] = field(default_factory=Counter)
    presidio: Counter[PersonalKind] = field(default_factory=Counter)
    shown: int = 0
    """Values that Presidio was shown."""

    def found(self) -> dict[PersonalKind, int]:
        """Hits by kind, those by chance left out."""
        kinds = Counter(self.strong)
        for kind, hits in self.weak.items():
            if hits >= WEAK_SHARE * self.bare:
                kinds[kind] += hits
        return dict(kinds)


class Scan:
    """Looks at the batches of one source."""

    def __init__(self, personal: Personal | None) -> None:
        self._personal = personal if personal is not None else Personal()
        self._asks_presidio = personal is not None  # loading it takes seconds, for those who care
        self._counts: dict[str, Counts] = {}
        self._order: list[str] = []
        self._batches = 0
        self.rows = 0

    def begin(self, rows: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Places of the rows of the next batch that are looked at where a column is not looked at whole."""
        self._batches += 1
        self.rows += rows
        if rows <= SAMPLED_ROWS:
            return np.arange(rows)
        return np.sort(np.random.default_rng(self._batches).choice(rows, SAMPLED_ROWS, replace=False))

    def see(self, name: str, values: pa.Array, places: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        """Look at one column of a batch, as `ingestion.inference.raw` gives it."""
        if name not in self._counts:
            self._counts[name] = Counts()
        whole = name in self._personal.columns or bool(self._personal.kinds)
        part = values if whole or len(places) == len(values) else values.take(pa.array(places))
        texts = _texts(part)
        if texts is not None:
            self._look(self._counts[name], texts)

    def _look(self, counts: Counts, texts: pl.Series) -> None:
        present = texts.drop_nulls()
        counts.looked += len(present)
        if not len(present):
            return
        each = present.value_counts(name="rows")
        column = each.columns[0]
        bare = each.filter(pl.col(column).str.contains(r"^\s*\d+\s*$"))
        counts.bare += int(bare["rows"].sum() or 0)
        candidates = each.filter(pl.col(column).str.contains(patterns.PREFILTER))
        for text, rows in candidates.iter_rows():
            for kind, weak in {(hit.kind, hit.weak) for hit in patterns.find(text)}:
                (counts.weak if weak else counts.strong)[kind] += rows
        wanted = self._asks_presidio and candidates.height and counts.shown < presidio.MOST_VALUES
        if wanted and presidio.installed():
            taken = candidates.head(presidio.MOST_VALUES - counts.shown)
            counts.shown += taken.height
            for text, _ in taken.iter_rows():
                counts.presidio.update(presidio.kinds(text))

    def findings(self) -> tuple[PersonalFinding, ...]:
        """What was found, by column in the source's order."""
        return tuple(finding for name in self._counts for finding in self._of_column(name))

    def _of_column(self, name: str) -> list[PersonalFinding]:
        counts, hint = self._counts[name], patterns.hinted(name)
        kinds = counts.found()
        found = [self._finding(name, kind, hits, counts.looked) for kind, hits in sorted(kinds.items())]
        for kind, hits in sorted(counts.presidio.items()):
            if kind not in kinds:
                found.append(self._finding(name, kind, hits, counts.shown, "presidio"))
        if hint is not None and not found and (hint in NAMED_ONLY or name in self._personal.columns):
            found.append(self._finding(name, hint, 0, counts.looked, "name"))
        return found

    def _finding(
        self, name: str, kind: PersonalKind, hits: int, looked: int, by: str = "patterns"
    ) -> PersonalFinding:
        rule = self._personal.columns.get(name, self._personal.kinds.get(kind))
        policy = self._personal.column(name)
        if policy is None:
            policy = self._personal.kind(kind)
            if by == "presidio" and policy in (Policy.MASK, Policy.HASH, Policy.DROP):
                policy, rule = None, None  # it tells that there is some, and not where: nothing was replaced
        return PersonalFinding(
            column=name,
            kind=kind,
            hits=hits,
            looked=looked,
            rows=self.rows,
            policy=policy,
            reason="" if rule is None else reason_of(rule),
            found_by=by,
        )


def _texts(values: pa.Array) -> pl.Series | None:
    """The values as text; None where nothing personal can be in them."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return pl.Series("text", values.dictionary_decode(), dtype=pl.String)
    if pa.types.is_string(kind):
        return pl.Series("text", values, dtype=pl.String)
    if pa.types.is_integer(kind):
        high = pc.max(values).as_py()
        if high is not None and high >= _LEAST_DIGITS:
            return pl.Series("text", pc.cast(values, pa.string()), dtype=pl.String)
    return None
