"""A form that is another model's, or was changed, is not used; one that fits needs no heavy library."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from pilotage.core import errors, forms, models, settings, storage
from pilotage.core.artifacts import (
    CodeInput,
    Feature,
    InferenceForm,
    Link,
    Model,
    ModelFormat,
    NumberInput,
    OneHotInput,
    Scaling,
    TimeInput,
)
from pilotage.core.features import Columns
from pilotage.core.forms.encodings import Encoder
from pilotage.core.metrics import Task
from pilotage.core.specs import FeatureKind

FEATURES = (
    Feature(name="size", kind=FeatureKind.NUMBER),
    Feature(name="at", kind=FeatureKind.TIME),
    Feature(name="carrier", kind=FeatureKind.CATEGORY),
    Feature(name="gate", kind=FeatureKind.CATEGORY),
)
INPUTS = (
    NumberInput(feature="size", scaling=Scaling(fill=3.0, mean=1.0, scale=2.0)),
    TimeInput(feature="at"),
    CodeInput(feature="carrier", codes={"AA": 0.0, "UA": 1.0}, missing=None, unseen=7.0),
    OneHotInput(feature="gate", width=2, positions={"A": 0, "B": 1}, missing=None, unseen=1),
)


def columns() -> Columns:
    return {
        "gate": np.array(["A", None, "C"], dtype=object),
        "carrier": np.array(["UA", None, "new"], dtype=object),
        "at": np.array(["2024-03-04T05:06", "NaT", "1969-12-31T23:00"], dtype="datetime64[us]"),
        "size": np.array([5.0, np.nan, 1.0]),
    }


def described(**more: Any) -> Model:
    values: dict[str, Any] = {
        "pilot": "a",
        "digest": "d" * 64,
        "format": ModelFormat.SKOPS,
        "estimator": "x",
        "params": {},
        "seed": 1,
        "features": FEATURES,
        "target": "y",
        "task": Task.CLASSIFICATION,
        "classes": ("no", "yes"),
        "positive": "yes",
        "snapshot": "0" * 64,
        "train_rows": 4,
        "test_rows": 1,
        "validation": {},
        "requirements": (),
        "python": "3.11",
        "code": "0" * 64,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Model.model_validate(values | more)


def linear(weights: Any) -> bytes:
    """A graph that multiplies by `weights`, shape `(width, outputs)`."""
    table = numpy_helper.from_array(np.array(weights, dtype=np.float64), "w")
    body = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None, len(weights)])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, [None, len(weights[0])])],
        [table],
    )
    made = helper.make_model(body, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return bytes(made.SerializeToString())


SUM_OF_SCALED = linear([[1.0], *[[0.0]] * 5, [0.5], [0.25]])


def write(folder: Path, graph: bytes = SUM_OF_SCALED, **changes: Any) -> Path:
    """A model folder with a form: the log odds are the scaled size, and something for the gate."""
    place = folder / forms.FOLDER
    place.mkdir(parents=True)
    (place / forms.GRAPH).write_bytes(graph)
    facts: dict[str, Any] = {
        "model": "d" * 64,
        "graph": storage.file_digest(place / forms.GRAPH),
        "inputs": (
            INPUTS[0],
            TimeInput(feature="at", scaling=(Scaling(fill=0, mean=0, scale=1),) * 4),
            CodeInput(feature="carrier", codes={}, missing=0.0, unseen=0.0),
            INPUTS[3],
        ),
        "single": False,
        "base": (0.0,),
        "link": Link.LOGISTIC,
        "rows": 1,
        "tolerance": 1e-6,
        "difference": 0.0,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    InferenceForm(**{**facts, **changes}).write(place)
    return folder


def opened(folder: Path, **changes: Any) -> forms.FormPredictor:
    found = forms.open_form(folder, described(**changes))
    assert found is not None
    return found


def test_the_matrix_holds_what_the_tables_say() -> None:
    encoder = Encoder(INPUTS)
    nan = np.nan
    assert encoder.width == 8
    np.testing.assert_array_equal(
        encoder.matrix(columns(), 3),
        [
            [2.0, 19786, 3, 0, 5, 1.0, 1, 0],
            [1.0, nan, nan, nan, nan, nan, 0, 0],
            [0.0, -1, 12, 2, 23, 7.0, 0, 1],
        ],
    )


def test_a_form_answers_with_classes_score_and_probabilities(tmp_path: Path) -> None:
    found = opened(write(tmp_path)).predict(columns())
    odds = np.array([2.5, 1.0, 0.25])
    expected = 1 / (1 + np.exp(-odds))
    assert found.predictions.tolist() == ["yes", "yes", "yes"]
    assert found.score == pytest.approx(expected)
    assert found.probabilities is not None
    assert found.probabilities.sum(axis=1) == pytest.approx([1, 1, 1])


def test_the_score_is_of_the_positive_class_also_when_that_is_the_first(tmp_path: Path) -> None:
    found = opened(write(tmp_path), positive="no").predict(columns())
    assert found.predictions.tolist() == ["yes", "yes", "yes"]
    assert found.score[0] == pytest.approx(1 / (1 + np.exp(2.5)))


def test_extreme_odds_neither_overflow_nor_warn(tmp_path: Path) -> None:
    given = {**columns(), "size": np.array([1e300, -1e300, 1.0])}
    found = opened(write(tmp_path)).predict(given)
    assert found.score[:2].tolist() == [1.0, 0.0]


def test_of_several_classes_the_score_is_the_highest_probability(tmp_path: Path) -> None:
    graph = linear([[1.0, 0.0, 0.0], *[[0.0] * 3] * 5, [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]])
    folder = write(tmp_path, graph, base=(0.0, 0.0, 0.5), link=Link.SOFTMAX)
    found = opened(folder, classes=(1, 2, 3), positive=None).predict(columns())
    assert found.predictions.tolist() == [2, 1, 3]
    assert found.probabilities is not None
    assert found.score.tolist() == found.probabilities.max(axis=1).tolist()


def test_no_rows_give_no_predictions(tmp_path: Path) -> None:
    none = {name: column[:0] for name, column in columns().items()}
    assert opened(write(tmp_path)).predict(none).predictions.shape == (0,)


def test_many_threads_get_the_answers_that_one_gets(tmp_path: Path) -> None:
    form = opened(write(tmp_path))
    sizes = np.linspace(-5, 5, 400)
    wanted = [form.predict({**columns(), "size": np.repeat(size, 3)}).score.tolist() for size in sizes]
    found: list[Any] = [None] * sizes.size

    def ask(start: int) -> None:
        for place in range(start, sizes.size, 4):
            given = {**columns(), "size": np.repeat(sizes[place], 3)}
            found[place] = form.predict(given).score.tolist()

    threads = [threading.Thread(target=ask, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == wanted


def test_without_a_form_there_is_none_and_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert forms.open_form(tmp_path, described()) is None
    assert caplog.records == []


def change_graph(place: Path) -> None:
    (place / forms.GRAPH).write_bytes(linear([[2.0], *[[0.0]] * 7]))


def lose_graph(place: Path) -> None:
    (place / forms.GRAPH).unlink()


def cut_form(place: Path) -> None:
    file = place / InferenceForm.FILE
    file.write_text(file.read_text()[:-40])


def name_later_version(place: Path) -> None:
    file = place / InferenceForm.FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), "schema_version": 2}))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (change_graph, "is not the graph that"),
        (lose_graph, "No such file"),
        (cut_form, "is not a InferenceForm"),
        (name_later_version, "is not a InferenceForm"),
    ],
)
def test_a_form_that_was_changed_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Any, reason: str
) -> None:
    spoil(write(tmp_path) / forms.FOLDER)
    with caplog.at_level(logging.WARNING):
        assert forms.open_form(tmp_path, described()) is None
    assert "is not used" in caplog.text
    assert reason in caplog.text


def test_the_form_of_another_model_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert forms.open_form(write(tmp_path), described(digest="e" * 64)) is None
    assert "It is of model dddddddddddd, not of eeeeeeeeeeee" in caplog.text


@pytest.mark.parametrize(
    ("graph", "reason"), [(b"no graph", "cannot load"), (linear([[1.0]] * 3), "takes 3 columns")]
)
def test_a_graph_that_does_not_run_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, graph: bytes, reason: str
) -> None:
    assert forms.open_form(write(tmp_path, graph), described()) is None
    assert reason in caplog.text


def test_a_form_that_was_added_after_signing_ends_the_signature(tmp_path: Path) -> None:
    installation = settings.load()
    (tmp_path / models.FILES[ModelFormat.SKOPS]).write_bytes(b"estimator")
    models.sign(tmp_path, installation)
    write(tmp_path)
    assert not models.is_own(tmp_path, installation)
    assert models.is_own(tmp_path, installation, form=False)
    models.sign(tmp_path, installation)
    assert models.is_own(tmp_path, installation)
    change_graph(tmp_path / forms.FOLDER)
    assert not models.is_own(tmp_path, installation)


PROBE = """
import sys
from pathlib import Path
import numpy as np
from pilotage.core import forms
from pilotage.core.artifacts import Model
folder = Path(sys.argv[1])
form = forms.open_form(folder, Model.read(folder))
times = np.array(["2024-01-01"], dtype="datetime64[us]")
text = np.array(["A"], dtype=object)
form.predict({"size": np.ones(1), "at": times, "carrier": text, "gate": text})
print(sorted({"sklearn", "pandas", "scipy", "mlflow", "onnx", "skops"} & set(sys.modules)))
"""


@pytest.mark.usefixtures("uncovered")
def test_a_form_answers_without_any_library_that_trained_it(tmp_path: Path) -> None:
    described().write(write(tmp_path))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE, str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_opening_says_what_does_not_fit() -> None:
    form = InferenceForm(
        model="d" * 64, graph="0" * 64, inputs=INPUTS, single=False, base=(0.0,), link=Link.IDENTITY,
        rows=1, tolerance=0.0, difference=0.0, created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    with pytest.raises(errors.DataError, match=r"takes 3 columns, the form fills 8"):
        forms.FormPredictor(form, linear([[1.0]] * 3), described())
