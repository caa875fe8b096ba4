"""What the columns of a table are for the pilot, and whether they can be it.

Looks at the facts that were counted while the table was written, never at its
rows. A text column with many different values is taken for an identifier or
free text and left out; the pilot may say otherwise under `data.features`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from pilotage.components.ingestion import notations
from pilotage.components.ingestion.tables import MOST_DISTINCT, Facts, Written
from pilotage.core import errors
from pilotage.core.artifacts import ColumnType, Exclusion, Feature, Notation, Notice, Scalar
from pilotage.core.features import category_text
from pilotage.core.metrics import Task
from pilotage.core.personal import patterns
from pilotage.core.specs import Data, FeatureKind, PilotSpec

LEAST_ROWS = 20
MOST_CLASSES = 1_000
LEAST_ROWS_PER_CLASS = 2
MOST_NUMBER = 1e38
"""The largest magnitude of a number; several estimators compute with 32 bits, which end at 3.4e38."""
_TYPING_ERROR = 0.85
_EXCLUDE = "data.exclude"
FEW_TEXTS = 50
"""Up to so many different texts are categories, whatever their share of the rows."""
_KIND = {
    ColumnType.INTEGER: FeatureKind.NUMBER,
    ColumnType.NUMBER: FeatureKind.NUMBER,
    ColumnType.BOOLEAN: FeatureKind.BOOLEAN,
    ColumnType.TEXT: FeatureKind.CATEGORY,
    ColumnType.DATE: FeatureKind.TIME,
    ColumnType.DATETIME: FeatureKind.TIME,
}
_FOR_SEVERAL_CLASSES = {
    "average_precision": "roc_auc_ovr",
    "f1": "f1_macro",
    "jaccard": "jaccard_macro",
    "neg_brier_score": "neg_log_loss",
    "neg_negative_likelihood_ratio": "balanced_accuracy",
    "positive_likelihood_ratio": "balanced_accuracy",
    "precision": "precision_macro",
    "recall": "recall_macro",
    "roc_auc": "roc_auc_ovr",
}


def pins(data: Data) -> dict[str, FeatureKind]:
    """The kinds that pilot.yaml says columns have."""
    found = dict(data.features or {})
    if data.time is not None:
        found[data.time] = FeatureKind.TIME
    return found


def check_names(spec: PilotSpec, names: Sequence[str]) -> None:
    """Raise DataError unless every column that pilot.yaml names is among `names`.

    An excluded column may be gone, but not when a column is there whose name is nearly the same.
    """
    data = spec.data
    declared = [("data.target", data.target), ("data.time", data.time), ("data.key", data.key)]
    declared += [("data.features", name) for name in data.features or {}]
    declared += [(_EXCLUDE, name) for name in data.exclude]
    declared += [
        (f"gates.{place}.by", name) for place, gate in enumerate(spec.gates) for name in gate.columns
    ]
    for role, name in declared:
        if name is not None and name not in names:
            gone = role == _EXCLUDE
            near = difflib.get_close_matches(name, names, n=1, cutoff=_TYPING_ERROR if gone else 0.5)
            if gone and not near:
                continue
            shown = ", ".join(f"`{other}`" for other in names[:12]) + (" …" if len(names) > 12 else "")
            raise errors.DataError(
                f"`{role}` names column `{name}`, which the source does not have"
                + (f"; did you mean `{near[0]}`?" if near else f"; it has {shown}."),
                remedy="Restore the column in the source, or correct pilot.yaml.",
                column=name,
            )


def check_table(spec: PilotSpec, table: Written) -> None:
    """Raise DataError unless rows, key and time can be what the pilot says."""
    data = spec.data
    if table.rows < LEAST_ROWS:
        raise errors.DataError(
            f"The source has {table.rows} row{'s'[: table.rows != 1]}, at least {LEAST_ROWS} are needed.",
            remedy="Give it more data.",
            rows=table.rows,
        )
    for role, name in (("target", data.target), ("time", data.time), ("key", data.key)):
        if name is not None and table.facts[name].nulls:
            count = table.facts[name].nulls
            raise errors.DataError(
                f"The {role} `{name}` is missing in {count:,} of {table.rows:,} rows.",
                remedy="Fill them in, or leave those rows out in the source.",
                column=name,
                nulls=count,
            )


def classes_of(spec: PilotSpec, table: Written) -> tuple[Scalar, ...]:
    """The target's classes in sorted order; empty for regression.

    Raises:
        DataError: the target does not fit the task, its metric or `data.positive`.
    """
    target = table.facts[spec.data.target]
    if spec.task is Task.REGRESSION:
        _check_regression(spec, target)
        return ()
    if target.type in (ColumnType.NUMBER, ColumnType.DATE, ColumnType.DATETIME):
        what = "numbers with fractions" if target.type is ColumnType.NUMBER else f"{target.type.value}s"
        raise errors.DataError(
            f"The target `{target.name}` holds {what}, but `goal.metric` {spec.goal.metric} "
            "is for classification.",
            remedy="Use a regression metric such as `r2`, or a target of texts, whole numbers or booleans.",
            column=target.name,
        )
    if target.distinct > MOST_CLASSES:
        many = f"more than {MOST_DISTINCT:,}" if target.distinct > MOST_DISTINCT else f"{target.distinct:,}"
        raise errors.DataError(
            f"The target `{target.name}` has {many} different values, at most {MOST_CLASSES:,} are possible.",
            remedy="Use a regression metric such as `r2` if it is a quantity, or group its classes.",
            column=target.name,
        )
    classes = tuple(sorted(target.values))
    _check_classes(spec, target.name, classes, table.class_counts)
    return classes


def _check_regression(spec: PilotSpec, target: Facts) -> None:
    if target.type not in (ColumnType.INTEGER, ColumnType.NUMBER):
        sample = f"text such as {_shown(target.values[0])}" if target.values else "text"
        holds = sample if target.type is ColumnType.TEXT else f"{target.type.value}s"
        raise errors.DataError(
            f"The target `{target.name}` holds {holds}, but `goal.metric` {spec.goal.metric} "
            "is for regression, which needs numbers.",
            remedy=notations.remedy(notation)
            if (notation := _notation(target.values)) is not None
            else "Use a classification metric such as `accuracy`, or make the target a number.",
            column=target.name,
        )
    _check_finite(target)
    _check_varies(target)


def _check_classes(spec: PilotSpec, name: str, classes: tuple[Any, ...], counts: Mapping[Any, int]) -> None:
    metric, positive = spec.goal.metric, spec.data.positive
    if len(classes) == 1:
        raise errors.DataError(
            f"The target `{name}` is constant: every row is {classes[0]!r}, one class only.",
            remedy="Give the source rows of at least two classes.",
            column=name,
        )
    rare = [value for value in classes if counts[value] < LEAST_ROWS_PER_CLASS]
    if rare:
        raise errors.DataError(
            f"Class {rare[0]!r} of the target `{name}` has a single row"
            + (f" (as have {len(rare) - 1} more classes)" if len(rare) > 1 else "")
            + f", at least {LEAST_ROWS_PER_CLASS} are needed to train and to test.",
            remedy=_of_rare(classes),
            column=name,
        )
    if spec.needs_two_classes and len(classes) > 2:
        raise errors.DataError(
            f"`goal.metric` {metric} is for two classes, the target `{name}` has {len(classes)}.",
            remedy=f"Use `{_FOR_SEVERAL_CLASSES[metric]}`, or `balanced_accuracy`.",
            column=name,
        )
    if positive is not None and positive not in classes:
        text = category_text(positive)
        near = next((value for value in classes if category_text(value) == text), None)
        hint = f"write `positive: {near!r}`" if near is not None else "name one of the classes"
        raise errors.DataError(
            f"`data.positive` is {positive!r}, but the classes of `{name}` are "
            f"{', '.join(repr(value) for value in classes[:10])}{' …' if len(classes) > 10 else ''}.",
            remedy=f"In pilot.yaml, {hint}.",
            column=name,
        )


def _of_rare(classes: tuple[Any, ...]) -> str:
    notation = _notation(classes)
    if notation is not None:
        return notations.remedy(notation)
    return "Add rows of it, group rare classes, or use a regression metric for a quantity."


def _notation(values: Sequence[Any]) -> Notation | None:
    texts = [value for value in values if isinstance(value, str)]
    return notations.of(pl.Series(texts, dtype=pl.String)) if texts else None


def told(data: Data, notices: Sequence[Notice]) -> tuple[Notice, ...]:
    """The notices of columns that the pilot uses, or would if they were numbers or dates."""
    unused = {*data.exclude, *([] if data.key is None else [data.key])}
    used = None if data.features is None else {*data.features, data.target}
    return tuple(
        notice
        for notice in notices
        if notice.column not in unused and (used is None or notice.column in used)
    )


def _shown(value: object) -> str:
    """A value as messages may show it, without personal data that can be told."""
    shown = patterns.masked(value) if isinstance(value, str) else value
    return f"{shown!r:.40}"


def _check_varies(facts: Facts) -> None:
    if facts.distinct == 1:
        raise errors.DataError(
            f"The target `{facts.name}` is constant: every row is {facts.values[0]!r}.",
            remedy="Give the source rows with different outcomes.",
            column=facts.name,
        )


def _check_finite(facts: Facts) -> None:
    if facts.infinite:
        raise errors.DataError(
            f"Column `{facts.name}` holds {facts.infinite:,} infinite number{'s'[: facts.infinite != 1]}.",
            remedy="Replace infinity by a number or by nothing in the source, or exclude the column.",
            column=facts.name,
            infinite=facts.infinite,
        )
    if facts.type is ColumnType.NUMBER and facts.low is not None:
        far = max(facts.low, facts.high, key=abs)
        if abs(far) > MOST_NUMBER:
            raise errors.DataError(
                f"Column `{facts.name}` holds {far:g}, estimators compute with at most {MOST_NUMBER:g}.",
                remedy="Rescale it in the source, take its logarithm, or exclude the column.",
                column=facts.name,
            )


def assign(spec: PilotSpec, table: Written) -> tuple[tuple[Feature, ...], tuple[Exclusion, ...]]:
    """The features, and for every other column why it is none.

    Raises:
        DataError: a feature cannot be used, or none is left.
    """
    data = spec.data
    features: list[Feature] = []
    excluded: list[Exclusion] = []
    for name, facts in table.facts.items():
        reason = _reason(data, facts, table.rows)
        if reason:
            excluded.append(Exclusion(name=name, reason=reason))
            continue
        kind = (data.features or {}).get(name) or _KIND[facts.type]
        _check_finite(facts)
        _check_truth(facts, kind)
        features.append(Feature(name=name, kind=kind))
    if not features:
        why = "; ".join(f"`{item.name}` {item.reason}" for item in excluded[:8])
        raise errors.DataError(
            f"No feature is left: {why}.",
            remedy="Name columns with their kind under `data.features`, or give the source more columns.",
        )
    if data.features is not None:
        order = {name: place for place, name in enumerate(data.features)}
        features.sort(key=lambda feature: order[feature.name])
    return tuple(features), tuple(excluded)


def _check_truth(facts: Facts, kind: FeatureKind) -> None:
    if kind is not FeatureKind.BOOLEAN or facts.type is ColumnType.BOOLEAN:
        return
    odd = [value for value in facts.values if value not in (0, 1)]
    if odd:
        raise errors.DataError(
            f"Column `{facts.name}` should be a boolean, but holds {odd[0]!r}.",
            remedy="A boolean is true or false, 1 or 0; give it another kind in `data.features`.",
            column=facts.name,
        )


def _reason(data: Data, facts: Facts, rows: int) -> str:
    """Why a column is no feature; empty when it is one."""
    name = facts.name
    if name == data.target:
        return "is the target"
    if name in data.exclude:
        return "is under `data.exclude`"
    if data.features is not None:
        return "" if name in data.features else "is not under `data.features`"
    if name == data.time:
        return "is the time"
    if name == data.key:
        return "is the key"
    if facts.distinct == 0:
        return "has no value in any row"
    if facts.distinct == 1 and not facts.nulls:
        return f"is constant, always {_shown(facts.values[0])}"
    if name.startswith("unnamed_") and name.removeprefix("unnamed_").isdigit():
        return "has no name in the header"
    if facts.type is ColumnType.TEXT and facts.distinct > FEW_TEXTS:
        if facts.distinct > MOST_DISTINCT:
            return f"looks like an identifier or free text (more than {MOST_DISTINCT:,} different values)"
        if facts.distinct > rows / 2:
            share = f"{facts.distinct:,} different values in {rows:,} rows, such as {_shown(facts.values[0])}"
            return f"looks like an identifier or free text ({share})"
    return ""


def time_range(facts: Facts | None) -> tuple[datetime, datetime] | None:
    """The first and the last time in UTC; a date stands for its midnight."""
    if facts is None or facts.low is None:
        return None
    return _instant(facts.low), _instant(facts.high)


def _instant(value: date | datetime) -> datetime:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return datetime(value.year, value.month, value.day, tzinfo=UTC)
