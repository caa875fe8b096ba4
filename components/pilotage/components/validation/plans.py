"""Running a suite's expectations on a table: all that compile together, in a few lazy queries.

`COMPILERS` is where a kind of expectation is plugged in: a function that takes
a `Scope` and asks in rounds (see `questions`). Questions of one round about
the same rows are one streaming query, so a table larger than memory is read
once in bounded memory. What has no compiled form is named and left to
`fallbacks`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from pilotage.components.validation import aggregates, sequences, shapes, values
from pilotage.components.validation.expectations import Expectation
from pilotage.components.validation.questions import Number, Outcome, Question, Scope, Steps
from pilotage.components.validation.tables import Table, Uncompiled
from pilotage.core import errors

COMPILERS: dict[str, Callable[[Scope], Steps]] = {
    "expect_column_values_to_be_null": values.null,
    "expect_column_values_to_not_be_null": values.not_null,
    "expect_column_values_to_be_of_type": values.of_type,
    "expect_column_values_to_be_in_type_list": values.in_type_list,
    "expect_column_values_to_be_in_set": values.in_set,
    "expect_column_values_to_not_be_in_set": values.not_in_set,
    "expect_column_values_to_be_between": values.between,
    "expect_column_values_to_match_regex": values.match,
    "expect_column_values_to_not_match_regex": values.not_match,
    "expect_column_values_to_match_regex_list": values.match_list,
    "expect_column_values_to_not_match_regex_list": values.not_match_list,
    "expect_column_value_lengths_to_be_between": values.lengths_between,
    "expect_column_value_lengths_to_equal": values.lengths_equal,
    "expect_column_values_to_be_unique": sequences.unique,
    "expect_compound_columns_to_be_unique": sequences.unique_together,
    "expect_select_column_values_to_be_unique_within_record": sequences.unique_within,
    "expect_column_values_to_be_increasing": sequences.increasing,
    "expect_column_values_to_be_decreasing": sequences.decreasing,
    "expect_column_mean_to_be_between": aggregates.mean,
    "expect_column_median_to_be_between": aggregates.median,
    "expect_column_min_to_be_between": aggregates.minimum,
    "expect_column_max_to_be_between": aggregates.maximum,
    "expect_column_sum_to_be_between": aggregates.total,
    "expect_column_stdev_to_be_between": aggregates.deviation,
    "expect_column_quantile_values_to_be_between": aggregates.quantiles,
    "expect_column_unique_value_count_to_be_between": aggregates.distinct_count,
    "expect_column_proportion_of_unique_values_to_be_between": aggregates.distinct_share,
    "expect_column_proportion_of_non_null_values_to_be_between": aggregates.present_share,
    "expect_column_distinct_values_to_be_in_set": aggregates.distinct_in_set,
    "expect_column_distinct_values_to_contain_set": aggregates.distinct_contain,
    "expect_column_distinct_values_to_equal_set": aggregates.distinct_equal,
    "expect_column_most_common_value_to_be_in_set": aggregates.most_common,
    "expect_column_pair_values_a_to_be_greater_than_b": shapes.greater,
    "expect_column_pair_values_to_be_equal": shapes.equal,
    "expect_column_to_exist": shapes.column_exists,
    "expect_table_row_count_to_be_between": shapes.row_count_between,
    "expect_table_row_count_to_equal": shapes.row_count_equal,
    "expect_table_column_count_to_be_between": shapes.column_count_between,
    "expect_table_column_count_to_equal": shapes.column_count_equal,
    "expect_table_columns_to_match_ordered_list": shapes.columns_in_order,
    "expect_table_columns_to_match_set": shapes.columns_as_set,
}
"""Kind of expectation → what it asks and what it makes of the answers."""


@dataclass
class _Running:
    """An expectation that waits for answers."""

    expectation: Expectation
    rows: str
    """Key of its condition on rows; empty without."""
    steps: Steps
    asked: Mapping[str, Question]


@dataclass(frozen=True)
class Findings:
    """What came of a suite."""

    outcomes: dict[int, Outcome]
    """By place in the suite."""
    left: list[Expectation]
    """What has no compiled form on this table."""


def run(expectations: Sequence[Expectation], table: Table) -> Findings:
    """Evaluate all expectations that compile."""
    findings = Findings({}, [])
    filters: dict[str, pl.Expr] = {}
    waiting = [
        running for item in expectations if (running := _start(item, table, filters, findings)) is not None
    ]
    answers: dict[tuple[str, str], Any] = {}
    while waiting:
        asked = {
            (running.rows, key): question for running in waiting for key, question in running.asked.items()
        }
        asked = {key: question for key, question in asked.items() if key not in answers}
        answers |= _answer(asked, table, filters)
        waiting = [running for running in waiting if _goes_on(running, answers, findings)]
    return findings


def _start(
    item: Expectation, table: Table, filters: dict[str, pl.Expr], findings: Findings
) -> _Running | None:
    """The expectation with its first questions; None when it has no compiled form."""
    if item.arguments is None or item.type not in COMPILERS:
        findings.left.append(item)
        return None
    key = item.condition.key if item.condition is not None else ""
    try:
        if item.condition is not None and key not in filters:
            filters[key] = item.condition.compile(table)
        steps = COMPILERS[item.type](Scope(item.place, table, item.arguments))
        return _Running(item, key, steps, next(steps))
    except Uncompiled:
        findings.left.append(item)
        return None


def _goes_on(running: _Running, answers: Mapping[tuple[str, str], Any], findings: Findings) -> bool:
    """Give an expectation its answers; whether it has more questions."""
    try:
        running.asked = running.steps.send({key: answers[running.rows, key] for key in running.asked})
    except StopIteration as end:
        findings.outcomes[running.expectation.place] = end.value
        return False
    except Uncompiled:
        findings.left.append(running.expectation)
        return False
    return True


def _answer(
    asked: Mapping[tuple[str, str], Question], table: Table, filters: Mapping[str, pl.Expr]
) -> dict[tuple[str, str], Any]:
    """One query for all numbers about the same rows, and one for each question that needs its own."""
    answers: dict[tuple[str, str], Any] = {}
    numbers: dict[str, dict[str, pl.Expr]] = {}
    for (rows, key), question in asked.items():
        if isinstance(question, Number):
            numbers.setdefault(rows, {})[key] = question.expression
        else:
            answers[rows, key] = _collect(question.build(_frame(table, filters.get(rows))))
    for rows, expressions in numbers.items():
        named = [expression.alias(f"n{number}") for number, expression in enumerate(expressions.values())]
        found = _collect(_frame(table, filters.get(rows)).select(*named)).row(0)
        answers |= {(rows, key): value for key, value in zip(expressions, found, strict=True)}
    return answers


def _frame(table: Table, rows: pl.Expr | None) -> pl.LazyFrame:
    frame = table.scan()
    return frame if rows is None else frame.filter(rows)


def _collect(frame: pl.LazyFrame) -> pl.DataFrame:
    try:
        return frame.collect(engine="streaming")
    except (pl.exceptions.ComputeError, OSError) as error:
        raise errors.DataError(
            f"The rows cannot be read: {error}.",
            remedy="Mend the file; of a snapshot, delete its folder and run ingest again with --no-cache.",
        ) from error
