"""What a serving process loads before it answers: each library that is not needed costs the start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "cryptography",
    "grpc",
    "jwt",
    "mlflow",
    "model_signing",
    "onnx",
    "pandas",
    "pyarrow",
    "scipy",
    "shap",
    "skl2onnx",
    "sklearn",
    "skops",
    "sqlalchemy",
)
SERVE = """
import asyncio, json, sys
from pathlib import Path
from pilotage.core import pilots, settings
from pilotage.serving import processes, services
from pilotage.serving.limits import Limits
from pilotage.serving.web import lanes
from pilotage.serving.web.apps import create_app

folder = Path(sys.argv[1])
(folder / "pilot.yaml").write_text(
    "version: 1\\npilot: flights\\ndata: {source: flights.csv, target: late}\\ngoal: {metric: roc_auc}\\n"
)
pilot = pilots.load(folder)
service = services.Service([pilot], settings.load(home=folder / "home"), Limits())
lanes.Lane(service, None)
create_app(service, None)
service.start()
service.stop()
json.dump(sorted({name.partition(".")[0] for name in sys.modules}), sys.stdout)
"""


@pytest.mark.usefixtures("uncovered")
def test_a_server_loads_no_heavy_library_before_a_model_needs_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "fastapi" in loaded
    assert sorted(loaded & set(HEAVY)) == []
