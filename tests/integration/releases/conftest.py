"""One installation for all tests of releases: creating MLflow's store takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.releases import git_servers
from tests.integration.releases.git_servers import GitServer
from tests.integration.releases.installations import add_pilot, bare, git

from pilotage.core import settings
from pilotage.core.settings import Settings

OTHERS = {
    "README.md": "# Live\n",
    "environments/production/values.yaml": "# of all\ntracking: {uri: http://mlflow:5000}\n",
    "environments/production/flights/overrides.yaml": "# mine\nprometheus: {enabled: true}   # why not\n",
    "environments/production/other/values.yaml": "pilot: other\n",
}
"""What is in every repository before anything is released."""


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """With pilot `flights`, whose versions 1 and 2 passed their gates and whose version 3 did not."""
    folder = tmp_path_factory.mktemp("releases")
    found = settings.load(home=folder / "home")
    add_pilot(found, "flights", folder / "models")
    return found


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A bare repository with files of others, below a folder that a server may serve."""
    made = bare(tmp_path / "git" / "live.git", OTHERS)
    git(made, "config", "http.receivepack", "true")
    git(made, "config", "uploadpack.allowFilter", "true")
    return made


@pytest.fixture
def server(repository: Path) -> Iterator[GitServer]:
    """Serves the repository over HTTP to whoever has the token."""
    with git_servers.serving(repository.parent, "s3cret") as found:
        yield found


@pytest.fixture
def to(installation: Settings) -> Callable[..., Settings]:
    """The installation's settings with some changed."""

    def change(place: object, **more: Any) -> Settings:
        return settings.load(
            **{**installation.model_dump(exclude_unset=True), "release_to": str(place), **more}
        )

    return change


@pytest.fixture
def remote(server: GitServer, to: Callable[..., Settings], tmp_path: Path) -> Settings:
    """Settings that release to the server."""
    (tmp_path / "token").write_text("s3cret\n")
    return to(f"{server.url}/live.git", forge_token_file=tmp_path / "token")
