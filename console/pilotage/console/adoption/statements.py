"""Statements in the order in which they take effect, what each reads and writes, and slices of them.

A slice is what has to be executed for a name to have its value at some statement. It is found by
names: what is passed to a function that is defined here, or changed by a method that
changes its object, counts as written.
"""

from __future__ import annotations

import ast
import bisect
import builtins
import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pilotage.console.adoption import constants
from pilotage.console.adoption.notebooks import Source

_CHANGE = frozenset(
    [
        "insert",
        "update",
        "pop",
        "append",
        "extend",
        "setdefault",
        "sort",
        "clear",
        "add",
        "remove",
        "reverse",
        "drop_in_place",
    ]
)
"""Methods that change their object."""
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)


@dataclass
class Statement:
    """One statement of the top level."""

    node: ast.stmt
    cell: int
    line: int
    """In the cell; in the file, for scripts."""
    reads: frozenset[str]
    writes: frozenset[str]
    """Names that are bound."""
    changes: frozenset[str]
    """Names whose objects are changed."""

    @property
    def defines(self) -> bool:
        """Whether it is an import, a function or a class."""
        return isinstance(self.node, (*_DEFINITIONS, *_IMPORTS))


@dataclass
class Program:
    """All statements, and the functions among them."""

    statements: list[Statement]
    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    """What a name stands for: `pd` for `pandas`, `RandomForestClassifier` for its full name."""
    known: dict[tuple[int, str], Any] = field(default_factory=dict)
    """Values that were worked out, by statement and name."""

    def names_at(self, place: int) -> Mapping[str, Any]:
        """What names that are written down stand for before statement `place`."""
        return _Names(self, place)

    def definition(self, name: str, place: int) -> int | None:
        """The last statement before `place` that binds `name`."""
        return self._last(name, place, self._bound)

    def touched(self, name: str, place: int) -> int | None:
        """The last statement before `place` that binds `name` or changes its object."""
        return self._last(name, place, self._touched)

    def _last(self, name: str, place: int, index: dict[str, list[int]]) -> int | None:
        places = index.get(name, [])
        at = bisect.bisect_left(places, place)
        return places[at - 1] if at else None

    @cached_property
    def _bound(self) -> dict[str, list[int]]:
        return _places(part.writes for part in self.statements)

    @cached_property
    def _touched(self) -> dict[str, list[int]]:
        return _places(part.writes | part.changes for part in self.statements)

    def changed(self, name: str, after: int, before: int) -> bool:
        """Whether a statement between two changes the object of `name`."""
        return any(name in part.changes for part in self.statements[after + 1 : before])

    def full(self, name: str) -> str:
        """A dotted name with what its first part was imported as."""
        first, dot, rest = name.partition(".")
        return self.imports.get(first, first) + dot + rest

    def slice(self, names: Iterable[str], place: int) -> list[int]:
        """Statements before `place` that `names` need, in order."""
        needed, found = set(names), set[int]()
        for index in range(place - 1, -1, -1):
            statement = self.statements[index]
            if not (statement.writes | statement.changes) & needed:
                continue
            found.add(index)
            if _binds_anew(statement):
                needed -= statement.writes - statement.reads
            needed |= statement.reads
        for index in range(len(self.statements)):  # a function may be defined behind its first use
            if self.statements[index].defines and self.statements[index].writes & needed and index >= place:
                found.add(index)
        return sorted(found)

    def unknown(self, indices: Sequence[int]) -> set[str]:
        """Names that these statements read and nothing defines."""
        read = set[str]().union(*(self.statements[index].reads for index in indices))
        bound = set[str]().union(*(self.statements[index].writes for index in indices))
        inner = set[str]().union(*(own_names(self.statements[index].node) for index in indices))
        return {name for name in read - bound - inner if not hasattr(builtins, name)}


def program(source: Source) -> Program:
    """The statements of a source, `if __name__ == "__main__":` and a `main()` in it taken apart."""
    made = Program([])
    nodes: list[tuple[ast.stmt, int, int]] = []
    for cell in source.cells:
        tree = source.trees.get(cell.number)
        for node in tree.body if tree else ():
            nodes.append((node, cell.number, cell.first_line - 1))
    made.functions = {node.name: node for node, _, _ in nodes if isinstance(node, ast.FunctionDef)}
    taken = {
        part.id
        for node, _, _ in nodes
        if not isinstance(node, _DEFINITIONS)
        for part in ast.walk(node)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    }
    inlining = _Inlining(made.functions, taken)
    for node, cell_number, offset in nodes:
        for inner in _opened(node, inlining):
            made.statements.append(_statement(inner, cell_number, offset, made.functions))
    for statement in made.statements:
        _note_imports(statement.node, made.imports)
    return made


