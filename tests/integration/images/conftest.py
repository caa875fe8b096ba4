"""What builds images and runs them, and the base that they are built on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY
from tests.integration.images.containers import CONTAINERS, NEEDED, PLACE, run


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What builds and runs images, configured for a machine without systemd; skipped where it is missing."""
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    runtime = next((name for name in ("runc", "crun") if shutil.which(name)), None)
    if lacking or runtime is None:
        pytest.skip(f"not installed: {', '.join(lacking) or 'crun or runc'}")
    if os.geteuid():
        pytest.skip("needs root here: user namespaces of podman need entries in /etc/subuid")
    configuration = tmp_path_factory.mktemp("engine") / "containers.conf"
    configuration.write_text(CONTAINERS.format(runtime=runtime))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_CONF", str(configuration))
        patch.setenv("BUILDAH_ISOLATION", "chroot")
        yield


@pytest.fixture(scope="module")
def base(engine: None) -> Path:
    """The archive that base.sh makes; one that is newer than what makes it is taken as it is."""
    archive = PLACE / "base.tar"
    sources = [REPOSITORY / "infra/images" / name for name in ("base.sh", "trim.py")]
    if not archive.exists() or archive.stat().st_mtime < max(path.stat().st_mtime for path in sources):
        run(str(sources[0]), str(archive))
    return archive
