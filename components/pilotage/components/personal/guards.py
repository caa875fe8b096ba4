"""Stands between a source and all that is written: replaces, drops and refuses personal data.

Every batch passes here before anything of it reaches a disk. Rows whose key is to be forgotten are
left out, so that a source that still has them does not bring them back.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pilotage.components.ingestion import inference
from pilotage.components.personal.scans import Scan
from pilotage.components.sources.batches import Batch, Opened
from pilotage.core import errors
from pilotage.core.artifacts import PersonalFinding
from pilotage.core.features import category_text
from pilotage.core.personal.erasures import Forgotten
from pilotage.core.personal.replacements import Replacer
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec, Policy

logger = logging.getLogger(__name__)


class Guard:
    """Watches over one reading of a source."""

    def __init__(self, spec: PilotSpec, settings: Settings, forgotten: Forgotten | None = None) -> None:
        self._personal = spec.data.personal
        self._key = spec.data.key
        self._replacer = Replacer.of(self._personal, settings)
        self._forgotten = forgotten
        self._scan = Scan(self._personal)
        self._seen: set[str] = set()
        self.left_out = 0
        """Rows whose key is to be forgotten."""

    @property
    def mark(self) -> str | None:
        """Which secret hashes; None where none does."""
        return None if self._replacer is None else self._replacer.mark

    def watch(self, opened: Opened) -> Opened:
        """The same source with its batches as they may be stored.

        Raises:
            DataError: a column that pilot.yaml has a rule for is missing; also at the end of the batches
                where personal data is refused.
        """
        return dataclasses.replace(opened, batches=self._batches(opened))

    def _batches(self, opened: Opened) -> Iterator[Batch]:
        for batch in opened.batches:
            yield self._guarded(batch, opened)
        self._finish(opened)

    def _guarded(self, batch: Batch, opened: Opened) -> Batch:
        places = self._scan.begin(batch.rows.num_rows)
        names, arrays = [], []
        for name, given in zip(batch.rows.schema.names, batch.rows.columns, strict=True):
            self._seen.add(name)
            values = _readable(name, given, opened, self._personal is not None)
            if values is not None:
                self._scan.see(name, values, places)
            if self._personal is not None and self._personal.column(name) is Policy.DROP:
                continue
            names.append(name)
            arrays.append(self._replaced(name, given, values, batch))
        rows = pa.RecordBatch.from_arrays(arrays, names=names)
        if self._forgotten and self._key is not None and self._key in names:
            rows = self._kept(rows, self._key)
        return dataclasses.replace(batch, rows=rows)

    def _replaced(self, name: str, given: pa.Array, values: pa.Array | None, batch: Batch) -> pa.Array:
        replacer, personal = self._replacer, self._personal
        if replacer is None or personal is None or not replacer.changes(name):
            return given
        declared = personal.column(name) is not None
        if values is None:
            if not declared:
                return given
            raise errors.DataError(
                f"Column `{name}` of {batch.origin} is of type {given.type}, which cannot be "
                f"{'hashed' if personal.column(name) is Policy.HASH else 'masked'}.",
                remedy=f"Flatten it in the source, or `drop` it under `data.personal.columns.{name}`.",
                column=name,
            )
        if not declared and not (pa.types.is_dictionary(values.type) or pa.types.is_string(values.type)):
            return given
        encoded = values if pa.types.is_dictionary(values.type) else pc.dictionary_encode(values)
        if pa.types.is_null(encoded.type):
            return given
        known = [replacer.text(name, _text(value)) for value in encoded.dictionary.to_pylist()]
        return pa.array(known, pa.string()).take(encoded.indices)

    def _kept(self, rows: pa.RecordBatch, key: str) -> pa.RecordBatch:
        assert self._forgotten is not None  # noqa: S101 - asked by the caller
        keys = rows.column(rows.schema.get_field_index(key))
        kept = [not self._forgotten.holds(_text(value)) for value in keys.to_pylist()]
        self.left_out += len(kept) - sum(kept)
        return rows if all(kept) else rows.filter(pa.array(kept))

    def _finish(self, opened: Opened) -> None:
        if self._personal is None:
            return
        for name in self._personal.columns:
            if name not in self._seen:
                raise errors.DataError(
                    f"`data.personal.columns` names column `{name}`, "
                    f"which {opened.description} does not have.",
                    remedy="Correct pilot.yaml: a rule for a column that is not there protects nothing.",
                    column=name,
                )
        refused = [
            finding
            for finding in self._scan.findings()
            if finding.policy is Policy.REFUSE and finding.found_by != "name"
        ]
        if refused:
            raise _refusal(refused)

    def findings(self) -> tuple[PersonalFinding, ...]:
        """What was found, once all batches were read; warns of what pilot.yaml says nothing of."""
        found = self._scan.findings()
        for item in found:
            if item.policy is None:
                logger.warning("%s", sentence(item))
        if self.left_out:
            logger.info("%d rows are left out: their keys are to be forgotten", self.left_out)
        return found


def sentence(finding: PersonalFinding) -> str:
    """What was found in a column, without any of its values."""
    if finding.share is None:
        return f"Column `{finding.column}` sounds like {_words(finding)}; no value was recognised."
    return (
        f"Column `{finding.column}` holds {_words(finding)} in {_percent(finding.share)} of "
        f"{finding.looked:,} values looked at."
    )


def _words(finding: PersonalFinding) -> str:
    return finding.kind.value.replace("_", " ")


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.2%}"


def _refusal(refused: list[PersonalFinding]) -> errors.DataError:
    first = refused[0]
    more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    return errors.DataError(
        f"Personal data is refused: {sentence(first).rstrip('.')}{more}.",
        remedy="Leave it out in the source, or say `mask`, `hash` or `drop` under `data.personal`.",
        column=first.column,
        kind=first.kind.value,
        share=first.share,
    )


def _readable(name: str, given: pa.Array, opened: Opened, required: bool) -> pa.Array | None:
    """The values as a spool would keep them; None where it could not, which is told later."""
    try:
        found = inference.raw(given, opened.texts)
    except pa.ArrowInvalid:
        return None
    return None if found is None else found[0]


def _text(value: object) -> str | None:
    try:
        return category_text(value)
    except TypeError:
        return str(value)
