"""Modules of a pilot, written of statements of a notebook: imports, functions, constants, one function.

What functions read of the top level stays at the top level; everything else becomes the body of the
function that the pilot names. Comments are not kept.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from pilotage.console.adoption.analyses import Analysis
from pilotage.console.adoption.loads import Rebase


@dataclass
class _Parts:
    """Texts of statements, by where they go."""

    imports: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    defined: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)


class Code:
    """Writes modules for a pilot in `folder`."""

    def __init__(self, found: Analysis, folder: Path) -> None:
        self._found, self._program = found, found.program
        self._beside = found.source.file.parent
        self._base = os.path.relpath(self._beside.absolute(), folder.absolute())

    def module(
        self, module: str, signature: str, indices: Sequence[int], last: Sequence[str], extra: Sequence[str]
    ) -> str:
        """The text of a module.

        Args:
            module: its name.
            signature: of its function, as `load()`.
            indices: statements of the notebook that the function needs.
            last: lines behind them.
            extra: further imports.
        """
        indices = self._complete(indices, last)
        names = self._program.names_at(len(self._program.statements))
        rebase = Rebase(self._program, names, self._beside, looks=self._found.source.looks)
        parts = self._sort(indices, rebase)
        self._tell(module, indices, rebase)
        imports = [
            *(["import os"] if rebase.secrets else []),
            *(["from pathlib import Path"] if rebase.used else []),
            *extra,
            *parts.imports,
        ]
        base = f"BASE = (Path(__file__).parent / {self._base!r}).resolve()" if rebase.used else ""
        inner = "\n".join("    " + line for text in [*parts.body, *last] for line in text.splitlines())
        texts = [
            f'"""Taken from {shown(self._found.source.file.name)} by `pilotage adopt`."""',
            "from __future__ import annotations",
            "\n".join(dict.fromkeys(imports)),
            base,
            "\n".join(parts.early),
            *parts.defined,
            "\n".join(parts.late),
            f"def {signature}:\n{inner}",
        ]
        return "\n\n".join(text for text in texts if text) + "\n"

    def _complete(self, indices: Sequence[int], last: Sequence[str]) -> list[int]:
        """With the functions, classes and imports that they and the last lines read."""
        program = self._program
        closing = ast.parse("def _():\n" + "\n".join(f"    {line}" for line in last))
        read = {part.id for part in ast.walk(closing) if isinstance(part, ast.Name)}
        chosen = set(indices)
        while True:
            read |= {name for index in chosen for name in program.statements[index].reads}
            more = {
                index
                for index, part in enumerate(program.statements)
                if index not in chosen and part.defines and part.writes & read
            }
            if not more:
                return sorted(chosen)
            chosen |= more
            read_by_functions = {
                name for index in more for name in program.statements[index].reads if index in chosen
            }
            chosen |= set(program.slice(read_by_functions, len(program.statements))) & self._constants()

    def _constants(self) -> set[int]:
        """Statements that may stand at the top level: they read nothing but what is imported or alike."""
        program, found = self._program, set[int]()
        known = set(program.imports)
        for index, part in enumerate(program.statements):
            if not part.defines and part.writes and part.reads <= known and not part.changes:
                found.add(index)
                known |= part.writes
        return found

    def _sort(self, indices: Sequence[int], rebase: Rebase) -> _Parts:
        program, parts = self._program, _Parts()
        shared = self._shared(indices)
        for index in indices:
            statement = program.statements[index]
            node = rebase.visit(ast.parse(ast.unparse(statement.node)).body[0])
            text = ast.unparse(ast.fix_missing_locations(node))
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                if getattr(node, "module", "") != "__future__":
                    parts.imports.append(text)
            elif statement.defines:
                parts.defined.append(text)
            elif index in shared:
                (parts.late if statement.reads & set(program.functions) else parts.early).append(text)
            else:
                parts.body.append(text)
        return parts

    def _shared(self, indices: Sequence[int]) -> set[int]:
        """Statements whose names functions read: they stay where functions see them."""
        program, found = self._program, set[int]()
        wanted = {
            name
            for index in indices
            if program.statements[index].defines
            for name in program.statements[index].reads
        }
        for index in reversed(indices):
            statement = program.statements[index]
            if not statement.defines and statement.writes & wanted:
                found.add(index)
                wanted |= statement.reads
        return found

    def _tell(self, module: str, indices: Sequence[int], rebase: Rebase) -> None:
        place = indices[0] if indices else 0
        for name in sorted(self._program.unknown(indices)):
            self._found.note(place, f"`{name}` is not defined anywhere", f"Define it in {module}.py.")
        for index in indices:
            for name in _imported(self._program.statements[index].node):
                if not _is_installed(name, self._beside):
                    then = f"Put it into the pilot's folder, beside {module}.py, or install it."
                    self._found.note(index, f"`{name}` is imported and not installed here", then)
        if rebase.secrets:
            self._found.note(
                place, "an address with a password was left out", "Set the variable DATABASE_URL to it."
            )


def _imported(node: ast.stmt) -> set[str]:
    """Names of the packages that an import begins with."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return {node.module.partition(".")[0]}
    return set()


def _is_installed(name: str, beside: Path) -> bool:
    """Whether a package is found by whoever imports it, and not only where the script lies."""
    if name in sys.stdlib_module_names:
        return True
    spec = find_spec(name)
    if spec is None:
        return False
    places = list(spec.submodule_search_locations or []) or [spec.origin or ""]
    return all(Path(place).resolve().parent != beside.resolve() for place in places)


def shown(name: str) -> str:
    """A file's name as it can stand in a text of any kind."""
    return "".join(letter for letter in name if letter.isprintable() and letter not in "\"\\'")
