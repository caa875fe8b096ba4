"""What every test starts from: a home of its own, and nothing of the caller's environment.

Fixtures of one room live in that room's conftest. Nothing here builds a model, and a
server is started for those that ask for it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.databases import Server

# Read by libraries when they are imported, so it cannot wait for a fixture.
os.environ.update(
    OMP_NUM_THREADS="1",
    GX_ANALYTICS_ENABLED="false",
    MLFLOW_DISABLE_TELEMETRY="true",
    NO_COLOR="1",
)
for _name in [
    name
    for name in os.environ
    if name.startswith(("PILOTAGE_", "MLFLOW_TRACKING", "MLFLOW_REGISTRY", "OTEL_"))
    and not name.startswith("PILOTAGE_TEST_")
]:
    del os.environ[_name]

# The machine decides how long an example takes; what fails once must fail again.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def repository() -> Path:
    """The folder that holds pyproject.toml."""
    return REPOSITORY


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty PILOTAGE_HOME, so that no test sees or leaves anything in the checkout."""
    folder = tmp_path / "home"
    monkeypatch.setenv("PILOTAGE_HOME", str(folder))
    return folder


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests marked `databases` run once on each kind of database."""
    if metafunc.definition.get_closest_marker("databases") is not None:
        metafunc.parametrize("back_end", ["sqlite", "postgresql"], indirect=True, scope="function")


@pytest.fixture(autouse=True)
def back_end(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The kind of database that PILOTAGE_DATABASE_URL leads to; SQLite where a test is not marked."""
    kind: str = getattr(request, "param", "sqlite")
    if kind == "sqlite":
        yield kind
        return
    from pilotage.core import settings
    from pilotage.pipelines.tables import connections

    server: Server = request.getfixturevalue("postgresql")
    url = server.create()
    monkeypatch.setenv("PILOTAGE_DATABASE_URL", url)
    yield kind
    connections.open_engine(settings.load(database_url=url)).dispose()
    server.drop(url)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server of the test session; the test is skipped where there is none."""
    from tests.databases import Server, programs

    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed: `apt-get install postgresql`")
    server = Server(found)
    yield server
    server.stop()


@pytest.fixture
def uncovered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that the test starts are not measured for coverage: for tests that time them."""
    for name in [name for name in os.environ if name.startswith("COVERAGE_PROCESS_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the system's Chromium; the test is skipped where there is none."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("Chromium is not installed: `apt-get install chromium`")
    return found
