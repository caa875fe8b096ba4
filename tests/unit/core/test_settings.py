"""Settings come from the environment, with defaults that keep everything in one folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotage.core import errors, settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(("PILOTAGE_", "MLFLOW_TRACKING")):
            monkeypatch.delenv(name)


def test_defaults_keep_everything_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = settings.load()
    assert loaded.home == tmp_path / ".pilotage"
    assert loaded.database == f"sqlite:///{tmp_path}/.pilotage/pilotage.db"
    assert loaded.tracking == f"sqlite:///{tmp_path}/.pilotage/mlflow.db"
    assert loaded.storage == str(tmp_path / ".pilotage")
    assert loaded.allow_pickle == "own"


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTAGE_DATABASE_URL", "postgresql://db/pilotage")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    monkeypatch.setenv("PILOTAGE_TRUSTED_TYPES", "a.B, c.D,")
    loaded = settings.load()
    assert loaded.database == "postgresql://db/pilotage"
    assert loaded.tracking == "http://127.0.0.1:5000"
    assert loaded.trusted_types == ("a.B", "c.D")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PILOTAGE_ALLOW_PICKLE", "maybe"),
        ("PILOTAGE_STEP_TIMEOUT_SECONDS", "0"),
        ("PILOTAGE_STEP_RETRIES", "-1"),
        ("PILOTAGE_ROW_SAMPLE", "2"),
        ("PILOTAGE_REFERENCE_SAMPLE", "-1"),
        ("PILOTAGE_FLUSH_SECONDS", "soon"),
    ],
)
def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(errors.SettingsError) as caught:
        settings.load()
    assert name in str(caught.value)
    assert value in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_home_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(errors.SettingsError, match=r"PILOTAGE_HOME: is a file, not a folder, got .*home"):
        settings.load(home=tmp_path / "home")


def test_the_line_break_at_the_end_of_a_secrets_file_is_no_part_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"DATABASE_URL": "postgresql://db/pilotage\n", "TOKEN": "abc\r\n"}.items():
        monkeypatch.setenv(f"PILOTAGE_{name}", value)
    loaded = settings.load()
    assert (loaded.database, loaded.token.get_secret_value()) == ("postgresql://db/pilotage", "abc")
