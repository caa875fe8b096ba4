"""A step that runs apart tells what became of it, and ends with design's exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotage.components import outcomes
from pilotage.core import bundles, errors, settings
from pilotage.core.storage import Storage


class Bench:
    """A step, called as a pod calls it."""

    def __init__(self, folder: Path) -> None:
        self.storage = Storage(settings.load().storage)
        self.out = folder / "out"
        pilot = folder / "pilot"
        pilot.mkdir()
        (pilot / "rows.csv").write_text("rows")
        self.reference = bundles.upload(self.storage, pilot)
        self.calls: list[tuple[str, str]] = []
        self.error: Exception | None = None

    def call(self, folder: str | None = None, run: str = "run-1") -> dict[str, object]:
        @outcomes.told("ingest", "snapshot")
        def ingest(pilot: str, folder: str, run: str = "", *, out: str) -> dict[str, object]:
            self.calls.append((folder, Path(folder, "rows.csv").read_text()))
            if self.error is not None:
                raise self.error
            Path(out).mkdir(exist_ok=True)
            Path(out, "snapshot.json").write_text("{}")
            return {"digest": "d", "rows": 3}

        return ingest("{}", folder or self.reference, run, out=str(self.out))

    @property
    def told(self):
        return outcomes.read(self.storage, "run-1", "ingest")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_step_with_a_folder_of_this_machine_tells_its_caller_only(bench: Bench, tmp_path: Path) -> None:
    assert bench.call(str(tmp_path / "pilot")) == {"digest": "d", "rows": 3}
    assert bench.told is None


def test_success_is_told_with_metadata_and_files(bench: Bench, tmp_path: Path) -> None:
    assert bench.call() == {"digest": "d", "rows": 3}
    assert bench.calls[0][1] == "rows"
    assert (bench.told.state, bench.told.attempt) == ("succeeded", 1)
    assert bench.told.outputs == {"snapshot": {"digest": "d", "rows": 3}}
    assert bench.told.peak_memory_bytes > 1 << 20
    found = outcomes.restore(bench.storage, bench.told, tmp_path / "restored")
    assert (found["snapshot"] / "snapshot.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError("not yet"), 1),
        (errors.DataError("Bad rows.", remedy="Mend them.", rows=3), 2),
        (errors.ValidationFailed("No."), 3),
    ],
    ids=["failed", "wrong-input", "refused"],
)
def test_a_failure_is_told_and_its_exit_code_means_what_design_says(
    bench: Bench, error: Exception, code: int
) -> None:
    bench.error = error
    with pytest.raises(SystemExit) as ended:
        bench.call()
    assert ended.value.code == code
    assert bench.told.error["type"] == type(error).__name__
    assert bench.told.error["exit_code"] == code
    with pytest.raises(SystemExit) as again:
        bench.call()
    assert again.value.code == code
    executed = len(bench.calls)
    assert executed == (2 if code == 1 else 1), "what a retry cannot mend is not tried again"
    assert bench.told.attempt == executed


@pytest.mark.parametrize(
    ("error", "kept"),
    [(OSError("not yet"), {}), (errors.ValidationFailed("No."), {"snapshot": ("report.json",)})],
    ids=["a retry may help", "refused"],
)
def test_what_a_refusing_step_left_is_kept_because_it_says_why(
    bench: Bench, error: Exception, kept: dict[str, tuple[str, ...]]
) -> None:
    bench.error = error
    bench.out.mkdir()
    (bench.out / "report.json").write_text("{}")
    with pytest.raises(SystemExit):
        bench.call()
    assert bench.told.files == kept


def test_a_bundle_that_is_gone_is_told_like_any_failure(bench: Bench) -> None:
    bench.storage.delete("bundles")
    with pytest.raises(SystemExit) as ended:
        bench.call()
    assert ended.value.code == 2
    assert bench.told.error["type"] == "NotFound"


def test_a_step_without_a_run_is_refused(bench: Bench) -> None:
    with pytest.raises(errors.InputError, match="names no run"):
        bench.call(run="")
