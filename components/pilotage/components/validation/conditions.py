"""Conditions on rows: Great Expectations' own, as objects or strings, and common forms of pandas' queries.

A condition that is read becomes a small tree, which compiles to a Polars
expression with pandas' way with missing values: a comparison with one is
false, a difference is true. A query outside these forms is kept as it is and
left to pandas.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from pilotage.components.validation.tables import Table, Uncompiled, View
from pilotage.core.artifacts import ColumnType

_PARSERS = ("great_expectations", "great_expectations__experimental__")
_LEGACY = re.compile(
    r"""\s*col\("([^"\\]+)"\)\s*
    (?:(\.notnull\(\))|(>=|<=|==|!=|>|<)\s*
    (?:([+-]?\d+(?:\.\d+)?)|"([\w.-][\w\ .-]*)"|'([\w.-][\w\ .-]*)'))\s*\Z""",
    re.ASCII | re.VERBOSE,
)
_BACKTICKS = re.compile(r"`([^`]+)`")
_MOST = 100
"""Conditions in one, as Great Expectations limits them."""
_SIGNS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.In: "IN", ast.NotIn: "NOT_IN",
}  # fmt: skip
_INDEX = ("index", "columns")
"""What pandas may take for something else than the column of that name."""
_FLIPPED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip


class Unsure(Exception):
    """Only Great Expectations' parser can say whether this is right."""


@dataclass(frozen=True)
class Condition:
    """Which rows an expectation is about."""

    key: str
    """The same for the same condition."""
    tree: dict[str, Any] | None
    """As Great Expectations writes it, and with `not` besides; None for a query that only pandas reads."""

    def compile(self, table: Table) -> pl.Expr:
        """True for the rows that it is about, never null.

        Raises:
            Uncompiled: pandas has to evaluate it.
        """
        if self.tree is None:
            raise Uncompiled("a query that only pandas reads")
        return _compile(self.tree, table)


def read(condition: Any, parser: Any) -> tuple[dict[str, Any], Condition | None]:
    """The keyword arguments as Great Expectations writes them, and the condition.

    Raises:
        Unsure: it is not plainly right.
    """
    if condition is None and parser is None:
        return {}, None
    if parser not in (None, "pandas", *_PARSERS) or not condition:
        raise Unsure
    named = {} if parser is None else {"condition_parser": parser}
    if isinstance(condition, str):
        written, tree = _read_text(condition, parser)
    else:
        written = tree = _checked(condition)
        if _count(written) > _MOST:
            raise Unsure
        if written["type"] == "pass_through":
            tree = _query(written["pass_through_filter"])
    return {"row_condition": written} | named, Condition(json.dumps(written, sort_keys=True), tree)


