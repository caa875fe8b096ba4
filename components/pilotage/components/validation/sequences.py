"""Expectations about values and their neighbours: unique, unique together, in order.

Whether values repeat is first asked of 64-bit hashes, whose number is never
above that of the values: as many hashes as values prove that none repeats.
Only else are the values themselves grouped. Both take memory in proportion to
the different values. Each value by itself is the business of `values`.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pilotage.components.validation.questions import (
    MOST_EXAMPLES,
    Number,
    Outcome,
    Question,
    Rows,
    Scope,
    Steps,
    column,
    count_present,
    count_rows,
    counted,
    first,
    mostly,
    told,
    whole,
)  # fmt: skip
from pilotage.components.validation.tables import Uncompiled, View
from pilotage.core.artifacts import ColumnType


def unique(scope: Scope) -> Steps:
    """`expect_column_values_to_be_unique`."""
    view = scope.view
    hashes = {f"distinct {view.alias}": whole(distinct(view))}
    found = yield count_rows() | count_present(view) | hashes
    rows, present = found["rows"], found[f"present {view.alias}"]
    unexpected, listed = 0, []
    if found[f"distinct {view.alias}"].item() < present:
        kept = view.values.is_not_null()
        answers = yield _repeated(scope.place, [view.values.alias("0")], kept)
        unexpected = int(answers[f"repeated {scope.place}"].item() or 0)
        listed = column(answers[f"first {scope.place}"])
    return Outcome(mostly(present, unexpected, scope["mostly"]), counted(rows, present, unexpected, listed))


def distinct(view: View) -> pl.Expr:
    """The number of different values, or of their hashes, which is as large unless two collide."""
    values = view.values.drop_nulls()
    return (values.hash() if view.type is ColumnType.TEXT else values).n_unique()


def _repeated(place: int, keys: Sequence[pl.Expr], kept: pl.Expr) -> dict[str, Question]:
    """How many rows share their keys with another, and the first of them."""
    names = [str(number) for number in range(len(keys))]

    def groups(frame: pl.LazyFrame) -> pl.LazyFrame:
        sizes = frame.filter(kept).select(*keys).group_by(names).agg(pl.len().alias("size"))
        return sizes.filter(pl.col("size") > 1)

    def examples(frame: pl.LazyFrame) -> pl.LazyFrame:
        numbered = frame.filter(kept).select(*keys).with_row_index("row")
        found = numbered.join(groups(frame), on=names, how="semi", nulls_equal=True)
        return found.sort("row").head(MOST_EXAMPLES).select(names)

    return {
        f"repeated {place}": Rows(lambda frame: groups(frame).select(pl.col("size").sum())),
        f"first {place}": Rows(examples),
    }


def unique_together(scope: Scope) -> Steps:
    """`expect_compound_columns_to_be_unique`."""
    views = _several(scope)
    kept = _kept(views, scope["ignore_row_if"])
    keys = [view.values.alias(str(number)) for number, view in enumerate(views)]
    hashes = Rows(lambda frame: frame.filter(kept).select(pl.struct(*keys).hash().n_unique()))
    asked: dict[str, Question] = {f"kept {scope.place}": Number(kept.sum()), f"hashes {scope.place}": hashes}
    found = yield count_rows() | asked
    rows, considered = found["rows"], int(found[f"kept {scope.place}"])
    unexpected, listed = 0, []
    if found[f"hashes {scope.place}"].item() < considered:
        answers = yield _repeated(scope.place, keys, kept)
        unexpected = int(answers[f"repeated {scope.place}"].item() or 0)
        listed = records(views, answers[f"first {scope.place}"])
    return Outcome(
        mostly(considered, unexpected, scope["mostly"]), counted(rows, considered, unexpected, listed)
    )


def unique_within(scope: Scope) -> Steps:
    """`expect_select_column_values_to_be_unique_within_record`."""
    views = _several(scope)
    if len({view.stored for view in views}) != 1:
        raise Uncompiled("columns of different types within a record")
    kept = _kept(views, scope["ignore_row_if"])
    alike = pl.any_horizontal(
        one.values.eq_missing(other.values) for place, one in enumerate(views) for other in views[:place]
    )
    found = yield count_rows() | {
        f"kept {scope.place}": Number(kept.sum()),
        f"unexpected {scope.place}": Number((kept & alike).sum()),
    }
    considered, unexpected = int(found[f"kept {scope.place}"]), int(found[f"unexpected {scope.place}"])
    listed = []
    if unexpected:
        keys = [view.values.alias(str(number)) for number, view in enumerate(views)]
        key = f"first {scope.place}"
        listed = records(views, (yield {key: first(kept & alike, keys)})[key])
    return Outcome(
        mostly(considered, unexpected, scope["mostly"]),
        counted(found["rows"], considered, unexpected, listed),
    )


def _several(scope: Scope) -> list[View]:
    names = scope["column_list"]
    if len(set(names)) < len(names):
        raise Uncompiled("a column named twice")
    return [scope.table.view(name) for name in names]


def _kept(views: Sequence[View], ignored: str) -> pl.Expr:
    present = [view.values.is_not_null() for view in views]
    if ignored == "never":
        return present[0] | ~present[0]
    return pl.any_horizontal(present) if ignored == "all_values_are_missing" else pl.all_horizontal(present)


def records(views: Sequence[View], rows: pl.DataFrame) -> list[dict[str, object]]:
    """Rows with the names of their columns; pandas has a word for a time that is missing."""
    none = ["NaT" if view.type is ColumnType.DATETIME else None for view in views]
    return [
        {
            view.name: instead if value is None else told(value)
            for view, value, instead in zip(views, row, none, strict=True)
        }
        for row in rows.iter_rows()
    ]


def increasing(scope: Scope) -> Steps:
    """`expect_column_values_to_be_increasing`."""
    return _ordered(scope, 1)


def decreasing(scope: Scope) -> Steps:
    """`expect_column_values_to_be_decreasing`."""
    return _ordered(scope, -1)


def _ordered(scope: Scope, direction: int) -> Steps:
    """Missing values are left out; a difference that is not a number, as of two infinities, is in order."""
    view = scope.view
    if not view.is_number and view.type is not ColumnType.DATETIME:
        raise Uncompiled(f"the order of {view.type}")
    values = pl.col("value")
    steps = values.diff()
    if view.type is ColumnType.DATETIME:
        steps = steps.dt.total_microseconds()
    steps = steps.cast(pl.Float64).fill_nan(None) * direction
    wrong = steps <= 0 if scope["strictly"] else steps < 0

    def marked(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.select(view.values.alias("value")).drop_nulls().with_columns(wrong.alias("wrong"))

    asked: dict[str, Question] = {
        f"unexpected {scope.place}": Rows(lambda frame: marked(frame).select(pl.col("wrong").sum()))
    }
    found = yield count_rows() | count_present(view) | asked
    present, unexpected = found[f"present {view.alias}"], int(found[f"unexpected {scope.place}"].item() or 0)
    listed = []
    if unexpected:
        key = f"first {scope.place}"
        build = Rows(lambda frame: marked(frame).filter("wrong").select("value").head(MOST_EXAMPLES))
        listed = column((yield {key: build})[key])
    return Outcome(
        mostly(present, unexpected, scope["mostly"]), counted(found["rows"], present, unexpected, listed)
    )
