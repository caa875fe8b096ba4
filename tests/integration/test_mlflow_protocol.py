"""MLflow's own scoring client on a real server gets what MLflow's own loading of the same model predicts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import mlflow
import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow import exceptions
from mlflow.protos import databricks_pb2
from mlflow.pyfunc import scoring_server
from mlflow.pyfunc.scoring_server import client as scoring_client
from tests.unit.serving import small_models

from pilotage.core import features, models, settings, storage
from pilotage.core.artifacts import ModelFormat
from pilotage.core.metrics import Task
from pilotage.core.models import Predictor
from pilotage.core.registry import Registry, folders

SCRIPT = """
import sys
from pathlib import Path
from pilotage.core import pilots, settings
from pilotage.serving import servers
folder, url_file = sys.argv[1:]
servers.run(pilots.load(Path(folder)), settings.load(), port=0, on_ready=Path(url_file).write_text)
"""
# MLflow's functions have no types
SERVER: Any = scoring_server
CLIENT: Any = scoring_client
ERRORS: Any = exceptions
NAMES = [feature.name for feature in small_models.FEATURES]


class Served(NamedTuple):
    """A server of one model, and MLflow's own loading of that model."""

    url: str
    client: Any
    mlflow: Any

    def invoke(self, body: Any, kind: str = "application/json") -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.post(f"{self.url}/invocations", content=content, headers={"content-type": kind})

    def mlflow_says(self, body: Any, kind: str = "application/json") -> tuple[int, Any]:
        """Status and document of MLflow's own scoring server."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        schema = self.mlflow.metadata.get_input_schema()
        try:
            answer = SERVER.invocations(content, kind, self.mlflow, schema)
        except ERRORS.MlflowException as error:
            return error.get_http_status_code(), json.loads(error.serialize_as_json())
        return answer.status, json.loads(answer.response) if answer.status == 200 else answer.response


def register(home: Path, made: Predictor, folder: Path) -> None:
    """A champion whose folder is what training writes."""
    found = settings.load(home=home)
    frame = features.to_frame(features.from_rows(small_models.FEATURES, small_models.rows(3)))
    digest = folders.save_estimator(
        folder,
        made.estimator,
        ModelFormat.SKOPS,
        features=made.model.features,
        task=made.model.task,
        classes=made.model.classes,
        example=frame,
        requirements=["scikit-learn"],
        code=(),
        settings=found,
    )
    assert digest == storage.file_digest(folder / models.FILES[ModelFormat.SKOPS])
    model = made.model.model_copy(update={"digest": digest})
    folders.add_facts(folder, model, small_models.profile(made), found)
    registry = Registry(found)
    run = registry.start_run(small_models.NAME, "train", {})
    uri = registry.log_model(small_models.NAME, run, folder, {})
    registry.end_run(run)
    registry.promote(small_models.NAME, registry.register(small_models.NAME, run, uri, {}))


@pytest.fixture(scope="module", params=list(Task))
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    task: Task = request.param
    place = tmp_path_factory.mktemp("served")
    register(place / "home", small_models.predictor(task), place / "model")
    text = small_models.YAML if task is Task.CLASSIFICATION else small_models.REGRESSION_YAML
    small_models.pilot(place / "pilot", text)
    url_file, log = place / "url", place / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(place / "pilot"), str(url_file)],
            env={**os.environ, "PILOTAGE_HOME": str(place / "home")},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + 60
    while not (url_file.exists() and url_file.read_text()):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    url = url_file.read_text()
    parts = urlsplit(url)
    client = CLIENT.ScoringServerClient(parts.hostname, parts.port)
    client.wait_server_ready(timeout=30, scoring_server_proc=process)
    yield Served(url, client, mlflow.pyfunc.load_model(str(place / "model")))
    process.terminate()
    assert process.wait(30) == 0
    assert "Traceback" not in log.read_text()


def rows(count: int = 30) -> list[dict[str, Any]]:
    """Rows in JSON's types; times without an offset, which MLflow's signatures do not take."""
    found = [{name: row[name] for name in NAMES} for row in small_models.rows(count, seed=4)]
    return [{**row, "bought": row["bought"][:19]} for row in found]


def frame(count: int = 30) -> pd.DataFrame:
    """Rows as a client holds them: with a missing value of each kind, unseen categories and times."""
    made = pd.DataFrame(rows(count))
    made["holiday"] = made["holiday"].astype(float)
    made["bought"] = pd.to_datetime(made["bought"])
    made.loc[2, "holiday"] = np.nan
    made.loc[3, "bought"] = pd.NaT
    made.loc[4, "carrier"] = "ZZ"
    return made


def same(found: Any, expected: Any) -> None:
    if np.asarray(expected).dtype == bool:
        assert list(found) == list(expected)
    else:
        np.testing.assert_allclose(found, np.asarray(expected, dtype=float), rtol=1e-5)


def test_the_client_gets_what_mlflow_predicts_for_a_frame(served: Served) -> None:
    asked = frame()
    assert asked.isna().any(axis=None)
    same(served.client.invoke(asked)["predictions"], served.mlflow.predict(asked))


def test_the_client_finds_the_server_ready_and_of_its_version(served: Served) -> None:
    served.client.ping()
    assert served.client.get_version() == mlflow.__version__
    for path in ("/ping", "/health"):
        answer = httpx.get(served.url + path)
        assert (answer.status_code, answer.text) == (200, "\n")
        assert answer.headers["content-type"].startswith("application/json")


def test_the_clients_reading_of_the_answer_works(served: Served) -> None:
    answer = served.client.invoke(frame(5), params={"ignored": 1})
    assert answer.get_predictions("dataframe").shape == (5, 1)
    assert answer.get_predictions("ndarray").shape == (5,)


def forms() -> dict[str, Any]:
    given = rows()
    table = [[row[name] for name in NAMES] for row in given]
    columns = {name: [row[name] for row in given] for name in NAMES}
    one = given[0]
    return {
        "records": {"dataframe_records": given},
        "extra column": {"dataframe_records": [{**row, "other": 1} for row in given]},
        "split": {"dataframe_split": {"columns": NAMES, "data": table}},
        "split with index": {"dataframe_split": {"index": list(range(30)), "columns": NAMES, "data": table}},
        "split in another order": {
            "dataframe_split": {"columns": NAMES[::-1], "data": [row[::-1] for row in table]}
        },
        "instances": {"instances": given},
        "instances by column": {"instances": columns},
        "inputs": {"inputs": given},
        "inputs by column": {"inputs": columns},
        "one row of inputs": {"inputs": one},
        "params": {"inputs": given, "params": {"k": 1}},
        "no params": {"inputs": given, "params": None},
        "other keys": {"inputs": given, "client_request_id": "7"},
        "numbers for booleans": {"dataframe_records": [{**row, "holiday": 1} for row in given]},
        "numbers for categories": {"dataframe_records": [{**row, "carrier": 1} for row in given]},
        "dates": {"dataframe_records": [{**row, "bought": row["bought"][:10]} for row in given]},
        "missing times": {"dataframe_records": [{**one, "bought": "NaT"}, one]},
    }


@pytest.mark.parametrize("form", list(forms()))
def test_every_form_gives_what_mlflows_server_gives(served: Served, form: str) -> None:
    body = forms()[form]
    status, expected = served.mlflow_says(body)
    answer = served.invoke(body)
    assert (answer.status_code, status) == (200, 200), answer.text
    assert set(answer.json()) == set(expected) == {"predictions"}
    same(answer.json()["predictions"], expected["predictions"])


def test_nan_of_pythons_json_is_missing(served: Served) -> None:
    body = {"dataframe_records": [{**rows(1)[0], "distance": float("nan")}]}
    assert b"NaN" in json.dumps(body).encode()
    same(served.invoke(body).json()["predictions"], served.mlflow_says(body)[1]["predictions"])


def test_a_frame_as_csv_gives_what_mlflow_predicts(served: Served) -> None:
    """MLflow's own server cannot read times from CSV; its model can."""
    asked = frame()
    for body in (asked.to_csv(index=False), asked.to_csv()):
        answer = served.invoke(body.encode(), "text/csv; charset=utf-8")
        same(answer.json()["predictions"], served.mlflow.predict(asked))


