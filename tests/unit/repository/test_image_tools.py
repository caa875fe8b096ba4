"""What puts images together: cuts that leave modules loadable, checked lists, whole contexts."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import msgspec
import pytest


@pytest.fixture
def tools(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the tools, from which they import each other."""
    folder = repository / "infra" / "images"
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in ("build", "inventories", "slim", "wheels"):
        sys.modules.pop(name, None)


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.mark.skipif(sys.platform != "linux", reason="its modules are ELF files")
def test_a_module_without_its_symbols_loads_and_a_second_cut_changes_nothing(
    tools: Path, tmp_path: Path
) -> None:
    slim = load("slim")
    source = importlib.util.find_spec("msgspec._core")
    assert source is not None
    assert source.origin is not None
    content = Path(source.origin).read_bytes() + b"\0" * 200_000  # as debugging information would follow
    module = tmp_path / "package" / "_core.so"
    module.parent.mkdir()
    module.write_bytes(content)
    slim.strip(tmp_path)
    cut = module.read_bytes()
    assert len(cut) <= len(content) - 200_000
    ctypes.CDLL(str(module))
    slim.strip(tmp_path)
    assert module.read_bytes() == cut
    assert msgspec.json.decode(b"1") == 1


def test_what_is_no_module_is_left_alone(tools: Path, tmp_path: Path) -> None:
    slim = load("slim")
    files = {
        "text.so": b"INPUT(libc.so.6)\n" + b" " * 300_000,
        "mach.so": b"\xcf\xfa\xed\xfe" + b"\0" * 300_000,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    slim.strip(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in files} == files


def test_a_saving_that_is_none_any_more_stops_the_build(tools: Path, tmp_path: Path) -> None:
    slim = load("slim")
    (tmp_path / "pandas" / "tests").mkdir(parents=True)
    (tmp_path / "pandas" / "frames.py").write_text("")
    slim.slim(tmp_path)
    assert [path.name for path in (tmp_path / "pandas").iterdir()] == ["frames.py"]
    with pytest.raises(SystemExit, match=r"`pandas/tests` is not in pandas any more"):
        slim.slim(tmp_path)


@pytest.mark.parametrize("trains", [True, False], ids=["where models are made smaller", "where not"])
def test_what_writes_graphs_in_8_bits_stays_where_they_are_written(
    tools: Path, tmp_path: Path, trains: bool
) -> None:
    slim = load("slim")
    for name in ("transformers", "quantization", "tools", "datasets", "capi"):
        (tmp_path / "onnxruntime" / name).mkdir(parents=True)
    (tmp_path / "onnxruntime" / "capi" / "libonnxruntime.so.1").write_bytes(b"")
    if trains:
        (tmp_path / "onnx").mkdir()
    slim.slim(tmp_path)
    left = {path.name for path in (tmp_path / "onnxruntime").iterdir()}
    assert left == {"capi", *(("quantization", "transformers") if trains else ())}


def test_only_modules_that_are_used_keep_their_bytecode(tools: Path, tmp_path: Path) -> None:
    slim = load("slim")
    for package in ("used", "unused"):
        (tmp_path / package / "__pycache__").mkdir(parents=True)
        (tmp_path / package / "__pycache__" / "module.cpython-313.pyc").write_bytes(b"")
    slim.keep_bytecode(tmp_path, {str(tmp_path / "used" / "module.py")})
    assert (tmp_path / "used" / "__pycache__" / "module.cpython-313.pyc").is_file()
    assert not (tmp_path / "unused" / "__pycache__").exists()


def test_a_context_without_a_room_is_refused(
    tools: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specification = importlib.util.spec_from_file_location("assemble", tools / "assemble.py")
    assert specification is not None
    assert specification.loader is not None
    assemble = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(assemble)
    monkeypatch.setattr(assemble, "BUILD", tmp_path)
    monkeypatch.setattr(assemble, "VERSION", sys.version_info[:2])
    for room in ("core", "components", "pipelines", "serving", "console"):
        place = tmp_path / "source" / room / "pilotage" / room
        place.mkdir(parents=True)
        shutil.copyfile(repository / room / "pilotage" / room / "py.typed", place / "py.typed")
    assemble.check()
    (tmp_path / "source" / "console" / "pilotage" / "console" / "py.typed").unlink()
    with pytest.raises(SystemExit, match="lacks console: build from the repository's root"):
        assemble.check()
    monkeypatch.setattr(assemble, "VERSION", (3, 9))
    with pytest.raises(SystemExit, match=r"the locks are for 3\.9"):
        assemble.check()


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Programs on the path, each with what it says when it does not work; all others are gone."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(**programs: str) -> None:
        for name, trouble in programs.items():
            path = tmp_path / name
            path.write_text(f"#!/bin/sh\necho '{trouble}' >&2\nexit {int(bool(trouble))}\n")
            path.chmod(0o755)

    return put


def test_an_engine_that_is_missing_or_does_not_work_is_named(tools: Path, engines: Callable[..., None]):
    build = load("build")
    with pytest.raises(SystemExit, match=r"docker is not installed; podman is not installed; buildah is not"):
        build._program(None)
    engines(docker="Is the daemon running?", podman="")
    with pytest.raises(SystemExit, match=r"docker does not work here \(Is the daemon running\?\)"):
        build._program("docker")


def test_the_first_engine_that_works_builds(tools: Path, engines: Callable[..., None]):
    build = load("build")
    engines(docker="Is the daemon running?", podman="", buildah="")
    assert (build._program(None), build._program("buildah")) == ("podman", "buildah")
