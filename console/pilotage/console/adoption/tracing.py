"""From what a model is fitted on back to the table: which columns are features, which is the target.

Slices of rows, splits, arrays and scalers are looked through; what cannot be looked through ends
the way, and the name reached there is the table.
"""

from __future__ import annotations

import ast
from typing import Any

from pilotage.console.adoption import constants
from pilotage.console.adoption.constants import UNKNOWN, dotted
from pilotage.console.adoption.findings import Found, Seen
from pilotage.console.adoption.statements import Program

_SAME = frozenset(
    ("values", "copy", "to_numpy", "to_pandas", "ravel", "squeeze", "flatten", "reset_index", "collect",
     "head", "tail", "slice", "sample", "float", "long", "astype", "to_frame", "to_list", "tolist", "reshape",
     "limit", "lazy", "sort_index", "set_index", "to_dense", "toarray")
)  # fmt: skip
"""Methods and attributes that leave columns as they are."""
_PARTS = frozenset(("head", "tail", "limit", "slice"))
"""Of these, methods that keep some of the rows by where they stand."""
_FITTED = frozenset(("fit_transform", "transform", "fit_resample"))
_ARRAYS = frozenset(
    ("numpy.array", "numpy.asarray", "pandas.DataFrame", "pandas.Series", "torch.tensor", "torch.from_numpy",
     "torch.FloatTensor", "pandas.get_dummies", "numpy.ravel", "torch.as_tensor")
)  # fmt: skip
_SETS = frozenset(("lightgbm.Dataset", "xgboost.DMatrix", "xgboost.QuantileDMatrix"))
_SPLIT = "train_test_split"
_DEPTH = 60


