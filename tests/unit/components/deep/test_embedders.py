"""Encoders of texts and images: exported as they are, found again, checked, fine-tuned, or refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.components.deep import small_encoders

from pilotage.components.compilation import encoders as encoder_tables
from pilotage.components.datasets import Dataset
from pilotage.components.training import estimators
from pilotage.components.training.deep import backbones, embedders, places, sentences
from pilotage.components.training.deep.embedders import Embedder
from pilotage.core import embeddings, errors, settings
from pilotage.core.artifacts import Feature, TextEncoder
from pilotage.core.embeddings import folders
from pilotage.core.forms.encodings import Encoder as FormEncoder
from pilotage.core.metrics import Task
from pilotage.core.specs import Encoder, FeatureKind, PilotSpec

TEXT = Feature(name="review", kind=FeatureKind.TEXT)
ODD = np.array(
    ["the room was good", None, "", " \n\t", "ünïcode 漢字 🙂", "bad " * 5000, "\ud83d", "a\0b"], dtype=object
)


def spec(encoder: dict[str, Any], estimator: str = "logistic_regression") -> PilotSpec:
    return PilotSpec.model_validate(
        {
            "version": 1,
            "pilot": "trial",
            "goal": {"metric": "accuracy"},
            "data": {"source": "x.csv", "target": "y", "features": {"review": "text"}},
            "train": {"estimator": estimator, "encoders": {"review": encoder}, "seed": 1},
        }
    )


def embedder(folder: Path, model: Path, **encoder: Any) -> Embedder:
    estimator = "mlp" if encoder.get("fine_tune") else "logistic_regression"
    return Embedder(spec({"model": str(model), **encoder}, estimator), folder, settings.load())


def reviews(rows: int, seed: int = 0) -> Dataset:
    texts, labels = small_encoders.texts_and_labels(rows, seed)
    return Dataset((TEXT,), {"review": texts}, labels)


def test_vectors_are_the_model_s_own_whatever_else_is_asked(tmp_path: Path, tiny_encoder: Path) -> None:
    part = embedder(tmp_path, tiny_encoder).part(TEXT, reviews(30))
    model = sentences.load(tiny_encoder, None)
    texts = np.array(["the room was very good", "not bad", "a service and the food"], dtype=object)
    frame = Dataset((TEXT,), {"review": texts}, np.zeros(3)).frame()
    found = part.transform(frame)
    assert np.abs(found - model.encode(texts.tolist(), show_progress_bar=False)).max() < 1e-5
    encoder = embeddings.embedding(part.encoder)
    with embeddings.uncached():
        alone = np.concatenate([encoder.vectors(texts[[row]]) for row in range(3)])
        threads = encoder.vectors(texts, threads=2)
    assert (found == alone).all()
    assert (found == threads).all()


def test_odd_texts_have_vectors_and_missing_ones_are_zero(tmp_path: Path, tiny_encoder: Path) -> None:
    part = embedder(tmp_path, tiny_encoder).part(TEXT, reviews(30))
    encoder = embeddings.embedding(part.encoder)
    found = encoder.vectors(ODD)
    assert np.isfinite(found).all()
    assert [bool(row.any()) for row in found] == [True, False, False, False, True, True, True, True]
    assert encoder.cut(ODD) == 1
    assert (
        found[5] == encoder.vectors(np.array(["bad " * 60], dtype=object))[0]
    ).all()  # the rest is not read


def test_an_encoder_is_made_once_and_found_without_pytorch(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = embedder(tmp_path, tiny_encoder).part(TEXT, reviews(30))
    monkeypatch.setattr(sentences, "load", lambda *_: pytest.fail("it was loaded again"))
    assert embedder(tmp_path, tiny_encoder).part(TEXT, reviews(40)).encoder == first.encoder


def test_vectors_of_a_training_are_kept_for_the_next(tmp_path: Path, tiny_encoder: Path, home: Path) -> None:
    part = embedder(tmp_path, tiny_encoder).part(TEXT, reviews(30))
    place, texts = home / "cache" / "vectors", reviews(25).columns["review"]
    embeddings.remember(place)
    try:
        folder = folders.fetch(settings.load(), part.encoder)
        before = embeddings.Embedding(part.encoder, folder).vectors(texts)
        fresh = embeddings.Embedding(part.encoder, folder)
        fresh._session = None  # whatever is computed now fails
        assert (fresh.vectors(texts) == before).all()
        with pytest.raises(AttributeError):
            fresh.vectors(np.array(["never seen"], dtype=object))
        next(place.glob("*.db")).write_bytes(b"damaged")
        assert (embeddings.Embedding(part.encoder, folder).vectors(texts) == before).all()
    finally:
        embeddings.remember(None)


def test_changed_files_are_not_loaded(tmp_path: Path, tiny_encoder: Path, home: Path) -> None:
    part = embedder(tmp_path, tiny_encoder).part(TEXT, reviews(30))
    graph = home / "encoders" / part.encoder / folders.GRAPH
    graph.write_bytes(graph.read_bytes() + b"\0")
    with pytest.raises(errors.UntrustedModel, match="not those that it was made of"):
        folders.fetch(settings.load(), part.encoder)
    shutil.rmtree(graph.parent)
    with pytest.raises(errors.NotFound, match="Restore `encoders/`"):
        folders.fetch(settings.load(), part.encoder)


def test_fine_tuning_learns_what_the_frozen_encoder_does_not_know(tmp_path: Path, tiny_encoder: Path) -> None:
    train, rest = reviews(240), reviews(200, seed=9)
    right = {}
    for tune in (False, True):
        made = {"fine_tune": True, "tuned_layers": 2, "epochs": 12, "learning_rate": 3e-3} if tune else {}
        maker = Embedder(spec({"model": str(tiny_encoder), **made}, "mlp"), tmp_path, settings.load())
        params = {"hidden": 8, "layers": 1, "epochs": 40}
        model = estimators.build(
            "mlp", params, task=Task.CLASSIFICATION, dataset=train, seed=1, folder=tmp_path, embedder=maker
        )
        model = estimators.fit(model, train, "mlp")
        right[tune] = float(np.mean(model.predict(rest.frame()) == rest.target))
        (digest,) = embedders.encoders_of(model)
        about = embeddings.describe(folders.fetch(settings.load(), digest))
        assert isinstance(about, TextEncoder)
        assert about.tuned is tune
    assert right[True] > 0.95
    assert right[True] >= right[False]


@pytest.mark.parametrize("estimator", ["logistic_regression", "hist_gradient_boosting", "mlp"])
def test_a_form_computes_what_the_pipeline_does(tmp_path: Path, tiny_encoder: Path, estimator: str) -> None:
    dataset = reviews(60)
    maker = Embedder(spec({"model": str(tiny_encoder)}), tmp_path, settings.load())
    params = {"mlp": {"epochs": 2}, "hist_gradient_boosting": {"max_iter": 3}}.get(estimator, {})
    model = estimators.build(
        estimator, params, task=Task.CLASSIFICATION, dataset=dataset, seed=1, folder=tmp_path, embedder=maker
    )
    model = estimators.fit(model, dataset, estimator)
    encode = model.steps[0][1]
    inputs = encoder_tables.inputs(encode)
    wanted = np.asarray(encode.transform(dataset.frame()))
    assert (FormEncoder(inputs).matrix(dataset.columns, dataset.rows) == wanted).all()


def test_only_wheels_and_folders_are_read_unless_a_hub_is_allowed(tmp_path: Path, tiny_encoder: Path) -> None:
    here = settings.load()
    with pytest.raises(errors.EstimatorError, match="PILOTAGE_ALLOW_HUB"):
        places.find("someone/some-model", tmp_path, here)
    with pytest.raises(errors.EstimatorError, match="There is no encoder"):
        places.find("missing", tmp_path, here)
    copy = tmp_path / "copy"
    shutil.copytree(tiny_encoder, copy)
    assert places.find("copy", tmp_path, here) == copy
    assert places.digest(copy) == places.digest(tiny_encoder)


def test_pickled_weights_and_code_are_refused(tmp_path: Path, tiny_encoder: Path) -> None:
    pickled, foreign = tmp_path / "pickled", tmp_path / "foreign"
    for folder in (pickled, foreign):
        shutil.copytree(tiny_encoder, folder)
    for file in pickled.rglob("*.safetensors"):
        file.rename(file.with_name("pytorch_model.bin"))
    with pytest.raises(errors.UntrustedModel, match="never read"):
        places.find("pickled", tmp_path, settings.load())
    parts = json.loads((foreign / "modules.json").read_text())
    parts[0]["type"] = "custom_code.Model"
    (foreign / "modules.json").write_text(json.dumps(parts))
    with pytest.raises(errors.UntrustedModel, match="never run"):
        places.find("foreign", tmp_path, settings.load())


def test_more_tokens_than_the_encoder_reads_are_refused(tmp_path: Path, tiny_encoder: Path) -> None:
    with pytest.raises(errors.EstimatorError, match="reads at most 32"):
        embedder(tmp_path, tiny_encoder, most_tokens=64).part(TEXT, reviews(30))


def test_a_backbone_says_its_size_and_what_it_cannot_be(tmp_path: Path, digits_backbone: Path) -> None:
    about, _ = backbones.read(Encoder(backbone=str(digits_backbone)), tmp_path)
    assert (about.width, about.size, about.channels, about.mean) == (64, (14, 14), 1, (0.0,))
    (tmp_path / "other.onnx").write_bytes(b"no graph")
    for wrong, said in (
        (Encoder(backbone="none.onnx"), "cannot be read"),
        (Encoder(backbone="other.onnx"), "cannot be loaded"),
        (Encoder(backbone=str(digits_backbone), size=16), "takes images of 14 x 14 pixels"),
        (Encoder(backbone=str(digits_backbone), mean=(0.1, 0.2)), "has 1 channels"),
        (Encoder(backbone=str(digits_backbone), output="logits"), "has no output `logits`"),
    ):
        with pytest.raises(errors.EstimatorError, match=said):
            backbones.read(wrong, tmp_path)
