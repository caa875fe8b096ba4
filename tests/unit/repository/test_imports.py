"""What importing our modules loads, found in processes that start with nothing of ours."""

from __future__ import annotations

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
EXEMPT = {"pilotage.core.encoders"}
"""Subclasses scikit-learn's estimators; stored models need it where they are loaded."""

PROBE = """
import importlib, json, sys
found = {}
for module in sys.argv[1:]:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pilotage"]:
        del sys.modules[name]
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


def loaded(modules: list[str]) -> dict[str, list[str]]:
    """Top-level packages that each of `modules` adds when nothing of ours is loaded."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *modules], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.usefixtures("uncovered")
@pytest.mark.parametrize("room", ROOMS)
def test_every_module_of_a_room_can_be_the_first_one_imported(repository: Path, room: str) -> None:
    modules = names(repository, room)
    assert f"pilotage.{room}" in modules
    assert sorted(loaded(modules)) == modules


@pytest.mark.usefixtures("uncovered")
@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_light_room_loads_no_heavy_library(repository: Path, room: str) -> None:
    found = loaded([name for name in names(repository, room) if name not in EXEMPT])
    heavy = {module: sorted(set(FORBIDDEN[room]) & set(packages)) for module, packages in found.items()}
    assert {module: packages for module, packages in heavy.items() if packages} == {}


@pytest.mark.usefixtures("uncovered")
def test_the_exempt_module_is_the_only_one_that_needs_its_exemption() -> None:
    found = loaded(sorted(EXEMPT))
    assert all("sklearn" in packages for packages in found.values())
