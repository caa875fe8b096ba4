"""Which of the type names that suites use a column of a table has, as Great Expectations finds it on pandas.

Great Expectations looks names up in NumPy, pandas and Python. The names
here are those whose meaning is fixed; any other is left to it.
"""

from __future__ import annotations

from collections.abc import Iterable

from pilotage.components.validation.tables import Uncompiled, View
from pilotage.core.artifacts import ColumnType

OBJECT = ("object", "object_", "O")
"""Names that of a column of objects say that it is one, and nothing of its values."""
_SCALARS = {
    "int": "int64", "long": "int64", "int64": "int64", "int_": "int64", "float": "float64",
    "double": "float64", "float64": "float64", "bool": "bool", "bool_": "bool", "datetime64": "datetime64",
    "datetime64[ns]": "datetime64", "datetime64[us]": "datetime64",
}  # fmt: skip
"""Name → the scalar type of NumPy that it means."""
_VALUES = {
    "int": {ColumnType.BOOLEAN}, "long": {ColumnType.BOOLEAN}, "bool": {ColumnType.BOOLEAN},
    "str": {ColumnType.TEXT}, "string_types": {ColumnType.TEXT},
}  # fmt: skip
"""Name → kinds of columns of objects whose values are instances of it; in Python a boolean is an int."""
_ELSE = {
    "int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "str_", *OBJECT,
    "unicode", "datetime", "Timestamp", "bytes", "list", "dict", "complex", "timedelta",
}  # fmt: skip
"""Names that no column of a snapshot has."""
_NOTHING = {"string", "integer", "number", "boolean", "INTEGER", "VARCHAR", "TEXT", "timestamp", "category"}
"""Names of other engines, which mean nothing to pandas and are passed over."""


def is_scalar(view: View, names: Iterable[str], *, exact: bool) -> bool:
    """Whether the column's scalar type has one of the names; with `exact` times have to be in microseconds.

    Raises:
        Uncompiled: Great Expectations has to look one up.
    """
    known = _known(names)
    if exact and view.type is ColumnType.DATETIME:
        return "datetime64[us]" in known
    return any(_SCALARS.get(name) == view.scalar for name in known) or (
        view.scalar == "object_" and any(name in OBJECT for name in known)
    )


def is_value(view: View, names: Iterable[str]) -> bool:
    """Whether the values of a column of objects are instances of one of the names.

    Raises:
        Uncompiled: Great Expectations has to look one up.
    """
    return any(view.type in _VALUES.get(name, ()) for name in _known(names))


def _known(names: Iterable[str]) -> list[str]:
    known = [name for name in names if name not in _NOTHING]
    if not known or any(name not in _SCALARS and name not in _VALUES and name not in _ELSE for name in known):
        raise Uncompiled(f"types {', '.join(names)}")
    return known
