"""The Open Inference Protocol as KServe's own client speaks it, in an environment of its own.

KServe's dependencies do not fit ours, so its client runs in `.cache/kserve-…`, which the first test
makes; without a way to install it the tests are skipped and say so.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration import test_inference_protocol as protocol
from tests.unit.serving import small_models

from pilotage.core import features, settings
from pilotage.core.registry import Registry

HERE = Path(__file__).parent
INSTALL_SECONDS = 150
ROWS = [row for row in small_models.rows(12) if row["distance"] is not None]


@pytest.fixture(scope="module")
def kserve() -> Path:
    """The Python of an environment with KServe's client."""
    pins = HERE / "kserve-requirements.txt"
    digest = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = HERE.parents[1] / ".cache" / f"kserve-{digest}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        uv = Path(sys.executable).with_name("uv")
        shutil.rmtree(folder, ignore_errors=True)
        install = [
            uv,
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--compile-bytecode",
            "--python",
            python,
            "-r",
            pins,
        ]
        try:
            for command in ([uv, "venv", "-q", "--python", sys.executable, folder], install):
                subprocess.run(
                    [str(part) for part in command],
                    check=True,
                    capture_output=True,
                    text=True,
                    timeout=INSTALL_SECONDS,
                )
        except (OSError, subprocess.SubprocessError) as error:
            said = str(getattr(error, "stderr", None) or error).strip()[-300:]
            pytest.skip(f"KServe's client cannot be installed here: {said}")
        (folder / "complete").touch()
    return python


@pytest.fixture(scope="module")
def said(kserve: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What KServe's client was told in each way of asking."""
    folder = tmp_path_factory.mktemp("kserve")
    found = settings.load(home=folder / "home")
    small_models.register(found, small_models.predictor(seed=1))
    Registry(found).promote(small_models.NAME, 1)
    server = protocol.begin(folder, found.home, {}, {})
    try:
        command = [kserve, HERE / "kserve_client.py", server.url, server.grpc, json.dumps(ROWS)]
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, timeout=120, check=False
        )
    finally:
        assert server.stop() == 0
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["live", "ready", "model", "grpc-live", "grpc-ready", "grpc-model"])
def test_kserves_client_is_told_that_the_server_is_ready(said: dict[str, Any], way: str) -> None:
    assert said[way] is True


@pytest.mark.slow
@pytest.mark.parametrize("way", ["json", "binary", "grpc", "grpc-raw"])
def test_kserves_client_reads_the_models_own_answer(said: dict[str, Any], way: str) -> None:
    expected = small_models.predictor(seed=1).predict(features.from_rows(small_models.FEATURES, ROWS))
    assert expected.probabilities is not None
    assert said[way]["prediction"] == expected.predictions.tolist()
    np.testing.assert_allclose(said[way]["probabilities"], expected.probabilities, atol=1e-6)
    assert (said[way]["id"], said[way]["model"]) == ("q", "flights")
