"""The shape of the tree: rooms of one namespace, small modules that say why they exist."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOMS = ("core", "components", "pipelines", "serving", "console")
MOST_FILE_LINES = 400
MOST_FUNCTION_LINES = 60

LONG_FILES: dict[str, str] = {}
"""Path → why it is longer than the limit."""
LONG_FUNCTIONS: dict[str, str] = {}
"""`path:name` → why it is longer than the limit."""
WRITTEN_BY_A_PROGRAM = "pipelines/pilotage/pipelines/migrations/versions/"
"""As long as what they are written from; see `pilotage.pipelines.migrations.__main__`."""


def modules(repository: Path, *folders: str) -> Iterator[tuple[str, str]]:
    """Path and source of every Python file below `folders`."""
    for folder in folders:
        for path in sorted((repository / folder).rglob("*.py")):
            yield path.relative_to(repository).as_posix(), path.read_text(encoding="utf-8")


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Name and length in lines of every function of a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def public_names(source: str) -> list[str] | None:
    """What `__all__` lists; None where a module has none."""
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            assert isinstance(node, ast.Assign)
            return list(ast.literal_eval(node.value))
    return None


def in_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest: the order that ruff keeps."""
    if name.isupper():
        return 0, name
    return (1 if name[0].isupper() else 2), name


def test_no_room_hides_the_others_with_a_package_file(repository: Path) -> None:
    assert [room for room in ROOMS if (repository / room / "pilotage" / "__init__.py").exists()] == []
    assert not (repository / "pilotage").exists()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_holds_one_typed_package_of_its_name(repository: Path, room: str) -> None:
    portion = repository / room / "pilotage"
    packages = {path.name for path in portion.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert packages == {room}
    assert (portion / room / "__init__.py").is_file()
    assert (portion / room / "py.typed").is_file(), "without it type checkers ignore our annotations"


def test_every_module_says_why_it_exists(repository: Path) -> None:
    silent = [
        path for path, source in modules(repository, *ROOMS) if not ast.get_docstring(ast.parse(source))
    ]
    assert silent == []


def test_files_stay_short(repository: Path) -> None:
    lengths = {path: source.count("\n") for path, source in modules(repository, *ROOMS, "pilots")}
    long = {
        path: lines
        for path, lines in lengths.items()
        if lines > MOST_FILE_LINES and not path.startswith(WRITTEN_BY_A_PROGRAM)
    }
    assert {path: lines for path, lines in long.items() if path not in LONG_FILES} == {}
    assert set(LONG_FILES) <= set(long), "an exception that is no longer needed"


def test_functions_stay_short(repository: Path) -> None:
    long = {
        f"{path}:{name}": lines
        for path, source in modules(repository, *ROOMS, "pilots")
        for name, lines in functions(source)
        if lines > MOST_FUNCTION_LINES and not path.startswith(WRITTEN_BY_A_PROGRAM)
    }
    assert {name: lines for name, lines in long.items() if name not in LONG_FUNCTIONS} == {}
    assert set(LONG_FUNCTIONS) <= set(long), "an exception that is no longer needed"


def test_public_names_are_sorted_and_listed_once(repository: Path) -> None:
    listed = {path: public_names(source) for path, source in modules(repository, *ROOMS)}
    unsorted = {
        path: names for path, names in listed.items() if names and names != sorted(set(names), key=in_order)
    }
    assert unsorted == {}


def test_no_module_has_a_name_that_says_nothing(repository: Path) -> None:
    vague = {"base", "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}
    assert [
        path for path, _ in modules(repository, *ROOMS) if vague & set(Path(path).with_suffix("").parts)
    ] == []


def test_every_file_with_tests_is_collected(repository: Path) -> None:
    missed = [
        path
        for path, source in modules(repository, "tests")
        if any(name.startswith("test_") for name, _ in functions(source))
        and not Path(path).name.startswith("test_")
    ]
    assert missed == [], "pytest collects `test_*.py`"
