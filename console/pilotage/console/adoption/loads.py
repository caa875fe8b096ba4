"""Where a notebook's data comes from: the calls that load it, and the files and queries that they name."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pilotage.console.adoption import constants
from pilotage.console.adoption.constants import dotted
from pilotage.console.adoption.statements import Program

_FILES = frozenset(
    (
        *(
            "read_csv",
            "read_parquet",
            "scan_csv",
            "scan_parquet",
            "read_json",
            "read_ndjson",
            "read_excel",
            "read_feather",
        ),
        *(
            "read_table",
            "read_pickle",
            "read_hdf",
            "read_fwf",
            "loadtxt",
            "genfromtxt",
            "load",
            "read_ipc",
            "scan_ndjson",
            "open",
        ),
    )
)
_QUERIES = frozenset(["read_sql", "read_sql_query", "read_sql_table", "read_database", "read_database_uri"])
_CONNECTIONS = frozenset(("create_engine", "connect"))
_LIBRARIES = (
    "pandas",
    "polars",
    "numpy",
    "pyarrow",
    "duckdb",
    "dask",
    "sqlalchemy",
    "sqlite3",
    "joblib",
    "json",
)
_PLAIN = frozenset(
    ("parse_dates", "low_memory", "engine", "try_parse_dates", "sep", "encoding", "memory_map")
)
"""Options without which the file is read alike."""
_SECRET = re.compile(r"://[^/@\s]*:[^/@\s]*@")


@dataclass(frozen=True)
class Load:
    """One call that brings data."""

    kind: str
    """`file`, `query`, `sklearn` or `connection`."""
    name: str
    """Of the function."""
    call: ast.Call
    path: str | None
    """Of a file, or the address of a database; None where it is not written down."""
    plain: bool
    """Whether Pilotage reads the file alike, by itself."""
    dates: tuple[str, ...] = ()
    query: str | None = None


def find(program: Program, node: ast.AST, names: Mapping[str, Any]) -> list[Load]:
    """Calls in `node` that load data."""
    found = (_load(program, part, names) for part in ast.walk(node) if isinstance(part, ast.Call))
    return [load for load in found if load is not None]


def _load(program: Program, call: ast.Call, names: Mapping[str, Any]) -> Load | None:
    full = program.full(dotted(call.func))
    library, short = full.partition(".")[0], full.rpartition(".")[2]
    if full.startswith("sklearn.datasets.") or (
        full.startswith("datasets.") and short.startswith(("load_", "fetch_"))
    ):
        return Load("sklearn", short, call, None, plain=False)
    if library not in _LIBRARIES and full != "open":
        return None
    first = (
        call.args[0]
        if call.args
        else _keyword(call, "filepath_or_buffer", "path", "source", "io", "sql", "query")
    )
    told = constants.value(first, names)
    text = told if isinstance(told, str) else None
    if short in _QUERIES:
        return Load("query", short, call, _address(program, call, names), plain=True, query=text)
    if short in _CONNECTIONS:
        return Load("connection", short, call, text, plain=False)
    if short in _FILES:
        return Load("file", short, call, text, plain=_is_plain(short, call), dates=_dates(call, names))
    return None


def _is_plain(short: str, call: ast.Call) -> bool:
    options = {key.arg: constants.value(key.value, {}) for key in call.keywords}
    options.pop("filepath_or_buffer", None)
    if len(call.args) > 1 or set(options) - _PLAIN or options.get("sep", ",") != ",":
        return False
    if str(options.get("encoding", "utf-8")).lower().replace("-", "") not in ("utf8", "utf8sig"):
        return False
    return short in ("read_csv", "read_parquet", "scan_csv", "scan_parquet", "read_ndjson")


def _dates(call: ast.Call, names: Mapping[str, Any]) -> tuple[str, ...]:
    found = constants.value(_keyword(call, "parse_dates"), names)
    return tuple(str(name) for name in found) if isinstance(found, list) else ()


def _address(program: Program, call: ast.Call, names: Mapping[str, Any]) -> str | None:
    """Of the database that a query goes to, as an SQLAlchemy URL."""
    node = call.args[1] if len(call.args) > 1 else _keyword(call, "con", "connection", "uri")
    told = constants.value(node, names)
    if isinstance(told, str):
        return told
    if isinstance(node, ast.Name):
        bound = [
            part.node
            for part in program.statements
            if node.id in part.writes and isinstance(part.node, (ast.Assign, ast.With))
        ]
        node = _made(bound[-1], node.id) if bound else None
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("connect", "begin")
    ):
        inner = node.func.value
        if program.full(dotted(node.func)).startswith("sqlite3"):
            path = constants.value(node.args[0] if node.args else None, names)
            return f"sqlite:///{path}" if isinstance(path, str) else None
        return _engine(program, inner, names)
    return _engine(program, node, names) if node is not None else None


def _engine(program: Program, node: ast.expr, names: Mapping[str, Any]) -> str | None:
    if isinstance(node, ast.Name):
        bound = [
            part.node
            for part in program.statements
            if node.id in part.writes and isinstance(part.node, ast.Assign)
        ]
        return _engine(program, bound[-1].value, names) if bound else None
    if isinstance(node, ast.Call) and program.full(dotted(node.func)).endswith("create_engine"):
        told = constants.value(node.args[0] if node.args else None, names)
        return told if isinstance(told, str) else None
    return None


def _made(node: ast.stmt, name: str) -> ast.expr | None:
    if isinstance(node, ast.Assign):
        return node.value
    if isinstance(node, ast.With):
        for item in node.items:
            if isinstance(item.optional_vars, ast.Name) and item.optional_vars.id == name:
                return item.context_expr
    return None


def _keyword(call: ast.Call, *names: str) -> ast.expr | None:
    return next((key.value for key in call.keywords if key.arg in names), None)


def has_secret(address: str) -> bool:
    """Whether an address has a password in it."""
    return bool(_SECRET.search(address))


def header(file: Path) -> list[str] | None:
    """Names of a table's columns, from its first line or its schema; None where they cannot be read."""
    try:
        if file.suffix in (".csv", ".txt"):
            with file.open(newline="", encoding="utf-8-sig") as stream:
                return next(csv.reader(stream), None)
        if file.suffix in (".parquet", ".pq"):
            import pyarrow.parquet as pq

            return list(pq.read_schema(file).names)
    except Exception:
        return None
    return None


