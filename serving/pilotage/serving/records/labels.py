"""Labels that came late, kept until the monitor joins them to logged rows by id.

A batch is stored under the digest of its content, so that one sent twice is
stored once. Whether an id was ever served is not checked: labels may be early.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from pilotage.core import errors, windows
from pilotage.core.features import EXPECTED, category_text, parse_time
from pilotage.core.specs import FeatureKind
from pilotage.core.storage import Storage

_IDS = "text or a whole number"
_LABELS = "text, a number or a boolean"


def id_text(value: Any, position: int, role: str = "id") -> str:
    """The text that stands for an id.

    Raises:
        RequestError: it is neither text nor a whole number.
    """
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    shown = repr(value)[:60]
    raise errors.RequestError(
        f"Row {position}: {role} is {shown}, expected {_IDS}.", row=position, feature=role
    )


def label_text(value: Any, position: int) -> str:
    """The text that stands for a label: a class as predictions spell it, or a number.

    Raises:
        RequestError: it is missing or of another kind.
    """
    value = value.item() if isinstance(value, np.generic) else value
    finite = not isinstance(value, float) or math.isfinite(value)
    if isinstance(value, (str, bool, int, float)) and finite:
        return category_text(value) or ""
    raise errors.RequestError(
        f"Row {position}: label is {repr(value)[:60]}, expected {_LABELS}.",
        remedy="Leave out rows whose label is not known yet.",
        row=position,
    )


def time_of(value: Any, position: int) -> datetime | None:
    """The event time that a label is about, in UTC; None where it does not say.

    Raises:
        RequestError: it is no time.
    """
    try:
        return parse_time(value)
    except (TypeError, ValueError):
        raise errors.RequestError(
            f"Row {position}: time is {repr(value)[:60]}, expected {EXPECTED[FeatureKind.TIME]}.",
            row=position,
            feature="time",
        ) from None


def store_labels(
    storage: Storage,
    pilot: str,
    ids: Sequence[Any],
    labels: Sequence[Any],
    times: Sequence[Any] | None = None,
    stored: Callable[[str], str] = str,
) -> int:
    """Keep one batch of labels durably; returns how many. The same batch again changes nothing.

    Args:
        storage: where windows are.
        pilot: name of the pilot.
        ids: text or whole numbers, one for each label.
        labels: classes or numbers.
        times: event times of the rows that the labels are about, where an id is served again and again; a
            label with a time is joined to rows of that id and time only.
        stored: what an id is kept as: where keys are personal data, what the row log has of it.

    Raises:
        RequestError: the lists differ in length, or a value is of another kind; names the position.
    """
    if len(ids) != len(labels) or (times is not None and len(times) != len(ids)):
        also = "" if times is None else f" and {len(times)} times"
        raise errors.RequestError(
            f"There are {len(ids)} ids and {len(labels)} labels{also}, expected as many of each."
        )
    keys = [stored(id_text(value, position)) for position, value in enumerate(ids)]
    values = [label_text(value, position) for position, value in enumerate(labels)]
    if not keys:
        return 0
    instants = None if times is None else [time_of(value, position) for position, value in enumerate(times)]
    told = [] if instants is None else [[str(value) for value in instants]]
    content = json.dumps([keys, values, *told], ensure_ascii=True, separators=(",", ":")).encode()
    name = windows.labels_name(pilot, hashlib.sha256(content).hexdigest())
    if not storage.exists(name):
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table({"id": pa.array(keys, pa.string()), "label": pa.array(values, pa.string())})
        if instants is not None:
            table = table.append_column("time", pa.array(instants, pa.timestamp("us", "UTC")))
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        storage.write(name, sink.getvalue().to_pybytes())
    return len(keys)
