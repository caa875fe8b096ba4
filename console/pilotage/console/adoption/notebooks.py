"""Cells of a notebook of any version, or of a script, as Python that can be parsed.

Magics and shell lines become comments, so that lines keep their numbers; what was left out is
told. Nothing is executed, and outputs are not looked at.
"""

from __future__ import annotations

import ast
import itertools
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pilotage.core import errors

MOST_BYTES = 64 << 20
MOST_CODE = 2_000_000
"""Characters of code; a notebook's pictures are not code."""
_PYTHON = ("python", "ipython", "python3", "ipython3")
_RUNS_PYTHON = ("time", "timeit", "capture", "prun", "python", "python3", "memit")
"""Cell magics whose body is Python all the same."""
_LINE_MAGIC = re.compile(r"^(\s*)(?:[%!?]|.*[^?=!<>]\?{1,2}\s*$)")
_ASSIGNED_MAGIC = re.compile(r"^(\s*)([A-Za-z_][\w, ]*?)\s*=\s*[%!](?!=)")
_TIMED = re.compile(r"^(\s*)%(?:time|timeit|prun|memit)(?:\s+-\w+(?:\s+\d+)?)*\s+(\S.*)$")
_MARK = re.compile(r"^#\s*%%", re.MULTILINE)


@dataclass(frozen=True)
class Note:
    """What could not be decided or was left out, where, and what to do."""

    cell: int
    line: int
    what: str
    then: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell of code."""

    number: int
    """From 1, as it stands in the notebook, cells of text counted too."""
    code: str
    executed: int | None = None
    """Its place in the order in which cells were last executed."""
    first_line: int = 1
    """In the file, for scripts."""


@dataclass
class Source:
    """What was read."""

    file: Path
    cells: list[Cell]
    trees: dict[int, ast.Module] = field(default_factory=dict)
    """By number of the cell; cells that are not Python have none."""
    notes: list[Note] = field(default_factory=list)
    looks: bool = True
    """Whether files that it names may be looked at; those of a machine that is not its writer's may not."""


def read(file: Path) -> Source:
    """A notebook (`.ipynb`) or a script.

    Raises:
        NotFound: there is no such file.
        InputError: it is no notebook, not in Python, or too large.
    """
    return of_text(file, text_of(file))


def text_of(file: Path) -> str:
    """What is in a file.

    Raises:
        NotFound: there is no such file.
        InputError: it is too large, or no text.
    """
    if not file.is_file():
        raise errors.NotFound(
            f"There is no file `{file}`.", remedy="Name a notebook (.ipynb) or a script (.py)."
        )
    if file.stat().st_size > MOST_BYTES:
        raise errors.InputError(
            f"`{file}` has {file.stat().st_size >> 20} MB, more than {MOST_BYTES >> 20}.",
            remedy="Clear its outputs: `jupyter nbconvert --clear-output --inplace` does.",
        )
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise errors.InputError(f"`{file}` is not text in UTF-8.", remedy="Save it as UTF-8.") from error


def of_text(file: Path, text: str, *, looks: bool = True) -> Source:
    """A notebook or a script whose text is known; `file` names it, and `looks` is as in `Source`.

    Raises:
        InputError: it is no notebook, not in Python, or too large.
    """
    cells = _of_notebook(file, text) if file.suffix == ".ipynb" else _of_script(text)
    if sum(len(cell.code) for cell in cells) > MOST_CODE:
        raise errors.InputError(
            f"`{file}` has more than {MOST_CODE:,} characters of code.",
            remedy="Adopt the part that trains, as a file of its own.",
        )
    source = Source(file, _in_order(cells), looks=looks)
    for cell in source.cells:
        _parse(source, cell)
    if not source.trees:
        raise errors.InputError(
            f"`{file}` has no cell of Python.", remedy="Name the notebook that trains the model."
        )
    return source


