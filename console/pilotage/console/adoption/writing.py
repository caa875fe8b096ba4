"""The pilot that an analysis comes to: pilot.yaml, and modules for what the notebook does in code.

Nothing that exists is overwritten, and a pilot.yaml that would not load is not written.
"""

from __future__ import annotations

import ast
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pilotage.console.adoption import estimators, loads
from pilotage.console.adoption.analyses import Analysis
from pilotage.console.adoption.codes import Code, shown
from pilotage.console.adoption.findings import Found
from pilotage.console.adoption.notebooks import Note
from pilotage.core import errors, pilots, storage
from pilotage.core.specs import PilotSpec

DATA_MODULE, ESTIMATOR_MODULE = "prepare", "estimator"
FILES = (pilots.FILE_NAME, f"{DATA_MODULE}.py", f"{ESTIMATOR_MODULE}.py")
"""All that a pilot may be written as."""
_SLUG = re.compile(r"[^a-z0-9]+")
_HEADING = """# Adopted from {file} by reading it; nothing of it was executed.
# `pilotage check {folder}` reads the data, `pilotage run {folder}` trains.
"""


@dataclass(frozen=True)
class Draft:
    """A pilot that is to be written."""

    texts: dict[str, str]
    """By name of the file."""
    spec: PilotSpec
    decided: dict[str, Any]
    notes: list[Note]


@dataclass
class Adopted:
    """A pilot that was written."""

    folder: Path
    spec: PilotSpec
    files: list[Path]
    notes: list[Note]
    source: Path
    decided: dict[str, Any] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "pilot": self.spec.pilot,
            "source": str(self.source),
            "folder": str(self.folder),
            "files": [str(file) for file in self.files],
            "decided": self.decided,
            "undecided": [
                {"cell": note.cell, "line": note.line, "what": note.what, "then": note.then}
                for note in self.notes
            ],
        }


def write(found: Analysis, folder: Path) -> Adopted:
    """Write the pilot into `folder`, which is made.

    Raises:
        SpecError: there is a pilot in the folder already, or what was found makes none.
    """
    return put(draft(found, folder), folder, found.source.file)


def put(made: Draft, folder: Path, source: Path) -> Adopted:
    """Write a draft into `folder`, which is made; `source` is what it was made of.

    Raises:
        SpecError: there is a pilot in the folder already.
    """
    _require_free(folder, list(made.texts))
    folder.mkdir(parents=True, exist_ok=True)
    modules = [name for name in made.texts if name != pilots.FILE_NAME]
    for name in (*modules, pilots.FILE_NAME):  # what makes it a pilot comes last
        storage.write_file(folder / name, made.texts[name].encode())
    files = [folder / name for name in (pilots.FILE_NAME, *modules)]
    return Adopted(folder, made.spec, files, made.notes, source, made.decided)


def draft(found: Analysis, folder: Path) -> Draft:
    """The pilot as it would be in `folder`; nothing is written.

    Raises:
        SpecError: what was found makes no pilot.
    """
    content, modules = _Drafting(found, folder).make()
    text = _HEADING.format(file=shown(found.source.file.name), folder=shown(folder.name)) + yaml.safe_dump(
        content, sort_keys=False, allow_unicode=True, width=100
    )
    spec = pilots.parse(text, str(folder / pilots.FILE_NAME))
    texts = {**{f"{name}.py": part for name, part in modules.items()}, pilots.FILE_NAME: text}
    return Draft(texts, spec, content, _sorted(found.notes))


def name_of(file: Path) -> str:
    """A pilot's name from a file's."""
    return _SLUG.sub("-", file.stem.lower()).strip("-")[:63].strip("-") or "pilot"


def _sorted(notes: list[Note]) -> list[Note]:
    return sorted(dict.fromkeys(notes), key=lambda note: (note.cell, note.line))


def _require_free(folder: Path, names: list[str]) -> None:
    if folder.exists() and not folder.is_dir():
        raise errors.SpecError(f"`{folder}` is a file.", remedy="Name another folder with `--into`.")
    taken = [name for name in names if os.path.lexists(folder / name)]
    if taken:
        raise errors.SpecError(
            f"`{folder}` has {', '.join(taken)} already; nothing is overwritten.",
            remedy="Name another folder with `--into`, or move what is there.",
        )