class Rebase(ast.NodeTransformer):
    """Lets code name the files beside the notebook from wherever it is: `str(BASE / "data/x.csv")`."""

    def __init__(
        self, program: Program, names: Mapping[str, Any], folder: Path, *, looks: bool = True
    ) -> None:
        self._program, self._names, self._folder, self._looks = program, names, folder, looks
        self.secrets = False
        self.used = False

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        told = node.value.value if isinstance(node.value, ast.Constant) else None
        if isinstance(told, str) and self._is_beside(told):
            node.value = self._base(told)
            return node
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if constants.is_path(node):
            told = constants.value(node, self._names)
            if isinstance(told, str) and self._is_beside(told):
                return self._base(told, path=constants.is_path_object(node))
        load = _load(self._program, node, self._names)
        if load is not None and node.args:
            told = constants.value(node.args[0], self._names)
            if isinstance(told, str) and load.kind in ("file", "connection"):
                replaced = self._rebased(told, load.kind)
                if replaced is not None:
                    node.args[0] = replaced
                    node.args[1:] = [self.visit(part) for part in node.args[1:]]
                    return node
        self.generic_visit(node)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str) and 0 < len(node.value) < 400 and "\n" not in node.value:
            named = "/" in node.value or "." in node.value
            if named and self._is_beside(node.value) and (self._folder / node.value).is_file():
                return self._base(node.value)
        return node

    def _is_beside(self, told: str) -> bool:
        """Whether it names a file or a folder beside the notebook, by a path of its own."""
        if not self._looks:
            return False
        try:
            return bool(told) and not Path(told).is_absolute() and (self._folder / told).exists()
        except (OSError, ValueError):
            return False

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node  # a part of it alone names no file

    def _rebased(self, told: str, kind: str) -> ast.expr | None:
        if has_secret(told):
            self.secrets = True
            return ast.parse('os.environ["DATABASE_URL"]', mode="eval").body
        if kind == "connection" and told.startswith("sqlite:///") and not told.startswith("sqlite:////"):
            self.used = True
            return ast.parse(f"'sqlite:///' + str(BASE / {told[10:]!r})", mode="eval").body
        if "://" in told or told.startswith(("/", ":memory:", "~")) or not told:
            return None
        return self._base(told)

    def _base(self, told: str, *, path: bool = False) -> ast.expr:
        self.used = True
        return ast.parse(f"BASE / {told!r}" if path else f"str(BASE / {told!r})", mode="eval").body
