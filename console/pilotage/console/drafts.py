"""A new pilot from a table: what to predict, how to judge it, what to expect of the data.

Everything drafted is written out in pilot.yaml, where people read and change
it. Nothing that is there already is overwritten, and a draft that could not run
is not written.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pilotage.components import ingest
from pilotage.components.ingestion import notations, tables
from pilotage.components.ingestion.tables import Facts, Written
from pilotage.components.sources import listings
from pilotage.components.sources.batches import open_source
from pilotage.components.validation import suites
from pilotage.core import errors, pilots, settings, storage
from pilotage.core.artifacts import ColumnType, Snapshot
from pilotage.core.specs import PilotSpec

SUITE_FILE = "expectations.json"
MOST_INTEGER_CLASSES = 20
"""A target of whole numbers with more different values is a quantity."""
_FEW_ROWS = 100
"""With fewer, a default of boosting has next to nothing to split."""
_TARGETS = ("target", "label", "y", "class", "outcome")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_KEYS = re.compile(r"((^|_|\b)(?i:id|key|uuid|guid|number|no)|[a-z](Id|ID))$")
_METRICS = {2: "roc_auc", 3: "balanced_accuracy"}
_REGRESSION_METRIC = "r2"


@dataclass(frozen=True)
class Draft:
    """A pilot that was written."""

    folder: Path
    spec: PilotSpec
    snapshot: Snapshot
    expectations: int

    @property
    def document(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "pilot": self.spec.pilot,
            "folder": str(self.folder),
            "files": [str(self.folder / pilots.FILE_NAME), str(self.folder / SUITE_FILE)],
            "rows": self.snapshot.rows,
            "target": self.snapshot.target,
            "task": self.snapshot.task.value,
            "metric": self.spec.goal.metric,
            "time": self.snapshot.time,
            "key": self.snapshot.key,
            "features": {feature.name: feature.kind.value for feature in self.snapshot.features},
            "excluded": {item.name: item.reason for item in self.snapshot.excluded},
            "expectations": self.expectations,
            "warnings": list(self.warnings),
        }

    @property
    def warnings(self) -> tuple[str, ...]:
        """Columns that are probably misread."""
        return tuple(map(notations.warning, self.snapshot.notices))


def make(name: str, table: str, target: str | None, here: Path) -> Draft:
    """Write folder `name` below `here` with a pilot drafted from `table`.

    Args:
        name: of the pilot, a DNS-1123 label.
        table: files relative to `here`, or a URL.
        target: column to predict; found by its name when None.
        here: where the folder comes to be.

    Raises:
        SpecError: `name` is not a label, or the folder holds a pilot already.
        SourceError, DataError: the table cannot be read or used.
    """
    folder = here / name
    _check_free(name, folder)
    source = table if "://" in table else _relative(table, here, folder)
    with tempfile.TemporaryDirectory(prefix="pilotage-init-") as scratch_name:
        scratch = Path(scratch_name)
        aside = settings.load(home=scratch / "home", storage_url="")
        written = _read(name, table, here, scratch)
        content = _content(name, source, written, _target(target, table, written))
        spec = pilots.parse(_text(content))
        reading = spec.model_copy(update={"data": spec.data.model_copy(update={"source": table})})
        snapshot = ingest.ingest(reading, here, aside, scratch)
        content["data"]["features"] = {feature.name: feature.kind.value for feature in snapshot.features}
        suite = suites.draft(aside, snapshot)
        content["expectations"] = SUITE_FILE
    heading = _HEADING.format(rows=snapshot.rows, name=name) + _misread(snapshot)
    text = heading + _text({key: content[key] for key in _ORDER if key in content})
    spec = pilots.parse(text)
    _write(folder, text, suite)
    return Draft(folder, spec, snapshot, len(suite["expectations"]))


_ORDER = (
    "version",
    "pilot",
    "description",
    "goal",
    "data",
    "expectations",
    "train",
    "gates",
    "monitor",
    "retrain",
)
_HEADING = """\
# Drafted by `pilotage init` from {rows:,} rows; every line is yours to change.
# `pilotage check {name}` reads the data, `pilotage run {name}` trains. `pilotage schema` prints every key.
"""


def _misread(snapshot: Snapshot) -> str:
    """Comments on columns that are probably meant to be numbers or dates."""
    told = [f"`{notice.column}`: {notations.sentence(notice)}" for notice in snapshot.notices]
    return "".join(f"# {''.join(each if each.isprintable() else ' ' for each in line)}\n" for line in told)


def _check_free(name: str, folder: Path) -> None:
    if not _NAME.fullmatch(name):
        near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63]
        raise errors.SpecError(
            f"`{name}` cannot be a pilot's name: lower-case letters, digits and dashes, at most 63.",
            remedy=f"Try `{near}`." if near else "Choose one such as `churn`.",
        )
    for taken in (folder / pilots.FILE_NAME, folder / SUITE_FILE):
        if taken.exists():
            raise errors.SpecError(
                f"`{taken}` is there already and stays as it is.",
                remedy="Choose another name, or edit the file.",
            )
    if folder.exists() and not folder.is_dir():
        raise errors.SpecError(f"`{folder}` is a file.", remedy="Choose another name.")


def _relative(table: str, here: Path, folder: Path) -> str:
    listings.list_files(table, here)
    path = Path(table).expanduser()
    return str(path) if path.is_absolute() else os.path.relpath(here / path, folder)


def _read(name: str, table: str, here: Path, scratch: Path) -> Written:
    """The facts of every column; the target is not known yet."""
    anything = PilotSpec.model_validate(
        {
            "version": 1,
            "pilot": name,
            "goal": {"metric": _REGRESSION_METRIC},
            "data": {"source": table, "target": "unknown"},
        }
    )
    rough, typed = scratch / "rough", scratch / "typed"
    rough.mkdir()
    typed.mkdir()
    spool = tables.spool(open_source(anything, here), rough, {}, ())
    if not spool.rows:
        raise errors.DataError(f"`{table}` has no rows.", remedy="Give it data.")
    first = next(iter(spool.types))
    return tables.write(spool, typed, first, None)


def _target(asked: str | None, table: str, written: Written) -> Facts:
    names = list(written.facts)
    shown = ", ".join(names[:30]) + (" …" if len(names) > 30 else "")
    if asked is not None:
        if asked in written.facts:
            return written.facts[asked]
        near = difflib.get_close_matches(asked, names, n=1)
        raise errors.DataError(
            f"`{table}` has no column `{asked}`; it has {shown}.",
            remedy=f"Did you mean `--target {near[0]}`?" if near else "Name one of these with `--target`.",
        )
    found = [name for name in names if name.lower() in _TARGETS]
    if len(found) == 1:
        return written.facts[found[0]]
    raise errors.DataError(
        f"Which column of `{table}` is to be predicted? It has {shown}.", remedy="Name it with `--target`."
    )


def _content(name: str, source: str, written: Written, target: Facts) -> dict[str, Any]:
    metric = _metric(target)
    data: dict[str, Any] = {"source": source, "target": target.name}
    time, key = _time(written, target.name), _key(written, target.name)
    if time:
        data["time"] = time
    if key:
        data["key"] = key
    gates = [
        {"metric": metric, "against": "baseline"},
        {"metric": metric, "against": "champion", "margin": 0.0},
    ]
    return {
        "version": 1,
        "pilot": name,
        "goal": {"metric": metric},
        "data": data,
        "train": {"estimator": _estimator(written)},
        "gates": gates,
        "monitor": {"window": "1d", "drift": {"false_alarm_rate": 0.01, "min_effect": 0.1}},
        "retrain": {"on": ["drift", "performance"], "cooldown": "7d"},
    }


def _estimator(written: Written) -> str:
    """The usual one, or one that can learn from a few rows: boosting makes no leaf of less than 20."""
    return "random_forest" if written.rows < _FEW_ROWS else "hist_gradient_boosting"


def _metric(target: Facts) -> str:
    classes = target.type in (ColumnType.TEXT, ColumnType.BOOLEAN) or (
        target.type is ColumnType.INTEGER and target.distinct <= MOST_INTEGER_CLASSES
    )
    return _METRICS[min(max(target.distinct, 2), 3)] if classes else _REGRESSION_METRIC


def _time(written: Written, target: str) -> str | None:
    """The complete column of dates or times with the most different values."""
    found = [
        facts
        for facts in written.facts.values()
        if facts.type in (ColumnType.DATE, ColumnType.DATETIME) and not facts.nulls and facts.name != target
    ]
    best = max(found, key=lambda facts: facts.distinct, default=None)
    return best.name if best is not None and best.distinct > 1 else None


def _key(written: Written, target: str) -> str | None:
    """The first column that is named like a key, complete and, as far as was counted, unique."""
    least = min(written.rows, tables.MOST_DISTINCT + 1)
    for facts in written.facts.values():
        countable = facts.type in (ColumnType.TEXT, ColumnType.INTEGER)
        unique = countable and not facts.nulls and facts.distinct >= least
        if unique and facts.name != target and _KEYS.search(facts.name):
            return facts.name
    return None


def _text(content: dict[str, Any]) -> str:
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    return text.replace("'on':", "on:")  # a word in YAML 1.2, which pilot.yaml is


def _write(folder: Path, text: str, suite: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    storage.write_file(folder / SUITE_FILE, (json.dumps(suite, indent=2, ensure_ascii=False) + "\n").encode())
    storage.write_file(folder / pilots.FILE_NAME, text.encode())
