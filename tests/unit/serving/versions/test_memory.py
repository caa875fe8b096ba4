"""A version is held to its memory, and what an unloaded one took is given back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.serving import small_models
from tests.unit.serving.versions.test_champions import Shelf

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.serving.versions import memory
from pilotage.serving.versions.champions import Follower

MB = 1024 * 1024


def limited(installation: Settings, megabytes: int) -> Settings:
    return installation.model_copy(update={"model_memory_mb": megabytes})


def test_files_beyond_the_bound_are_not_even_loaded(installation: Settings, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(bytes(2 * MB))

    def load() -> object:
        raise AssertionError("it was loaded")

    with pytest.raises(errors.ModelTooLarge, match=r"its files are 2 MB, at most 1 MB .*MODEL_MEMORY_MB"):
        memory.load_within(limited(installation, 1), "Version 2 of `flights`", tmp_path, load)


def test_a_version_that_grows_the_process_too_much_is_let_go(installation: Settings, tmp_path: Path) -> None:
    held = memory.resident_bytes()
    with pytest.raises(errors.ModelTooLarge, match=r"takes \d+ MB, at most 50 MB") as caught:
        memory.load_within(limited(installation, 50), "Version 2", tmp_path, lambda: bytearray(200 * MB))
    assert caught.value.details["bytes"] > 150 * MB
    assert memory.resident_bytes() < held + 50 * MB


def test_what_the_first_load_takes_for_libraries_is_not_the_versions(
    installation: Settings, tmp_path: Path
) -> None:
    libraries: list[bytearray] = []

    def load() -> str:
        if not libraries:
            libraries.append(bytearray(200 * MB))
        return "loaded"

    assert memory.load_within(limited(installation, 50), "Version 2", tmp_path, load) == "loaded"


def test_without_a_setting_most_of_what_is_left_may_be_taken(installation: Settings) -> None:
    allowed = memory.allowance(installation)
    assert 0 < allowed <= 0.91 * memory.left_bytes() + 100 * MB
    assert memory.allowance(limited(installation, 3)) == 3 * MB


def test_the_control_groups_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text(f"{100 * MB}\n")
    (tmp_path / "memory.current").write_text(f"{80 * MB}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {30 * MB}\nslab 3\n")
    monkeypatch.setattr(memory, "_GROUPS", ((tmp_path, "memory.max", "memory.current"),))
    assert memory.left_bytes() == 50 * MB
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.left_bytes() > 100 * MB


def test_a_version_that_is_too_large_is_told_and_the_old_one_stays(
    installation: Settings, tmp_path: Path
) -> None:
    shelf = Shelf(installation, tmp_path / "shelf")
    for version in (1, 2):
        small_models.write(shelf.place / str(version), small_models.predictor(seed=version), installation)
    shelf.live = {"champion": 1}
    follower = Follower("flights", limited(installation, 100), shelf)
    follower.poll()
    (shelf.place / "2" / "ballast.bin").write_bytes(bytes(101 * MB))
    shelf.live = {"champion": 2}
    follower.poll()
    assert follower.live is not None
    assert follower.live.version == 1
    assert "Version 2 could not be loaded (ModelTooLarge)" in follower.reason


_SWAPS = """
import sys
from pathlib import Path
import numpy as np
from tests.unit.serving import small_models
from tests.unit.serving.versions.test_champions import Shelf
from pilotage.core import models, settings
from pilotage.core.models import Predictor
from pilotage.serving.versions import lives, memory
from pilotage.serving.versions.champions import Follower

class Big(Predictor):
    def predict(self, columns):
        object.__setattr__(self, "ballast", [np.ones(1_000) for _ in range(8_000)])
        return super().predict(columns)

home = Path(sys.argv[1])
installation = settings.load(home=home / "home")
shelf = Shelf(installation, home / "shelf")
for version in (1, 2):
    small_models.write(shelf.place / str(version), small_models.predictor(seed=version), installation)
real = models.open_predictor
models.open_predictor = lambda folder, given: Big(*vars(real(folder, given)).values())
follower = Follower("flights", installation, shelf)
held = []
for turn in range(50):
    shelf.live = {"champion": 1 + turn % 2}
    follower.poll()
    assert follower.live.version == 1 + turn % 2, follower.reason
    follower.poll()
    held.append(memory.resident_bytes() // (1024 * 1024))
print(*held)
"""


@pytest.mark.slow
def test_fifty_swaps_of_a_large_model_leave_memory_flat(tmp_path: Path, repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SWAPS, str(tmp_path)],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    held = [int(value) for value in done.stdout.split()]
    assert len(held) == 50
    assert max(held[10:]) - min(held[10:]) < 30, f"a version is 60 MB; MB after each swap: {held}"
