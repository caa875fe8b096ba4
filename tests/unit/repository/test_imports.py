"""What importing our modules loads, found in processes that start with nothing of ours."""

from __future__ import annotations

import ast
import graphlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOMS = ("core", "components", "pipelines", "serving", "console")
FORBIDDEN = {
    "core": ("fastapi", "great_expectations", "kfp", "kubernetes", "mlflow", "pandas", "sklearn"),
    "serving": ("great_expectations", "kfp", "kubernetes"),
}
EXEMPT = {"pilotage.core.encoders", "pilotage.core.graph_models", "pilotage.core.safes"}
"""They subclass scikit-learn's estimators, or store them; stored models need them where they are loaded."""

PROBE = """
import importlib, json, sys
found = {}
for module in sys.argv[1:]:
    before = set(sys.modules)
    importlib.import_module(module)
    found[module] = sorted({name.partition(".")[0] for name in set(sys.modules) - before})
json.dump(found, sys.stdout)
"""


def names(repository: Path, room: str) -> list[str]:
    """Every module of a room but the ones that run when imported."""
    root = repository / room
    paths = (path.relative_to(root).with_suffix("") for path in (root / "pilotage").rglob("*.py"))
    dotted = {".".join(path.parts).removesuffix(".__init__") for path in paths if path.name != "__main__"}
    return sorted(dotted)


def place(repository: Path, room: str, name: str) -> Path:
    """The file of a module."""
    path = repository / room / Path(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def loaded(modules: list[str]) -> dict[str, list[str]]:
    """Top-level packages that each of `modules` adds to those before it; none that any loads is missed."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *modules], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def imported(path: Path, module: str, known: set[str]) -> set[str]:
    """Those of `known` that `module` has loaded before it can be used; not what it imports on use."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        waiting.extend(ast.iter_child_nodes(node))
    whole = {".".join(name.split(".")[:end]) for name in found for end in range(1, name.count(".") + 2)}
    around = {".".join(module.split(".")[:end]) for end in range(1, module.count(".") + 1)}
    named = {name if name in known else name.rpartition(".")[0] for name in found}
    return (whole & known) - (around - named) - {module}


def test_no_module_needs_one_that_needs_it(repository: Path) -> None:
    """So each can be the first one imported."""
    places = {name: place(repository, room, name) for room in ROOMS for name in names(repository, room)}
    needs = {name: imported(path, name, set(places)) for name, path in places.items()}
    assert len(list(graphlib.TopologicalSorter(needs).static_order())) == len(places)


@pytest.mark.usefixtures("uncovered")
@pytest.mark.parametrize("room", ROOMS)
def test_every_module_can_be_imported_and_a_light_room_loads_no_heavy_library(
    repository: Path, room: str
) -> None:
    modules = names(repository, room)
    assert f"pilotage.{room}" in modules
    light = [name for name in modules if name not in EXEMPT]
    found = loaded([*light, *(name for name in modules if name in EXEMPT)])
    forbidden = set(FORBIDDEN.get(room, ()))
    heavy = {module: sorted(forbidden & set(found[module])) for module in light}
    assert {module: packages for module, packages in heavy.items() if packages} == {}


@pytest.mark.usefixtures("uncovered")
def test_exempt_modules_need_their_exemption() -> None:
    assert [module for module in sorted(EXEMPT) if "sklearn" not in loaded([module])[module]] == []


@pytest.mark.usefixtures("uncovered")
def test_a_step_loads_no_pytorch_where_it_is_installed() -> None:
    pytest.importorskip("torch")
    found = loaded(["pilotage.components.train", "pilotage.components.evaluate", "pilotage.serving.servers"])
    assert {module for module, packages in found.items() if "torch" in packages} == set()