REFUSED = [
    pytest.param(b"{", "application/json", id="cut"),
    pytest.param(b"[1]", "application/json", id="list"),
    pytest.param(b"\xff", "application/json", id="bytes"),
    pytest.param({}, "application/json", id="no-form"),
    pytest.param({"inputs": [], "instances": []}, "application/json", id="two-forms"),
    pytest.param({"dataframe_records": {}}, "application/json", id="records-object"),
    pytest.param({"dataframe_split": []}, "application/json", id="split-list"),
    pytest.param({"dataframe_split": {"columns": ["a"]}}, "application/json", id="no-data"),
    pytest.param(
        {"dataframe_split": {"columns": ["a"], "data": [[1]], "x": 1}}, "application/json", id="split-key"
    ),
    pytest.param({"dataframe_records": []}, "application/json", id="no-rows"),
    pytest.param(
        {"dataframe_records": [{**rows(1)[0], "distance": "far"}]}, "application/json", id="mistyped"
    ),
    pytest.param(
        {"dataframe_records": [{**rows(1)[0], "distance": float("inf")}]}, "application/json", id="infinite"
    ),
    pytest.param({"inputs": rows(1)}, "application/json; charset=latin1", id="charset"),
    pytest.param({"inputs": rows(1)}, "application/json; format=pandas-split", id="old-format"),
    pytest.param({"inputs": rows(1)}, "application/xml", id="xml"),
]


@pytest.mark.parametrize(("body", "kind"), REFUSED)
def test_what_mlflows_server_refuses_is_refused_with_members_that_its_clients_read(
    served: Served, body: Any, kind: str
) -> None:
    assert served.mlflow_says(body, kind)[0] in (400, 415)
    answer = served.invoke(body, kind)
    assert answer.status_code in (400, 415, 422)
    error = ERRORS.RestException(answer.json())
    assert error.error_code in list(databricks_pb2.ErrorCode.keys())
    assert answer.json()["detail"] in str(error)


def test_the_client_is_told_what_is_wrong(served: Served) -> None:
    asked = frame(3).drop(columns="carrier")
    with pytest.raises(Exception, match="Feature `carrier` is missing"):
        served.client.invoke(asked)
