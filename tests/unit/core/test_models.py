"""What may be loaded is decided by the settings, never by the model's own files."""

from __future__ import annotations

import pickle
import sys
from datetime import UTC, datetime
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import LinearSVC

from pilotage.core import errors, features, models, settings
from pilotage.core.artifacts import Feature, Model, ModelFormat
from pilotage.core.metrics import Task
from pilotage.core.specs import FeatureKind

FEATURES = (Feature(name="x", kind=FeatureKind.NUMBER),)


class Foreign(Ridge):
    """A type that no trust list names."""


def described(task: Task, kind: ModelFormat = ModelFormat.SKOPS, **more: object) -> Model:
    values: dict[str, object] = {
        "pilot": "a",
        "digest": "0" * 64,
        "format": kind,
        "estimator": "x",
        "params": {},
        "seed": 1,
        "features": FEATURES,
        "target": "y",
        "task": task,
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


def stored(folder: Path, estimator: object, model: Model) -> Path:
    folder.mkdir()
    file = folder / models.FILES[model.format]
    if model.format is ModelFormat.SKOPS:
        skops.io.dump(estimator, file)
    else:
        file.write_bytes(cloudpickle.dumps(estimator))
    model.write(folder / "pilotage")
    return folder


def columns(*values: float) -> features.Columns:
    return features.from_rows(FEATURES, [{"x": value} for value in values])


@pytest.fixture
def ridge() -> Ridge:
    return Ridge().fit(features.to_frame(columns(0.0, 1.0, 2.0, 3.0)), [0.0, 1.0, 2.0, 3.0])


def test_a_skops_model_loads_and_predicts(tmp_path: Path, ridge: Ridge) -> None:
    folder = stored(tmp_path / "m", ridge, described(Task.REGRESSION))
    predictor = models.open_predictor(folder, settings.load(home=tmp_path))
    assert predictor.predict(columns(1.5)).predictions == pytest.approx([1.5], abs=0.1)


def test_a_type_that_is_not_trusted_is_named(tmp_path: Path, ridge: Ridge) -> None:
    foreign = Foreign().fit(features.to_frame(columns(0.0, 1.0)), [0.0, 1.0])
    name = f"{Foreign.__module__}.Foreign"
    folder = stored(tmp_path / "m", foreign, described(Task.REGRESSION))
    assert models.foreign_types(foreign, settings.load(home=tmp_path)) == (name,)
    with pytest.raises(errors.UntrustedModel, match="Foreign"):
        models.open_predictor(folder, settings.load(home=tmp_path))
    trusting = settings.load(home=tmp_path, trusted_types=(name,))
    assert models.foreign_types(foreign, trusting) == ()
    assert isinstance(models.open_predictor(folder, trusting).estimator, Ridge)


def test_a_pickled_model_loads_where_it_was_signed_and_nowhere_else(tmp_path: Path, ridge: Ridge) -> None:
    here, elsewhere = settings.load(home=tmp_path / "here"), settings.load(home=tmp_path / "elsewhere")
    folder = stored(tmp_path / "m", ridge, described(Task.REGRESSION, ModelFormat.PICKLE))
    with pytest.raises(errors.UntrustedModel, match="did not sign"):
        models.open_predictor(folder, here)
    models.sign(folder, here)
    assert models.open_predictor(folder, here).predict(columns(1.0)).score.shape == (1,)
    models._key(elsewhere, create=True)
    with pytest.raises(errors.UntrustedModel, match="did not sign"):
        models.open_predictor(folder, elsewhere)


def test_a_changed_pickle_is_never_opened(tmp_path: Path, ridge: Ridge) -> None:
    here = settings.load(home=tmp_path / "here")
    folder = stored(tmp_path / "m", ridge, described(Task.REGRESSION, ModelFormat.PICKLE))
    models.sign(folder, here)

    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    (folder / "model.pkl").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(errors.UntrustedModel):
        models.open_predictor(folder, here)
    assert not (tmp_path / "exploded").exists()


def test_code_that_was_added_breaks_the_signature(tmp_path: Path, ridge: Ridge) -> None:
    here = settings.load(home=tmp_path / "here")
    folder = stored(tmp_path / "m", ridge, described(Task.REGRESSION, ModelFormat.PICKLE))
    models.sign(folder, here)
    (folder / "code").mkdir()
    (folder / "code" / "evil.py").write_text("")
    assert not models.is_own(folder, here)


def test_each_version_runs_its_own_code(tmp_path: Path) -> None:
    here = settings.load(home=tmp_path / "here")
    folders = []
    for version in (1, 2):
        code = tmp_path / str(version) / "code"
        code.mkdir(parents=True)
        (code / "own_model.py").write_text(
            f"class Own:\n    def predict(self, X):\n        return [{version}.0] * len(X)\n"
        )
        folder = code.parent
        (folder / "model.pkl").write_bytes(b"\x80\x04cown_model\nOwn\n)\x81.")
        described(Task.REGRESSION, ModelFormat.PICKLE).write(folder / "pilotage")
        models.sign(folder, here)
        folders.append(folder)
    before = list(sys.path)
    try:
        first, second = (models.open_predictor(folder, here) for folder in folders)
        assert first.predict(columns(0.0)).predictions.tolist() == [1.0]
        assert second.predict(columns(0.0)).predictions.tolist() == [2.0]
    finally:
        sys.path[:] = before
        sys.modules.pop("own_model", None)


def test_settings_can_forbid_and_allow_every_pickle(tmp_path: Path, ridge: Ridge) -> None:
    never = settings.load(home=tmp_path / "h", allow_pickle="never")
    folder = stored(tmp_path / "m", ridge, described(Task.REGRESSION, ModelFormat.PICKLE))
    models.sign(folder, never)
    with pytest.raises(errors.UntrustedModel, match="`never`"):
        models.open_predictor(folder, never)
    free = settings.load(home=tmp_path / "other", allow_pickle="any")
    assert isinstance(models.open_predictor(folder, free).estimator, Ridge)


def test_the_key_is_for_its_owner_only(tmp_path: Path, ridge: Ridge) -> None:
    here = settings.load(home=tmp_path / "here")
    models.sign(stored(tmp_path / "m", ridge, described(Task.REGRESSION)), here)
    assert (here.home / "installation.key").stat().st_mode & 0o777 == 0o600


def test_a_model_whose_file_is_gone_is_not_found(tmp_path: Path, ridge: Ridge) -> None:
    folder = stored(tmp_path / "m", ridge, described(Task.REGRESSION))
    (folder / "model.skops").unlink()
    with pytest.raises(errors.NotFound, match="gone"):
        models.open_predictor(folder, settings.load(home=tmp_path))


@pytest.mark.parametrize("positive", ["no", "yes"])
@pytest.mark.parametrize(
    "estimator", [LogisticRegression(), LinearSVC()], ids=lambda item: type(item).__name__
)
def test_the_score_rises_with_the_positive_class(estimator: object, positive: str) -> None:
    frame = features.to_frame(columns(-2.0, -1.0, 1.0, 2.0))
    fitted = estimator.fit(frame, ["no", "no", "yes", "yes"])  # type: ignore[attr-defined]
    model = described(Task.CLASSIFICATION, classes=("no", "yes"), positive=positive)
    score = models.Predictor(fitted, model).predict(columns(-3.0, 3.0)).score
    assert bool(score[1] > score[0]) is (positive == "yes")


def test_several_classes_are_scored_by_the_highest_probability() -> None:
    frame = features.to_frame(columns(0.0, 1.0, 2.0, 0.1, 1.1, 2.1))
    fitted = LogisticRegression().fit(frame, ["a", "b", "c", "a", "b", "c"])
    prediction = models.Predictor(fitted, described(Task.CLASSIFICATION, classes=("a", "b", "c"))).predict(
        columns(2.0)
    )
    assert prediction.probabilities is not None
    assert prediction.score == pytest.approx(prediction.probabilities.max(axis=1))
    assert prediction.predictions.tolist() == ["c"]
    assert np.isclose(prediction.probabilities.sum(), 1.0)