def _read_text(text: str, parser: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
    if parser not in _PARSERS:
        return {"type": "pass_through", "pass_through_filter": text}, _query(text)
    found = _LEGACY.match(text)
    if not found:
        raise Unsure
    name, notnull, sign, number, double, single = found.groups()
    if notnull:
        tree = {"type": "nullity", "column": {"name": name}, "is_null": False}
    else:
        value = (double or single) if number is None else float(number) if "." in number else int(number)
        tree = _comparison(name, sign, value)
    return tree, tree


def _comparison(name: str, sign: str, value: Any) -> dict[str, Any]:
    return {"type": "comparison", "column": {"name": name}, "operator": sign, "parameter": value}


def _checked(tree: Any) -> dict[str, Any]:
    """A condition in Great Expectations' JSON, if it is plainly right."""
    if not isinstance(tree, dict):
        raise Unsure
    match tree:
        case {"type": "comparison", "column": {"name": str()}, "operator": str(sign), "parameter": value} if (
            len(tree) == 4 and len(tree["column"]) == 1 and _fits(sign, value)
        ):
            return tree
        case {"type": "nullity", "column": {"name": str()}, "is_null": bool()} if (
            len(tree) == 3 and len(tree["column"]) == 1
        ):
            return tree
        case {"type": "pass_through", "pass_through_filter": str()} if len(tree) == 2:
            return tree
        case {"type": "and" | "or" as kind, "conditions": [_, _, *_] as parts} if len(tree) == 2:
            checked = [_checked(part) for part in parts]
            allowed = ("comparison", "nullity") if kind == "and" else ("comparison", "nullity", "and")
            if all(part["type"] in allowed for part in checked):
                return tree
    raise Unsure


def _fits(sign: str, value: Any) -> bool:
    if sign in ("IN", "NOT_IN"):
        return isinstance(value, list) and (
            all(type(item) is str for item in value) or all(type(item) in (int, float) for item in value)
        )
    return sign in _COMPARE and type(value) in (str, int, float, bool)


def _count(tree: dict[str, Any]) -> int:
    return sum(map(_count, tree["conditions"])) if "conditions" in tree else 1


def _query(text: str) -> dict[str, Any] | None:
    """The tree of a pandas query, or None when it is none of the common forms."""
    if "`" in text and ("'" in text or '"' in text):
        return None
    names: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        names[f"backticked_{len(names)}"] = found[1]
        return f"backticked_{len(names) - 1}"

    try:
        parsed = ast.parse(_BACKTICKS.sub(name, text.strip()), mode="eval")
        return _from_python(parsed.body, names)
    except (SyntaxError, ValueError, Unsure):
        return None


def _from_python(node: ast.expr, names: dict[str, str]) -> dict[str, Any]:
    match node:
        case ast.BoolOp(op=op, values=values):
            return _joined(isinstance(op, ast.And), [_from_python(value, names) for value in values])
        case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr() as op, right=right):
            return _joined(
                isinstance(op, ast.BitAnd), [_from_python(left, names), _from_python(right, names)]
            )
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            return {"type": "not", "conditions": [_from_python(operand, names)]}
        case ast.Call(func=ast.Attribute(value=ast.Name(id=column), attr=method), args=[], keywords=[]):
            if method not in ("isnull", "isna", "notnull", "notna"):
                raise Unsure
            named = {"name": names.get(column, column)}
            return {"type": "nullity", "column": named, "is_null": method.startswith("is")}
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            ends = [left, *comparators]
            parts = [_compared(ends[i], op, ends[i + 1], names) for i, op in enumerate(ops)]
            return parts[0] if len(parts) == 1 else _joined(True, parts)
    raise Unsure


def _joined(every: bool, parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "and" if every else "or", "conditions": parts}


def _compared(left: ast.expr, op: ast.cmpop, right: ast.expr, names: dict[str, str]) -> dict[str, Any]:
    sign = _SIGNS.get(type(op))
    if sign is None:
        raise Unsure
    if isinstance(left, ast.Name):
        if left.id in _INDEX:
            raise Unsure
        value = ast.literal_eval(right)
        if not _fits(sign, value):
            raise Unsure
        return _comparison(names.get(left.id, left.id), sign, value)
    if isinstance(right, ast.Name) and sign in _FLIPPED:
        return _compared(right, _sign_of(_FLIPPED[sign]), left, names)
    raise Unsure


def _sign_of(sign: str) -> ast.cmpop:
    return next(kind for kind, text in _SIGNS.items() if text == sign)()


def _compile(tree: dict[str, Any], table: Table) -> pl.Expr:
    kind = tree["type"]
    if kind in ("and", "or", "not"):
        parts = [_compile(part, table) for part in tree["conditions"]]
        if kind == "not":
            return ~parts[0]
        result = parts[0]
        for part in parts[1:]:
            result = result & part if kind == "and" else result | part
        return result
    view = table.view(tree["column"]["name"])
    if kind == "nullity":
        return view.values.is_null() if tree["is_null"] else view.values.is_not_null()
    if kind != "comparison":
        raise Uncompiled("a query that only pandas reads")
    return _comparing(view, tree["operator"], tree["parameter"])


def _comparing(view: View, sign: str, value: Any) -> pl.Expr:
    differs = sign in ("!=", "NOT_IN")
    if sign in ("IN", "NOT_IN"):
        inside = view.inside(value)
        return (~inside if differs else inside).fill_null(differs)
    if not _comparable(view, sign, value):
        raise Uncompiled(f"comparing {view.type} with {value!r}")
    found: pl.Expr = _COMPARE[sign](view.values, pl.lit(value))
    return found.fill_null(differs)


def _comparable(view: View, sign: str, value: Any) -> bool:
    if view.is_number:
        return type(value) in (int, float) and abs(value) <= View.EXACT
    if view.type is ColumnType.TEXT:
        return isinstance(value, str) and (sign in ("==", "!=") or not view.gaps)
    return (
        view.type is ColumnType.BOOLEAN and not view.gaps and isinstance(value, bool) and sign in ("==", "!=")
    )
