"""Great Expectations suites as JSON: the pilot's own, or one drafted from a snapshot.

A drafted suite belongs to the snapshot that it was learned from and is kept, so
that later data is held against what the champion was trained on. Its
tolerances are stated here and in each expectation's meta. Running a suite is
the business of `pilotage.components.validation.validations`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilotage.components import snapshots
from pilotage.core import errors, pilots
from pilotage.core.artifacts import Check, Column, ColumnType, Severity, Snapshot
from pilotage.core.settings import Settings
from pilotage.core.specs import EMBEDDED, PilotSpec, Policy
from pilotage.core.storage import Storage

if TYPE_CHECKING:
    import pyarrow as pa

NULL_TOLERANCE = 0.05
"""How much the share of missing values may grow beyond the learned one."""
RANGE_MARGIN = 0.5
"""How far, as a share of the learned range, a number may lie outside it."""
RANGE_MOSTLY = 0.99
CATEGORY_MOSTLY = 0.95
"""Share of values that must be within the learned range or among the learned categories."""
ROW_SHARE = 0.1
"""Least share of the learned number of rows."""
MOST_CATEGORIES = 250
MOST_EXPECTATIONS = 300
"""A drafted suite stops here: of very wide tables the last columns are not looked at one by one."""
_TYPES = {
    ColumnType.INTEGER: ["int64", "float64"],
    ColumnType.NUMBER: ["float64"],
    ColumnType.BOOLEAN: ["bool"],
    ColumnType.TEXT: ["str"],
}

Suite = dict[str, Any]


def digest(suite: Suite) -> str:
    """SHA-256 of the suite in canonical JSON."""
    return hashlib.sha256(json.dumps(suite, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def load(name: str, folder: Path) -> Suite:
    """The pilot's own suite from file `name`, relative to its folder.

    Raises:
        NotFound: there is no such file.
        SpecError: it is not a suite in Great Expectations' JSON.
    """
    file = folder / name
    remedy = 'Write `{"name": …, "expectations": [{"type": …, "kwargs": {…}, "severity": …}]}`.'
    try:
        content = json.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise errors.NotFound(
            f"`expectations: {name}` names a file that does not exist: `{file}`.",
            remedy=f"Correct the name in {pilots.FILE_NAME}, or leave it out to have a suite drafted.",
        ) from error
    except (OSError, ValueError) as error:
        raise errors.SpecError(f"`{file}` is not JSON: {error}.", remedy=remedy) from error
    listed = content.get("expectations") if isinstance(content, dict) else None
    if not isinstance(listed, list) or not listed:
        raise errors.SpecError(f"`{file}` has no list of `expectations`.", remedy=remedy)
    suite_name = str(content.get("name") or file.stem)
    return {"name": suite_name, "expectations": listed, "meta": content.get("meta") or {}}


def require_stored(suite: Suite, spec: PilotSpec) -> None:
    """Refuse a suite of the pilot's own that expects columns which are dropped before anything is stored.

    Raises:
        SpecError: it does; names them.
    """
    personal = spec.data.personal
    if personal is None:
        return
    asked = {str((item.get("kwargs") or {}).get("column")) for item in suite["expectations"]}
    dropped = sorted(name for name in personal.columns if personal.column(name) is Policy.DROP)
    if missed := [name for name in dropped if name in asked]:
        told = ", ".join(f"`{name}`" for name in missed)
        columns = "column" if len(missed) == 1 else "columns"
        raise errors.SpecError(
            f"`{spec.expectations}` expects something of {columns} {told}, which `data.personal` drops"
            " before anything is stored.",
            remedy=f"Take the expectations of {told} out of `{spec.expectations}`, or hash or mask instead.",
        )


def drafted(settings: Settings, reference: Snapshot) -> Suite:
    """The suite learned from `reference`: the one that was kept, or a new one that is kept now.

    Raises:
        NotFound: none was kept, and the snapshot itself is gone.
    """
    store = Storage(settings.storage)
    told = [reference.target, reference.time, reference.key]
    told += [f"{feature.name}:{feature.kind.value}" for feature in reference.features]
    roles = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    name = f"suites/{reference.pilot}/{reference.digest}-{roles[:12]}.json"
    try:
        suite: Suite = json.loads(store.read(name))
    except (errors.NotFound, ValueError):
        suite = draft(settings, reference)
        store.write(name, (json.dumps(suite, indent=2, ensure_ascii=False) + "\n").encode())
    return suite


def limited(suite: Suite, snapshot: Snapshot) -> Suite:
    """The drafted suite without expectations of columns that the pilot does not use any more."""
    used = {feature.name for feature in snapshot.features} | {snapshot.target, snapshot.time, snapshot.key}
    kept = [item for item in suite["expectations"] if item["kwargs"].get("column", snapshot.target) in used]
    return {**suite, "expectations": kept}


def draft(settings: Settings, reference: Snapshot) -> Suite:
    """A suite that `reference` meets, with tolerance for what changes from day to day."""
    learned = reference.digest
    columns = [column for column in reference.columns if column.name in _roles(reference)]
    exact: list[Suite] = [_rows(reference)]
    loose: list[Suite] = []
    for column in columns:
        exact.extend(_exact(column, reference))
        loose.append(_nulls(column, reference))
    for column in columns[:MOST_EXPECTATIONS]:
        loose.extend(_values(settings, column, reference))
    for item in exact + loose:
        item["meta"] = {"pilotage": {"learned_from": learned, "tolerance": item.pop("tolerance")}}
    expectations = (exact + loose)[:MOST_EXPECTATIONS]
    left_out = len(exact) + len(loose) - len(expectations)
    return {
        "name": f"{reference.pilot}-{learned[:12]}",
        "expectations": expectations,
        "meta": {"pilotage": {"learned_from": learned, "rows": reference.rows, "left_out": left_out}},
    }


def with_tolerances(checks: Sequence[Check], suite: Suite) -> tuple[Check, ...]:
    """The checks with the tolerance that the suite states in their expectations' meta."""
    stated: dict[tuple[Any, ...], str] = {}
    for item in suite["expectations"]:
        ours = (item.get("meta") or {}).get("pilotage")
        if isinstance(ours, dict) and ours.get("tolerance"):
            column = (item.get("kwargs") or {}).get("column")
            stated[item["type"], column, item.get("severity") or "critical"] = str(ours["tolerance"])
    return tuple(
        check.model_copy(
            update={"tolerance": stated.get((check.expectation, check.column, check.severity.value), "")}
        )
        for check in checks
    )