def _opened(node: ast.stmt, inlining: _Inlining) -> list[ast.stmt]:
    """A statement, or those that it stands for."""
    if isinstance(node, ast.If) and any(
        isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(node.test)
    ):
        return [part for inner in node.body for part in _opened(inner, inlining)]
    opened = inlining.open(node)
    if opened is None:
        return [node]
    return [part for inner in opened for part in _opened(inner, inlining)]


@dataclass
class _Inlining:
    """Puts the bodies of functions that split or fit in the place of their calls, to follow both."""

    functions: dict[str, ast.FunctionDef]
    taken: set[str]
    """Names of the top level; a function's own of the same name are called otherwise."""
    opened: set[str] = field(default_factory=set)

    def open(self, node: ast.stmt) -> list[ast.stmt] | None:
        if not isinstance(node, (ast.Expr, ast.Assign)) or not isinstance(node.value, ast.Call):
            return None
        call = node.value
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        function = self.functions.get(name)
        if function is None or name in self.opened or not _does_the_work(function, self.functions):
            return None
        bound = _arguments(function, call)
        if bound is None or not _ends_once(function):
            return None
        self.opened.add(name)
        return self._body(node, function, bound)

    def _body(
        self, node: ast.Expr | ast.Assign, function: ast.FunctionDef, bound: dict[str, ast.expr]
    ) -> list[ast.stmt]:
        own = own_names(function)
        rename = _Rename({name: f"{name}_of_{function.name}" for name in own & self.taken})
        self.taken |= {rename.names.get(name, name) for name in own}
        made: list[ast.stmt] = []
        for name, argument in bound.items():
            target = ast.Name(rename.names.get(name, name), ast.Store())
            if not (isinstance(argument, ast.Name) and argument.id == target.id):
                made.append(ast.copy_location(ast.Assign([target], argument), node))
        for inner in function.body:
            copied = rename.visit(copy.deepcopy(inner))
            if not isinstance(copied, ast.Return):
                made.append(copied)
            elif copied.value is not None and isinstance(node, ast.Assign):
                made.append(ast.copy_location(ast.Assign(node.targets, copied.value), inner))
        return [ast.fix_missing_locations(part) for part in made]


class _Rename(ast.NodeTransformer):
    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self.names.get(node.id, node.id)
        return node


def _does_the_work(
    function: ast.FunctionDef, functions: dict[str, ast.FunctionDef], looked: frozenset[str] = frozenset()
) -> bool:
    """Whether it splits or fits, itself or by a function that it calls."""
    for part in ast.walk(function):
        name = part.attr if isinstance(part, ast.Attribute) else part.id if isinstance(part, ast.Name) else ""
        if name in ("fit", "train_test_split", "cross_val_score", "cross_validate"):
            return True
        inner = functions.get(name) if isinstance(part, ast.Name) else None
        if inner is not None and name not in looked and _does_the_work(inner, functions, looked | {name}):
            return True
    return False


def _ends_once(function: ast.FunctionDef) -> bool:
    """Whether it returns at its end or not at all."""
    ends = [part for part in ast.walk(function) if isinstance(part, (ast.Return, ast.Yield, ast.YieldFrom))]
    return not ends or (len(ends) == 1 and ends[0] is function.body[-1])


def _arguments(function: ast.FunctionDef, call: ast.Call) -> dict[str, ast.expr] | None:
    """What each parameter stands for."""
    spec = function.args
    if spec.vararg or spec.kwarg or any(isinstance(part, ast.Starred) for part in call.args):
        return None
    names = [part.arg for part in (*spec.posonlyargs, *spec.args)]
    bound: dict[str, ast.expr] = dict(
        zip(names[len(names) - len(spec.defaults) :], spec.defaults, strict=True)
    )
    bound |= {
        part.arg: default
        for part, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
        if default is not None
    }
    if len(call.args) > len(names):
        return None
    bound |= dict(zip(names, call.args, strict=False))
    for key in call.keywords:
        if key.arg is None:
            return None
        bound[key.arg] = key.value
    return bound


