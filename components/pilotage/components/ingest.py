"""The first step: a source becomes a snapshot, found again when the data is the same.

The rows are written into a staging folder and published by one rename under
the digest of their content, `manifest.json` last; a process that dies leaves a
staging folder that the next ingest removes, and never half a snapshot. Whether
the values are plausible is validate's question.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from pilotage.components.ingestion import publications, roles, tables
from pilotage.components.ingestion.tables import Written
from pilotage.components.personal.guards import Guard
from pilotage.components.sources.batches import open_source
from pilotage.core import errors
from pilotage.core.artifacts import DataFile, Snapshot
from pilotage.core.metrics import Task
from pilotage.core.personal import erasures, patterns
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.core.storage import Storage

_log = logging.getLogger(__name__)
_SHOWN = 5


def ingest(
    spec: PilotSpec, folder: Path, settings: Settings, out: Path, *, installation: Settings | None = None
) -> Snapshot:
    """Read the pilot's source into a snapshot and describe it in `out/snapshot.json`.

    Args:
        spec: the pilot.
        folder: the pilot's folder, which relative names are relative to.
        settings: the installation.
        out: folder for the `Snapshot` artifact.
        installation: that knows what is to be forgotten, where `settings` are of a place aside.

    Raises:
        SettingsError: personal data is to be hashed, and there is no (good) secret.
        SourceError: the source cannot be found or read.
        DataError: the table cannot be used for this pilot.
        Unavailable: the store or the database does not answer.
    """
    store = Storage(settings.storage)
    sweep(store)
    forgotten = erasures.Forgotten(installation or settings, spec.pilot) if spec.data.key else None
    guard = Guard(spec, settings, forgotten)
    opened = guard.watch(open_source(spec, folder))
    with store.staging() as staging:
        table = _write(spec, opened, staging)
        classes = _check(spec, table, staging)
        features, excluded = roles.assign(spec, table)
        manifest = publications.publish(store, staging, table)
    snapshot = Snapshot(
        pilot=spec.pilot,
        digest=table.digest,
        name=f"snapshots/{table.digest}",
        rows=table.rows,
        columns=tuple(facts.column for facts in table.facts.values()),
        files=tuple(DataFile.model_validate(file) for file in manifest["files"]),
        features=features,
        excluded=excluded,
        target=spec.data.target,
        task=spec.task,
        classes=classes,
        time=spec.data.time,
        key=spec.data.key,
        time_range=roles.time_range(table.facts[spec.data.time]) if spec.data.time else None,
        personal=guard.findings(),
        personal_key=guard.mark,
        forgotten=guard.left_out,
        notices=roles.told(spec.data, table.notices),
        source=opened.description,
        created_at=manifest["created_at"],
    )
    snapshot.write(out)
    _log.info("snapshot %s: %d rows, %d features", table.digest[:12], table.rows, len(features))
    return snapshot


def sweep(store: Storage) -> None:
    """Remove the staging folders of processes that are no more."""
    if not store.local:
        return
    for folder in Path(store.location(".staging")).glob("*-*"):
        owner = folder.name.partition("-")[0]
        if owner.isdigit() and not _alive(int(owner)):
            _log.info("removing %s, which a process that died left", folder)
            shutil.rmtree(folder, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _write(spec: PilotSpec, opened: Any, staging: Path) -> Written:
    data = spec.data
    rough = staging / "spool"
    rough.mkdir()
    whole = data.target if spec.task is Task.CLASSIFICATION else None
    spooled = tables.spool(opened, rough, roles.pins(data), data.exclude, whole)
    if not spooled.rows:
        raise errors.DataError(
            f"The source {opened.description} has no rows.", remedy="Give it data, or correct `data.source`."
        )
    roles.check_names(spec, list(spooled.types))
    table = tables.write(spooled, staging, data.target, data.key)
    shutil.rmtree(rough)
    return table


def _check(spec: PilotSpec, table: Written, staging: Path) -> tuple[Any, ...]:
    roles.check_table(spec, table)
    classes = roles.classes_of(spec, table)
    if spec.data.key is not None and table.keys is not None:
        _check_keys(spec.data.key, table.keys, staging)
    return classes


def _check_keys(key: str, hashes: Any, staging: Path) -> None:
    ordered = np.sort(hashes)
    suspects = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not suspects.size:
        return
    found: list[pl.Series] = []
    for path in sorted(staging.glob("part-*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=[key]):
                values = pl.Series("key", batch.column(0))
                found.append(values.filter(values.hash(0).is_in(pl.Series(suspects, dtype=pl.UInt64))))
    repeated = pl.concat(found).value_counts(sort=True).filter(pl.col("count") > 1)
    if repeated.height:
        shown = ", ".join(
            f"{_shown(key, value)} ({count} times)"
            for value, count in repeated.head(_SHOWN).sort("key").rows()
        )
        raise errors.DataError(
            f"The key `{key}` is not unique: {repeated.height:,} of its values repeat, such as {shown}.",
            remedy="Remove duplicate rows in the source, or name another column as `data.key`.",
            column=key,
            duplicates=repeated.height,
        )


def _shown(key: str, value: Any) -> str:
    """A key as messages may show it: not at all where its name says that it is personal."""
    if patterns.hinted(key) is not None:
        return "a value"
    return repr(patterns.masked(value) if isinstance(value, str) else value)