def _of_notebook(file: Path, text: str) -> list[Cell]:
    import nbformat

    reads: Any = nbformat.reads  # without types

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of cells without ids, which older versions had not
            notebook: Any = reads(text, as_version=4)
        metadata = notebook.get("metadata", {})
        spoken = metadata.get("language_info", {}).get("name") or metadata.get("kernelspec", {}).get(
            "language"
        )
        cells = [
            Cell(number, _text(cell.get("source", "")), _count(cell.get("execution_count")))
            for number, cell in enumerate(notebook["cells"], 1)
            if cell.get("cell_type") == "code"
        ]
    except Exception as error:  # nbformat raises whatever a broken file provokes
        raise errors.InputError(
            f"`{file}` is no notebook: {type(error).__name__}: {str(error)[:200]}.",
            remedy="Open it in Jupyter and save it again, or adopt a script.",
        ) from error
    if spoken and str(spoken).lower() not in _PYTHON:
        raise errors.InputError(
            f"`{file}` is in {spoken}, not in Python.", remedy="Only Python can be adopted."
        )
    return cells


def _text(source: object) -> str:
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _of_script(text: str) -> list[Cell]:
    """Cells between marks `# %%`, or the whole."""
    places = [match.start() for match in _MARK.finditer(text)]
    bounds = [0, *(place for place in places if place), len(text)]
    return [
        Cell(number, text[begin:end], first_line=text.count("\n", 0, begin) + 1)
        for number, (begin, end) in enumerate(itertools.pairwise(bounds), 1)
    ]


def _in_order(cells: list[Cell]) -> list[Cell]:
    """As they were executed, where every cell with code tells; else as they stand."""
    told = [cell.executed for cell in cells if cell.code.strip()]
    if all(count is not None for count in told) and len(set(told)) == len(told):
        return sorted(cells, key=lambda cell: cell.executed or 0)
    return cells


def _parse(source: Source, cell: Cell) -> None:
    code, left_out = _plain(cell)
    source.notes += left_out
    if not code.strip():
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in somebody's strings
            source.trees[cell.number] = ast.parse(code)
    except SyntaxError as error:
        line = cell.first_line + (error.lineno or 1) - 1
        note = Note(
            cell.number, line, f"the cell is not Python ({error.msg}) and was left out", "Correct it."
        )
        source.notes.append(note)
    except (ValueError, RecursionError, MemoryError) as error:
        what = f"the cell cannot be read ({type(error).__name__}) and was left out"
        source.notes.append(Note(cell.number, cell.first_line, what, "Take it apart."))


def _plain(cell: Cell) -> tuple[str, list[Note]]:
    """The cell's Python, and what was left out of it."""
    lines, notes = cell.code.splitlines(), list[Note]()
    begin = next((place for place, line in enumerate(lines) if line.strip()), 0)
    if lines and lines[begin].lstrip().startswith("%%"):
        magic = lines[begin].strip()[2:].split()[0] if lines[begin].strip()[2:].split() else ""
        if magic not in _RUNS_PYTHON:
            what = f"the cell is for `%%{magic}` and was left out"
            return "", [
                Note(cell.number, cell.first_line, what, "Do it before `pilotage run`, if it makes data.")
            ]
        lines[begin] = ""
    if _whole("\n".join(lines)):
        return "\n".join(lines), notes
    for place, line in enumerate(lines):
        timed, assigned = _TIMED.match(line), _ASSIGNED_MAGIC.match(line)
        if timed:
            lines[place] = timed[1] + timed[2]
        elif assigned:
            lines[place] = f"{assigned[1]}{assigned[2]} = ..."
            what = f"`{line.strip()[:60]}` is a command of the notebook and was left out"
            notes.append(
                Note(cell.number, cell.first_line + place, what, f"Say in Python what `{assigned[2]}` is.")
            )
        elif _LINE_MAGIC.match(line):
            lines[place] = _LINE_MAGIC.match(line)[1] + "pass"  # type: ignore[index]
    return "\n".join(lines), notes


def _whole(code: str) -> bool:
    """Whether it is Python as it stands, so that no line of a string is taken for a magic."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