def _statement(node: ast.stmt, cell: int, offset: int, functions: dict[str, ast.FunctionDef]) -> Statement:
    reads, writes, changes = set[str](), set[str](), set[str]()
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            (reads if isinstance(part.ctx, ast.Load) else writes).add(part.id)
        elif isinstance(part, (ast.Subscript, ast.Attribute)) and not isinstance(part.ctx, ast.Load):
            changes.add(_root(part))
        elif isinstance(part, ast.AugAssign):
            reads |= {name.id for name in ast.walk(part.target) if isinstance(name, ast.Name)}
        elif isinstance(part, ast.Call):
            changes |= _changed_by(part, functions)
    if isinstance(node, _DEFINITIONS):
        reads, writes, changes = reads - own_names(node), {node.name}, set()
    elif isinstance(node, _IMPORTS):
        writes = {(part.asname or part.name).partition(".")[0] for part in node.names}
    changes.discard("")
    line = getattr(node, "lineno", 1) + offset
    return Statement(node, cell, line, frozenset(reads | changes), frozenset(writes), frozenset(changes))


def own_names(node: ast.AST) -> set[str]:
    """Names that a function has for itself: parameters, and what it assigns."""
    return {
        part.id if isinstance(part, ast.Name) else part.arg
        for part in ast.walk(node)
        if isinstance(part, ast.arg) or (isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store))
    }


def _root(node: ast.AST) -> str:
    while isinstance(node, (ast.Subscript, ast.Attribute, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _changed_by(call: ast.Call, functions: dict[str, ast.FunctionDef]) -> set[str]:
    if isinstance(call.func, ast.Attribute):
        in_place = any(
            key.arg == "inplace" and isinstance(key.value, ast.Constant) and key.value.value
            for key in call.keywords
        )
        if in_place or call.func.attr in _CHANGE:
            return {_root(call.func.value)}
    if isinstance(call.func, ast.Name) and call.func.id in functions:
        return {part.id for part in call.args if isinstance(part, ast.Name)}
    return set()


def _binds_anew(statement: Statement) -> bool:
    return isinstance(statement.node, (ast.Assign, ast.AnnAssign, *_DEFINITIONS, *_IMPORTS))


class _Names(Mapping[str, Any]):
    """What names stand for before a statement, worked out when somebody asks for one."""

    def __init__(self, program: Program, place: int) -> None:
        self._program, self._place = program, place

    def __getitem__(self, name: str) -> Any:
        at = self._program.touched(name, self._place)
        if at is None:
            raise KeyError(name)
        known = self._program.known
        if (at, name) not in known:
            known[at, name] = constants.UNKNOWN  # of what is made of itself
            known[at, name] = _learn(self._program.statements[at].node, name, _Names(self._program, at))
        return known[at, name]

    def __iter__(self) -> Iterator[str]:
        return iter({name for part in self._program.statements[: self._place] for name in part.writes})

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _learn(node: ast.stmt, name: str, names: Mapping[str, Any]) -> Any:
    """What a statement makes of `name`, where that is written down."""
    if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
        return constants.UNKNOWN
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if len(targets) != 1:
        return constants.UNKNOWN
    target, found = targets[0], constants.value(node.value, names)
    if isinstance(target, ast.Name):
        return found
    if isinstance(target, ast.Tuple) and isinstance(found, list) and len(found) == len(target.elts):
        for part, item in zip(target.elts, found, strict=True):
            if isinstance(part, ast.Name) and part.id == name:
                return item
    return constants.UNKNOWN


def _places(names: Iterable[frozenset[str]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for place, part in enumerate(names):
        for name in part:
            found.setdefault(name, []).append(place)
    return found


def _note_imports(node: ast.stmt, imports: dict[str, str]) -> None:
    if isinstance(node, ast.Import):
        for part in node.names:
            imports[part.asname or part.name.partition(".")[0]] = (
                part.name if part.asname else part.name.partition(".")[0]
            )
    elif isinstance(node, ast.ImportFrom) and node.module:
        for part in node.names:
            imports[part.asname or part.name] = f"{node.module}.{part.name}"
