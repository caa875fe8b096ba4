"""What an expression is where everything in it is written down: texts, numbers, lists, paths.

A small part of Python is worked out by looking; names stand for what was assigned to them last.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

UNKNOWN: Any = type("Unknown", (), {"__repr__": lambda self: "UNKNOWN"})()
"""What is not written down."""
_MOST = 100_000
_PATHS = ("Path", "PurePath", "pathlib.Path")
_JOINS = ("os.path.join", "path.join", "join")


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name with attributes; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def is_path(node: ast.Call) -> bool:
    """Whether a call makes a path."""
    return dotted(node.func) in (*_PATHS, *_JOINS)


def is_path_object(node: ast.Call) -> bool:
    """Whether a call makes a path that is an object and no text."""
    return dotted(node.func) in _PATHS


def value(node: ast.AST | None, names: Mapping[str, Any]) -> Any:
    """The value, or `UNKNOWN`; paths are texts with slashes."""
    try:
        found = _value(node, names)
    except (TypeError, ValueError, KeyError, IndexError, ArithmeticError, RecursionError, MemoryError):
        return UNKNOWN
    return UNKNOWN if isinstance(found, (str, list, tuple)) and len(found) > _MOST else found


def _value(node: ast.AST | None, names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return names.get(node.id, UNKNOWN)
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return _all([value(item, names) for item in node.elts])
    if isinstance(node, ast.Dict):
        return _dict(node, names)
    if isinstance(node, ast.JoinedStr):
        return _joined(node, names)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
        inner = value(node.operand, names)
        return inner if inner is UNKNOWN else (not inner if isinstance(node.op, ast.Not) else -inner)
    if isinstance(node, ast.BinOp):
        return _binary(node, names)
    if isinstance(node, ast.Call):
        return _call(node, names)
    if isinstance(node, ast.Subscript):
        whole, place = value(node.value, names), value(node.slice, names)
        return UNKNOWN if UNKNOWN in (whole, place) else whole[place]
    return UNKNOWN


def _joined(node: ast.JoinedStr, names: Mapping[str, Any]) -> Any:
    """An f-string without formats of its own."""
    parts = []
    for part in node.values:
        if isinstance(part, ast.FormattedValue) and (part.format_spec is not None or part.conversion != -1):
            return UNKNOWN
        parts.append(value(part.value if isinstance(part, ast.FormattedValue) else part, names))
    return UNKNOWN if any(part is UNKNOWN for part in parts) else "".join(map(str, parts))


def _all(items: list[Any]) -> Any:
    return UNKNOWN if any(item is UNKNOWN for item in items) else items


def _dict(node: ast.Dict, names: Mapping[str, Any]) -> Any:
    found: dict[Any, Any] = {}
    for key, item in zip(node.keys, node.values, strict=True):
        inner = value(item, names)
        if key is None:
            if not isinstance(inner, dict):
                return UNKNOWN
            found |= inner
        else:
            found[value(key, names)] = inner
    return UNKNOWN if UNKNOWN in found else found


def _binary(node: ast.BinOp, names: Mapping[str, Any]) -> Any:
    left, right = value(node.left, names), value(node.right, names)
    if left is UNKNOWN or right is UNKNOWN:
        return UNKNOWN
    if isinstance(node.op, ast.Div) and isinstance(left, str):
        return str(PurePosixPath(left) / str(right))
    if isinstance(node.op, ast.Add):
        return left + right
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.Div):
            return left / right
        if isinstance(node.op, ast.Pow) and abs(right) <= 64 and abs(left) <= 1e6:
            return left**right
    return UNKNOWN


def _formatted(text: Any, items: list[Any]) -> Any:
    """`"{}/x".format(a)`: plain places only, since widths and attributes could ask for anything."""
    if not isinstance(text, str) or text.count("{}") != len(items) or text.count("{") != len(items):
        return UNKNOWN
    parts = text.split("{}")
    return parts[0] + "".join(f"{item}{part}" for item, part in zip(items, parts[1:], strict=True))


def _call(node: ast.Call, names: Mapping[str, Any]) -> Any:
    name = dotted(node.func)
    items = [value(item, names) for item in node.args]
    if UNKNOWN in items or node.keywords:
        return UNKNOWN
    if name in _PATHS or name in _JOINS:
        return str(PurePosixPath(*map(str, items))) if items else "."
    if name == "str" and len(items) == 1:
        return str(items[0])
    if name in ("list", "tuple", "sorted") and len(items) == 1:
        return sorted(items[0]) if name == "sorted" else list(items[0])
    if isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return _formatted(value(node.func.value, names), items)
    if name == "range" and 1 <= len(items) <= 3:
        numbers = range(*items)
        return list(numbers) if len(numbers) <= 1000 else UNKNOWN
    return UNKNOWN