class Tracer:
    """Looks back from expressions."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._splits_at_random = any(name.endswith(_SPLIT) for name in program.imports.values())
        self.seen = Seen()

    def features(self, node: ast.expr, place: int) -> Found | None:
        """The table behind features."""
        return self._look(node, place, Found(), 0)

    def target(self, node: ast.expr, place: int) -> Found | None:
        """The table and column behind a target."""
        return self._column(node, place, 0)

    def whole(self, node: ast.expr, place: int, *, target: bool = False) -> tuple[ast.expr, int]:
        """What was split to give `node`, and where; `node` itself where nothing was."""
        for _ in range(_DEPTH):
            if not isinstance(node, ast.Name):
                inner = self._view(node, place)
                if inner is None or not isinstance(inner, ast.Name):
                    return node, place
                node = inner
            at = self._program.definition(node.id, place)
            if at is None:
                return node, place
            source, where = self._bound(node.id, at)
            if isinstance(source, ast.Call) and self._program.full(dotted(source.func)) in _SETS:
                inner = self._part_of_set(source, target=target)
                if inner is None:
                    return node, place
                node, place = inner, at
                continue
            if isinstance(source, ast.Call) and dotted(source.func).endswith(_SPLIT) and where is not None:
                inner = self._split_argument(source, where)
                return (node, place) if inner is None else (inner, at)
            scaled = (
                source.args[0]
                if isinstance(source, ast.Call)
                and isinstance(source.func, ast.Attribute)
                and source.func.attr in _FITTED
                and source.args
                else None
            )
            if scaled is None and not isinstance(source, ast.Name):
                return node, place
            node, place = (scaled or source), at  # type: ignore[assignment]
        return node, place

    def _part_of_set(self, call: ast.Call, *, target: bool) -> ast.expr | None:
        """Features or labels of a data set of LightGBM's or XGBoost's."""
        if target:
            return _keyword(call, "label") or (call.args[1] if len(call.args) > 1 else None)
        return call.args[0] if call.args else _keyword(call, "data")

    # -- features -----------------------------------------------------------

    def _look(self, node: ast.expr, place: int, found: Found, depth: int) -> Found | None:
        if depth > _DEPTH:
            return None
        if isinstance(node, ast.Name):
            return self._of_name(node.id, place, found, depth)
        inner = self._through(node, place, found)
        return None if inner is None else self._look(inner, place, found, depth + 1)

    def _of_name(self, name: str, place: int, found: Found, depth: int) -> Found | None:
        at = self._program.definition(name, place)
        here = Found(name, place, found.include, found.exclude, sure=found.sure)
        if at is None:
            return None
        source, where = self._bound(name, at)
        if source is None or (
            self._program.changed(name, at, place) and not self._popped(name, at, place, found)
        ):
            return here
        if isinstance(source, ast.Call) and dotted(source.func).endswith(_SPLIT) and where is not None:
            self._note_split(source, at)
            inner = self._split_argument(source, where)
            return None if inner is None else self._look(inner, at, found, depth + 1)
        if isinstance(source, ast.Name):
            return self._look(source, at, found, depth + 1)
        if isinstance(source, ast.Tuple) and where is not None and where < len(source.elts):
            return self._look(source.elts[where], at, found, depth + 1) or here
        before = (None if found.include is None else list(found.include), list(found.exclude), found.sure)
        inner = self._through(source, at, found)
        further = None if inner is None or where is not None else self._look(inner, at, found, depth + 1)
        if further is not None and self._is_table(further):
            return further
        here.include, here.exclude, here.sure = before
        return here

    def _popped(self, name: str, after: int, before: int, found: Found) -> bool:
        """Whether a part of a split lost columns and nothing else, which are left out then."""
        source, where = self._bound(name, after)
        if where is None or not isinstance(source, ast.Call) or not dotted(source.func).endswith(_SPLIT):
            return False
        popped = []
        for place in range(after + 1, before):
            statement = self._program.statements[place]
            if name not in statement.changes:
                continue
            value = getattr(statement.node, "value", None)
            if not isinstance(value, ast.Call) or dotted(value.func) != f"{name}.pop" or not value.args:
                return False
            told = constants.value(value.args[0], self._program.names_at(place))
            if not isinstance(told, str):
                return False
            popped.append(told)
        found.exclude += popped
        return True

    def _is_table(self, found: Found) -> bool:
        return bool(found.name) and found.name not in self._program.imports

    def _bound(self, name: str, at: int) -> tuple[ast.expr | None, int | None]:
        """What a statement binds `name` to, and its position where it binds several."""
        node = self._program.statements[at].node
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            return None, None
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Name) and target.id == name:
                return node.value, None
            if isinstance(target, (ast.Tuple, ast.List)):
                for index, part in enumerate(target.elts):
                    if isinstance(part, ast.Name) and part.id == name:
                        return node.value, index
        return None, None

    def _through(self, node: ast.expr, place: int, found: Found) -> ast.expr | None:
        """What an expression is a view of; notes the columns that it chooses."""
        if isinstance(node, ast.Attribute):
            return node.value if node.attr in (*_SAME, "T", "data") else None
        if isinstance(node, ast.Subscript):
            return self._subscript(node, place, found)
        if not isinstance(node, ast.Call):
            return None
        full = self._program.full(dotted(node.func))
        if full in _ARRAYS or full in _SETS or full.rpartition(".")[2] == "get_dummies":
            if full.endswith("get_dummies"):
                self.seen.through.add("get_dummies")
            return node.args[0] if node.args else _keyword(node, "data")
        if not isinstance(node.func, ast.Attribute):
            return None
        return self._method(node, node.func, place, found)

    def _method(self, node: ast.Call, func: ast.Attribute, place: int, found: Found) -> ast.expr | None:
        if func.attr in _SAME:
            self.seen.ordered |= func.attr in _PARTS and not self._splits_at_random
            return func.value
        if func.attr in _FITTED and node.args:
            self.seen.through.add(self._class_of(func.value, place))
            return node.args[0]
        if func.attr == "drop":
            names = self._columns([*node.args, _keyword(node, "columns") or _keyword(node, "labels")], place)
            if names is None:
                found.sure = False
            else:
                found.exclude += names
            return func.value
        if func.attr == "select":
            names = self._columns(list(node.args), place)
            if names is None:
                found.sure = False
            elif found.include is None:
                found.include = names
            return func.value
        if func.attr == "filter" or func.attr == "query":
            return func.value
        if func.attr == "sort_values" or func.attr == "sort":
            return func.value
        return None

    def _subscript(self, node: ast.Subscript, place: int, found: Found) -> ast.expr | None:
        whole, chosen = node.value, node.slice
        if isinstance(whole, ast.Attribute) and whole.attr in ("iloc", "loc"):
            if isinstance(chosen, ast.Tuple) and len(chosen.elts) == 2:
                self._choose(whole.attr, chosen.elts[1], place, found)
            else:
                self._rows(chosen)
            return whole.value
        names = constants.value(chosen, self._program.names_at(place))
        if isinstance(names, list):
            found.include = [str(name) for name in names] if found.include is None else found.include
            return whole
        if isinstance(chosen, ast.Slice):
            self.seen.ordered = True
            return whole
        if isinstance(chosen, (ast.Compare, ast.BinOp, ast.UnaryOp)):
            self._rows(chosen)
            return whole
        if isinstance(chosen, ast.Name):
            at = self._program.definition(chosen.id, place)
            source = self._bound(chosen.id, at)[0] if at is not None else None
            if isinstance(source, (ast.Compare, ast.BinOp, ast.UnaryOp)):
                self._rows(source)
                return whole
        if names is UNKNOWN and not isinstance(chosen, ast.Constant):
            found.sure = False
            return whole
        return None

    def _choose(self, how: str, columns: ast.expr, place: int, found: Found) -> None:
        if isinstance(columns, ast.Slice):
            upper = constants.value(columns.upper, {}) if columns.upper else None
            if how == "iloc" and columns.lower is None and upper == -1:
                found.last = True
            elif columns.lower or columns.upper:
                found.sure = False
            return
        names = constants.value(columns, self._program.names_at(place))
        if isinstance(names, list) and how == "loc":
            found.include = [str(name) for name in names]
        else:
            found.sure = False

    def _rows(self, test: ast.expr) -> None:
        """A split by the values of one column is a split by time where that column is one."""
        if isinstance(test, ast.Slice):
            self.seen.ordered = True
        for part in ast.walk(test):
            if isinstance(part, ast.Compare):
                name = _column_name(part.left)
                if name and isinstance(part.ops[0], (ast.Lt, ast.LtE, ast.Gt, ast.GtE)):
                    self.seen.time = self.seen.time or name

    def _columns(self, nodes: list[ast.expr | None], place: int) -> list[str] | None:
        names: list[str] = []
        for node in nodes:
            if node is None:
                continue
            known = constants.value(node, self._program.names_at(place))
            if known in (0, 1, "columns", "index") and not isinstance(known, str):
                continue
            if isinstance(known, (str, list)):
                names += [known] if isinstance(known, str) else [str(item) for item in known]
            else:
                return None
        return names

    def _note_split(self, call: ast.Call, place: int) -> None:
        names = self._program.names_at(place)
        size, seed = (constants.value(_keyword(call, key), names) for key in ("test_size", "random_state"))
        if isinstance(size, float) and 0 < size < 1:
            self.seen.test_size = self.seen.test_size or size
        if isinstance(seed, int) and not isinstance(seed, bool):
            self.seen.seed = seed if self.seen.seed is None else self.seen.seed
        if constants.value(_keyword(call, "shuffle"), names) is False:
            self.seen.ordered = True

    def _split_argument(self, call: ast.Call, where: int) -> ast.expr | None:
        index = where // 2
        return call.args[index] if index < len(call.args) else None

    def _class_of(self, node: ast.expr, place: int) -> str:
        if isinstance(node, ast.Name):
            at = self._program.definition(node.id, place)
            source = self._bound(node.id, at)[0] if at is not None else None
            return dotted(source.func).rpartition(".")[2] if isinstance(source, ast.Call) else node.id
        return dotted(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else "a transformer"

    # -- target -------------------------------------------------------------

    def _column(self, node: ast.expr, place: int, depth: int) -> Found | None:
        if depth > _DEPTH:
            return None
        if isinstance(node, ast.Name):
            at = self._program.definition(node.id, place)
            source, where = self._bound(node.id, at) if at is not None else (None, None)
            if at is None or source is None:
                return None
            if isinstance(source, ast.Call) and dotted(source.func).endswith(_SPLIT) and where is not None:
                self._note_split(source, at)
                inner = self._split_argument(source, where)
                return None if inner is None else self._column(inner, at, depth + 1)
            if isinstance(source, ast.Tuple) and where is not None and where < len(source.elts):
                return self._column(source.elts[where], at, depth + 1)
            return None if where is not None else self._column(source, at, depth + 1)
        direct = self._named_column(node, place, depth)
        if direct is not None:
            return direct
        inner = self._view(node, place)
        if inner is not None:
            return self._column(inner, place, depth + 1)
        root = next(
            (
                part.id
                for part in ast.walk(node)
                if isinstance(part, ast.Name) and self._holds(part.id, place)
            ),
            "",
        )
        return Found(root, place, expression=node) if root else None

    def _holds(self, name: str, place: int) -> bool:
        return name not in self._program.imports and self._program.definition(name, place) is not None

    def _view(self, node: ast.expr, place: int) -> ast.expr | None:
        """What a target is a view of: arrays, slices of rows, and types of the same values."""
        if isinstance(node, ast.Attribute) and node.attr in _SAME:
            return node.value
        if isinstance(node, ast.Call):
            full = self._program.full(dotted(node.func))
            if full in _ARRAYS and node.args:
                return node.args[0]
            if full in _SETS:
                return self._part_of_set(node, target=True)
            if isinstance(node.func, ast.Attribute) and node.func.attr in _SAME:
                computed = isinstance(node.func.value, (ast.Compare, ast.BinOp))
                return None if computed else node.func.value
        if isinstance(node, ast.Subscript) and isinstance(node.slice, (ast.Slice, ast.Compare)):
            self._rows(node.slice)
            return node.value
        return None

    def _named_column(self, node: ast.expr, place: int, depth: int) -> Found | None:
        names = self._program.names_at(place)
        whole: ast.expr | None = None
        column: Any = None
        last = False
        if isinstance(node, ast.Subscript):
            if isinstance(node.value, ast.Attribute) and node.value.attr in ("iloc", "loc"):
                parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else []
                column = constants.value(parts[1], names) if len(parts) == 2 else None
                last = node.value.attr == "iloc" and column == -1
                column = column if isinstance(column, str) else None
                whole = node.value.value if last or column else None
            else:
                column, whole = constants.value(node.slice, names), node.value
                column = column[0] if isinstance(column, list) and len(column) == 1 else column
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("pop", "get_column", "select") and len(node.args) == 1:
                column, whole = constants.value(node.args[0], names), node.func.value
        elif isinstance(node, ast.Attribute) and node.attr not in _SAME and isinstance(node.value, ast.Name):
            column, whole = node.attr, node.value
        if whole is None or not (last or isinstance(column, str)):
            return None
        table = self._look(whole, place, Found(), depth + 1)
        if table is None or not table.name:
            return None
        return Found(table.name, table.place, column=None if last else column, last=last)


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((key.value for key in call.keywords if key.arg == name), None)


def _column_name(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value) if isinstance(node.slice.value, str) else ""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.attr
    if isinstance(node, ast.Attribute):
        return _column_name(node.value)
    return ""