class _Drafting:
    """Works out the content of pilot.yaml and of the modules."""

    def __init__(self, found: Analysis, folder: Path) -> None:
        self._found, self._program = found, found.program
        self._folder = folder
        self._beside = found.source.file.parent
        self._code = Code(found, folder)
        self._modules: dict[str, str] = {}
        taken = {*found.program.imports, *found.program.functions}
        self._load = "load_table" if "load" in taken else "load"

    def make(self) -> tuple[dict[str, Any], dict[str, str]]:
        found = self._found
        data = self._data()
        if (
            found.time is not None
            and found.time not in data.get("exclude", ())
            and found.time != data["target"]
        ):
            data["time"] = found.time
        size = found.tracer.seen.test_size
        if size is not None:
            data["split"] = {"test": size}
        content = {
            "version": 1,
            "pilot": name_of(self._folder),
            "description": f"Adopted from {found.source.file.name}",
            "goal": {"metric": found.metric},
            "data": data,
            "train": self._train(),
        }
        return content, self._modules

    # -- data ---------------------------------------------------------------

    def _data(self) -> dict[str, Any]:
        direct = self._direct()
        if direct is None:
            return self._assembled()
        table, features, target = direct
        exclude = [name for name in dict.fromkeys(features.exclude) if name not in (target, self._found.time)]
        source = self._plain_source(table)
        if source is not None and features.include is not None:
            columns = self._header(source) if isinstance(source, str) else None
            if columns is None:
                source = None
            else:
                wanted = {*features.include, target, self._found.time}
                exclude += [name for name in columns if name not in wanted and name not in exclude]
        if source is None:
            keep = None if features.include is None else [*features.include, target]
            source = self._module_source(table, keep)
        elif isinstance(source, str):
            source = (
                os.path.relpath(self._beside / source, self._folder.absolute())
                if "://" not in source
                else source
            )
        data: dict[str, Any] = {"source": source, "target": target}
        if exclude:
            data["exclude"] = exclude
        return data

    def _direct(self) -> tuple[Found, Found, str] | None:
        """The table, what is chosen of it, and the target; None where code has to put them together."""
        features, target = self._found.features, self._found.target
        if features is None or target is None or not features.sure or features.name != target.name:
            return None
        begin, end = sorted((features.place, target.place))
        if self._program.definition(features.name, begin) != self._program.definition(features.name, end):
            return None
        if target.expression is not None:
            return None
        between = self._program.statements[begin:end]
        if any(features.name in part.changes and not _pops(part.node) for part in between):
            return None
        column = target.column
        if target.last:
            column = self._last_column(Found(features.name, begin))
        if column is None or (features.include is not None and column in features.include):
            return None
        return Found(features.name, begin), features, column

    def _last_column(self, table: Found) -> str | None:
        source = self._plain_source(table)
        columns = self._header(source) if isinstance(source, str) else None
        return columns[-1] if columns else None

    def _header(self, source: str) -> list[str] | None:
        return loads.header(self._beside / source) if self._found.source.looks else None

    def _plain_source(self, table: Found) -> str | dict[str, Any] | None:
        """A file or a query that is the table as it is; None where code changes it."""
        at = self._program.definition(table.name, table.place)
        if at is None or self._program.changed(table.name, at, table.place):
            return None
        node = self._program.statements[at].node
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            return None
        found = loads.find(self._program, node.value, self._program.names_at(at))
        load = next((part for part in found if part.call is node.value), None)
        if load is None or not load.plain:
            return None
        if load.kind == "file" and load.path is not None and not load.path.startswith("~"):
            return load.path
        if (
            load.kind == "query"
            and load.query is not None
            and load.query.lstrip().lower().startswith(("select", "with"))
        ):
            return self._query(load.query, load.path, at)
        return None

    def _query(self, query: str, address: str | None, at: int) -> dict[str, Any]:
        if address is not None and address.startswith("sqlite:///") and not address.startswith("sqlite:////"):
            looks = self._found.source.looks
            address = f"sqlite:///{(self._beside / address[10:]).resolve()}" if looks else None
        if address is None or loads.has_secret(address):
            what = (
                "the database's address has a password"
                if address
                else "the database's address is not written down"
            )
            self._found.note(at, what, "Set the variable DATABASE_URL to it: `export DATABASE_URL=…`.")
            address = "env:DATABASE_URL"
        return {"sql": query.strip(), "url": address}

    def _module_source(self, table: Found, keep: list[str] | None) -> dict[str, Any]:
        at = self._program.definition(table.name, table.place)
        node = self._program.statements[at].node if at is not None else None
        value = node.value if isinstance(node, ast.Assign) else None
        found = loads.find(self._program, value, {}) if value is not None else []
        if found and found[0].kind == "sklearn" and found[0].call is value:
            framed = _framed(found[0].call)
            needed = {part.id for part in ast.walk(framed) if isinstance(part, ast.Name)}
            last = [f"return {ast.unparse(framed)}.frame"]
            self._write_module(Found(" ".join(needed), table.place), last)
        else:
            chosen = f"{table.name}[{self._with_time(keep)!r}]" if keep is not None else table.name
            self._write_module(table, [f"return {chosen}"])
        return {"python": f"{DATA_MODULE}:{self._load}"}

    def _with_time(self, keep: list[str]) -> list[str]:
        return list(dict.fromkeys([*keep, *([self._found.time] if self._found.time else [])]))

    def _assembled(self) -> dict[str, Any]:
        """Features and target as the notebook makes them, side by side."""
        (features, at_features), (target, at_target) = self._found.whole
        name = target.id if isinstance(target, ast.Name) else "target"
        name = self._found.target.column or name if self._found.target else name
        place = max(at_features, at_target)
        reads = {
            part.id for node in (features, target) for part in ast.walk(node) if isinstance(part, ast.Name)
        }
        lines = [
            f"features = {ast.unparse(features)}",
            'frame = features.to_pandas() if hasattr(features, "to_pandas") else features',
            "table = pandas.DataFrame(frame).copy()",
            "table.columns = [str(name) for name in table.columns]",
            f"table[{name!r}] = numpy.ravel({ast.unparse(target)})",
            "return table",
        ]
        self._write_module(
            Found(" ".join(sorted(reads)), place), lines, extra=["import numpy", "import pandas"]
        )
        self._found.note(
            self._found.fit.place,
            "features and target are put together by code, as the notebook makes them",
            f"Look through {DATA_MODULE}.py: nothing in it may tell the model what is to be predicted.",
        )
        self._found.time = None  # whether it is a column of what is put together cannot be told
        return {"source": {"python": f"{DATA_MODULE}:{self._load}"}, "target": name}

    def _write_module(self, table: Found, last: list[str], *, extra: list[str] | None = None) -> None:
        indices = self._program.slice(table.name.split(), table.place)
        self._modules[DATA_MODULE] = self._code.module(
            DATA_MODULE, f"{self._load}()", indices, last, extra or []
        )

    # -- training -----------------------------------------------------------

    def _train(self) -> dict[str, Any]:
        model = self._found.fit.estimator
        train: dict[str, Any] = {}
        if model.deep:
            self._found.note(
                model.place,
                f"`{model.name}` is a network of its own, which is not taken over",
                "`train.estimator: mlp` is a network that Pilotage trains; the default is gradient boosting.",
            )
            train["estimator"] = "hist_gradient_boosting"
        elif model.builtin:
            train["estimator"] = model.name
            train["params"] = model.params
            if model.prepares or self._found.tracer.seen.through:
                steps = ", ".join(sorted({*model.prepares, *self._found.tracer.seen.through}))
                self._found.note(
                    model.place, f"{steps} left out: Pilotage encodes, scales and fills by itself"
                )
        else:
            self._write_estimator()
            train["estimator"] = f"{ESTIMATOR_MODULE}:build"
        space = model.space if not model.builtin else estimators.plain_space(model.space)
        if space and not model.deep:
            train["search"] = {"trials": model.trials or 20, "space": space}
        if self._found.seed is not None:
            train["seed"] = self._found.seed
        return {name: value for name, value in train.items() if value not in ({}, None)}

    def _write_estimator(self) -> None:
        model = self._found.fit.estimator
        reads = {part.id for part in ast.walk(model.node) if isinstance(part, ast.Name)}
        indices = self._program.slice(reads, model.place)
        names = self._program.names_at(model.place)
        if any(loads.find(self._program, self._program.statements[index].node, names) for index in indices):
            self._found.note(
                model.place,
                "the estimator is made with values of the data, which `build` loads again",
                f"Put what it needs into {ESTIMATOR_MODULE}.py as constants.",
            )
        last = [
            f"estimator = {ast.unparse(model.node)}",
            "return estimator.set_params(**params) if params else estimator",
        ]
        self._modules[ESTIMATOR_MODULE] = self._code.module(
            ESTIMATOR_MODULE, "build(**params)", indices, last, []
        )


def _pops(node: ast.stmt) -> bool:
    return any(isinstance(part, ast.Attribute) and part.attr == "pop" for part in ast.walk(node))


def _framed(call: ast.Call) -> ast.Call:
    """The loader of a bundled table, asked for a frame."""
    keywords = [key for key in call.keywords if key.arg not in ("as_frame", "return_X_y")]
    return ast.Call(call.func, call.args, [*keywords, ast.keyword("as_frame", ast.Constant(value=True))])
