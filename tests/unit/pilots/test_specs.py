"""The examples' pilot.yaml files: they are valid, and what they name exists."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from pilotage.core import pilots
from pilotage.core.specs import PythonSource

PYTHON_SOURCES = ("diamond-price", "digits", "flight-delay")
SCHEMA = "../../core/pilotage/core/schemas/pilot/v1.json"


def test_every_folder_with_a_spec_is_tested_here(pilots_folder: Path) -> None:
    assert tuple(sorted(file.parent.name for file in pilots_folder.glob("*/pilot.yaml"))) == PYTHON_SOURCES


@pytest.mark.parametrize("name", PYTHON_SOURCES)
def test_the_spec_is_valid_and_names_the_schema_for_editors(pilots_folder: Path, name: str) -> None:
    pilot = pilots.load(pilots_folder / name)
    assert pilot.name == name
    first_line = pilot.file.read_text().splitlines()[0]
    assert first_line == f"# yaml-language-server: $schema={SCHEMA}"


@pytest.mark.parametrize("name", PYTHON_SOURCES)
def test_source_and_columns_exist(
    pilots_folder: Path, example: Callable[[str, str], ModuleType], name: str
) -> None:
    data = pilots.load(pilots_folder / name).spec.data
    assert isinstance(data.source, PythonSource)
    assert data.source.fingerprint is not None
    module, function = data.source.python.split(":")
    source = example(name, module)
    columns = set(getattr(source, function)(**data.source.args).columns)
    named = {data.target, data.time, data.key, *(data.features or {}), *data.exclude} - {None}
    assert named <= columns
    assert len(getattr(source, data.source.fingerprint.split(":")[1])(**data.source.args)) == 64


@pytest.mark.parametrize(
    ("name", "module"), [("diamond-price", "diamonds"), ("digits", "scans"), ("flight-delay", "flights")]
)
def test_the_fingerprint_follows_package_and_code(
    example: Callable[[str, str], ModuleType],
    name: str,
    module: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    source = example(name, module)
    first = source.fingerprint()
    assert first == source.fingerprint()
    with monkeypatch.context() as patch:
        patch.setattr(importlib.metadata, "version", lambda package: f"{package} of tomorrow")
        assert source.fingerprint() != first
    edited = tmp_path / f"{module}.py"
    edited.write_bytes(Path(str(source.__file__)).read_bytes() + b"\n")
    monkeypatch.setattr(source, "__file__", str(edited))
    assert source.fingerprint() != first