def _roles(snapshot: Snapshot) -> set[str]:
    named = {feature.name for feature in snapshot.features} | {snapshot.target}
    return named | {name for name in (snapshot.time, snapshot.key) if name is not None}


def _expect(kind: str, tolerance: str, severity: Severity, **kwargs: Any) -> Suite:
    return {"type": kind, "kwargs": kwargs, "severity": severity.value, "tolerance": tolerance}


def _rows(reference: Snapshot) -> Suite:
    return _expect(
        "expect_table_row_count_to_be_between",
        f"at least {ROW_SHARE:.0%} of {reference.rows} rows",
        Severity.CRITICAL,
        min_value=max(1, int(reference.rows * ROW_SHARE)),
    )


def _exact(column: Column, reference: Snapshot) -> Iterator[Suite]:
    """What stops the run: type, and a key that is there and unique."""
    name = column.name
    if name in (reference.key, reference.target, reference.time):
        yield _expect("expect_column_values_to_not_be_null", "none", Severity.CRITICAL, column=name)
    if name == reference.key:
        yield _expect("expect_column_values_to_be_unique", "none", Severity.CRITICAL, column=name)
    if column.type in _TYPES and column.distinct:
        kinds = _TYPES[column.type]
        yield _expect(
            "expect_column_values_to_be_in_type_list", "none", Severity.CRITICAL, column=name, type_list=kinds
        )


def _nulls(column: Column, reference: Snapshot) -> Suite:
    share = column.nulls / reference.rows
    return _expect(
        "expect_column_values_to_not_be_null",
        f"{share:.1%} were missing, {NULL_TOLERANCE:.0%} more may be",
        Severity.WARNING,
        column=column.name,
        mostly=round(max(0.0, 1 - share - NULL_TOLERANCE), 6),
    )


def _values(settings: Settings, column: Column, reference: Snapshot) -> Iterator[Suite]:
    """What warns: numbers in a range, categories in a set."""
    import pyarrow.compute as pc

    embedded = {feature.name for feature in reference.features if feature.kind in EMBEDDED}
    if column.name in {reference.key, reference.time, *embedded} or not column.distinct:
        return
    if column.type in (ColumnType.INTEGER, ColumnType.NUMBER):
        low, high = _ends(settings, column, reference)
        margin = RANGE_MARGIN * (high - low or abs(high) or 1.0)
        yield _expect(
            "expect_column_values_to_be_between",
            f"{RANGE_MOSTLY:.0%} within {low:g} to {high:g} and half of that range beyond",
            Severity.WARNING,
            column=column.name,
            min_value=low - margin,
            max_value=high + margin,
            mostly=RANGE_MOSTLY,
        )
    elif column.type is ColumnType.TEXT and column.distinct <= MOST_CATEGORIES:
        values = pc.unique(_read(settings, column, reference).drop_null())
        yield _expect(
            "expect_column_values_to_be_in_set",
            f"{CATEGORY_MOSTLY:.0%} among the {len(values)} that were seen",
            Severity.WARNING,
            column=column.name,
            value_set=sorted(values.to_pylist()),
            mostly=CATEGORY_MOSTLY,
        )


def _ends(settings: Settings, column: Column, reference: Snapshot) -> tuple[float, float]:
    import pyarrow.compute as pc

    ends = pc.min_max(_read(settings, column, reference))
    return float(ends["min"].as_py()), float(ends["max"].as_py())


def _read(settings: Settings, column: Column, reference: Snapshot) -> pa.ChunkedArray:
    return snapshots.read_table(settings, reference, [column.name]).column(0)
