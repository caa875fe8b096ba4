"""Pilots with texts and images from their source to alarms: trained with PyTorch, served without."""

from __future__ import annotations

import base64
import csv
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from tests.unit.components.deep import small_encoders

from pilotage.components import score
from pilotage.components.ingest import ingest
from pilotage.core import embeddings, errors, features, forms, models, pilots, settings
from pilotage.core.embeddings import images
from pilotage.core.registry import Registry
from pilotage.core.registry.tags import FORM_TAG, SKEW_TAG
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.pipelines.execution import runs
from pilotage.pipelines.journals.results import RunResult
from pilotage.pipelines.readiness import trials
from pilotage.pipelines.readiness.proofs import Kind
from pilotage.serving.monitor import watches
from pilotage.serving.records.recorders import Recorder
from pilotage.serving.records.servings import Served
from pilotage.serving.versions import lives

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'pilotage[deep]'")
pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass
class World:
    """A pilot that ran once, and the settings of its installation."""

    folder: Path
    pilot: pilots.Pilot
    settings: Settings

    @property
    def registry(self) -> Registry:
        return Registry(self.settings)

    def live(self) -> lives.Live:
        champion = self.registry.champion(self.pilot.name)
        assert champion is not None
        assert champion.tags[FORM_TAG] == "ready"
        assert champion.tags[SKEW_TAG] == "none"
        return lives.load(self.registry, self.settings, champion)

    def run(self) -> RunResult:
        return runs.run(self.pilot.spec, self.folder, self.settings, cache=False)


def world(folder: Path, **spec: Any) -> World:
    content = {"version": 1, "goal": {"metric": "accuracy"}, "monitor": {"window": "1h"}, **spec}
    (folder / "pilot.yaml").write_text(yaml.safe_dump(content))
    made = World(folder, pilots.load(folder), settings.load(home=folder / "home"))
    assert made.run().promoted
    return made


def write(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Reviews and prices, through a small encoder of the test's own, into a network."""
    folder = tmp_path_factory.mktemp("reviews")
    small_encoders.sentence_model(folder / "encoder")
    texts, labels = small_encoders.texts_and_labels(500)
    texts[::50] = ""
    texts[7] = "ünïcode 漢字 🙂, and a comma\nin two lines"
    prices = np.random.default_rng(1).normal(100, 10, 500).round(1)
    rows = [list(row) for row in zip(texts, prices, labels, strict=True)]
    write(folder / "reviews.csv", ["review", "price", "opinion"], rows)
    return world(
        folder,
        pilot="reviews",
        data={
            "source": "reviews.csv",
            "target": "opinion",
            "features": {"review": "text", "price": "number"},
        },
        train={
            "estimator": "mlp",
            "params": {"hidden": 16, "epochs": 60, "learning_rate": 0.01},
            "encoders": {"review": {"model": "encoder/model"}},
        },
    )


def test_texts_are_served_by_a_form_as_the_trained_model_has_them(reviews: World) -> None:
    live = reviews.live()
    assert live.form is not None
    assert live.folder is not None
    wanted = live.model.features
    rows: list[dict[str, Any]] = [
        {"review": "the room was very good and quick", "price": 90.0},
        {"review": None, "price": 90.0},
        {"review": "", "price": None},
        {"review": "bad " * 3000, "price": 90.0},
        {"review": "漢字 🙂", "price": 90},
    ]
    columns = features.from_rows(wanted, rows)
    found = live.predictor.predict(columns)
    trained = models.open_predictor(live.folder, reviews.settings).predict(columns)
    assert found.probabilities is not None
    assert trained.probabilities is not None
    assert np.abs(found.probabilities - trained.probabilities).max() < 1e-6
    assert (found.predictions == trained.predictions).all()
    assert found.predictions[0] == "good"
    assert found.predictions[3] == "bad"
    with pytest.raises(errors.RequestError, match="`review` is 5, expected text or null"):
        features.from_rows(wanted, [{"review": 5, "price": 1.0}])


def test_the_server_loads_neither_pytorch_nor_scikit_learn(reviews: World) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pilotage.core import settings\n"
        "from pilotage.core.registry import Registry\n"
        "from pilotage.serving import services\n"
        "from pilotage.serving.versions import lives\n"
        "found = settings.load(home=Path(sys.argv[1]))\n"
        "registry = Registry(found)\n"
        "live = lives.load(registry, found, registry.champion('reviews'))\n"
        "assert live.form is not None\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    command = [sys.executable, "-c", script, str(reviews.settings.home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_versions_share_their_encoder_and_the_second_training_computes_no_vector(reviews: World) -> None:
    (vectors,) = (reviews.settings.home / "cache" / "embeddings").glob("*.db")
    known = vectors.stat().st_size
    assert reviews.run().state == "succeeded"
    assert vectors.stat().st_size == known
    encoders = {
        model.encoders
        for model in (reviews.registry.model(item) for item in reviews.registry.versions("reviews"))
    }
    assert len(encoders) == 1
    store = Storage(reviews.settings.storage)
    held = {name.split("/")[1] for name in store.names("encoders")} - {"made"}
    assert held == set(next(iter(encoders)))


def test_readiness_trains_beside_a_version_that_reads_texts(reviews: World) -> None:
    options = trials.Options(prove=(Kind.REPEAT, Kind.SIMPLE))
    found, _ = trials.run(reviews.settings, reviews.pilot.name, options, "ann")
    assert {proof.kind for proof in found} == {Kind.REPEAT, Kind.SIMPLE}
    assert next(proof for proof in found if proof.kind is Kind.REPEAT).passed


def test_a_form_whose_encoder_is_gone_is_not_served(reviews: World, tmp_path: Path) -> None:
    champion = reviews.registry.champion("reviews")
    assert champion is not None
    elsewhere = reviews.settings.model_copy(update={"storage_url": str(tmp_path / "other")})
    embeddings.encoders._opened.clear()
    with pytest.raises(errors.NotFound, match="Restore `encoders/`"):
        lives.load(reviews.registry, elsewhere, champion)
    assert forms.open_form(reviews.registry.folder(champion), reviews.registry.model(champion)) is not None


def test_longer_and_missing_texts_raise_an_alarm_and_the_same_ones_do_not(
    reviews: World, tmp_path: Path
) -> None:
    here = reviews.settings.model_copy(update={"storage_url": str(tmp_path / "storage")})
    live = reviews.live()
    recorder = Recorder("reviews", HOUR, here, Storage(here.storage), 10**6)
    generator = np.random.default_rng(3)

    def serve(hour: int, change: Callable[[str, int], str | None]) -> None:
        texts, _ = small_encoders.texts_and_labels(300, seed=20 + hour)
        prices = generator.normal(100, 10, 300).round(1)
        rows = [
            {"review": change(str(text), place), "price": float(price)}
            for place, (text, price) in enumerate(zip(texts, prices, strict=True))
        ]
        columns = features.from_rows(live.model.features, rows)
        start = BEGIN + hour * HOUR
        times = np.full(300, np.datetime64(start.replace(tzinfo=None), "us"))
        recorder.record(
            Served(
                live=live,
                rows=300,
                columns=columns,
                ids=[f"{hour}-{row}" for row in range(300)],
                times=times,
                prediction=live.predictor.predict(columns),
                sizes=[300],
                latencies_ms=[1.0],
                arrived=start,
            )
        )

    serve(0, lambda text, place: "" if place % 50 == 0 else text)
    serve(1, lambda text, place: f"{text} {text}" if place % 50 else "")
    serve(2, lambda text, place: None if place % 2 else text)
    recorder.drain()
    recorder.flush()
    reports = watches.watch(reviews.pilot.spec, here, now=datetime.now(UTC) + 2 * HOUR)
    drifted = [{part.feature for part in report.features if part.drifted} for report in reports]
    assert drifted[0] == set()
    assert "review" in drifted[1]
    assert "review" in drifted[2]


def test_a_table_with_texts_is_scored_as_the_server_would(reviews: World, tmp_path: Path) -> None:
    write(
        tmp_path / "new.csv", ["review", "price"], [["quick and good", "99.5"], ["", ""], ["bad, slow", "3"]]
    )
    score.score("reviews", reviews.settings, "new.csv", tmp_path / "out.parquet", folder=tmp_path)
    answers = pq.read_table(tmp_path / "out.parquet")["prediction"].to_pylist()
    assert len(answers) == 3
    assert (answers[0], answers[2]) == ("good", "bad")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The digits 5 to 9 as files, through a backbone that learned from 0 to 4, into a linear model."""
    folder = tmp_path_factory.mktemp("digits")
    small_encoders.backbone(folder / "backbone.onnx")
    (folder / "scans").mkdir()
    pages, known = small_encoders.scans()
    rows: list[list[Any]] = []
    for place in np.flatnonzero(known >= 5)[:240]:
        (folder / "scans" / f"{place}.png").write_bytes(small_encoders.png(pages[place]))
        rows.append([f"scans/{place}.png", int(known[place])])
    rows[3][0] = ""
    write(folder / "scans.csv", ["scan", "digit"], rows)
    return world(
        folder,
        pilot="late-digits",
        data={
            "source": "scans.csv",
            "target": "digit",
            "features": {"scan": "image"},
            "split": {"test": 0.5},
        },
        train={"estimator": "logistic_regression", "encoders": {"scan": {"backbone": "backbone.onnx"}}},
    )


def test_a_backbone_that_learned_other_digits_helps_with_these(digits: World) -> None:
    from sklearn.linear_model import LogisticRegression

    live = digits.live()
    pages, known = small_encoders.scans()
    places = np.flatnonzero(known >= 5)
    sent = [
        {"scan": base64.b64encode(small_encoders.png(pages[place])).decode()} for place in places[240:440]
    ]
    told = live.predictor.predict(features.from_rows(live.model.features, sent)).predictions
    plain = LogisticRegression(max_iter=1000).fit(pages[places[:240]].reshape(240, -1), known[places[:240]])
    pixels = plain.predict(pages[places[240:440]].reshape(200, -1))
    assert np.mean(told == known[places[240:440]]) > 0.85
    assert np.mean(pixels == known[places[240:440]]) < 0.6


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no image", "not base64"),
        (base64.b64encode(small_encoders.png(np.eye(8))[:-30]).decode(), "damaged"),
        (base64.b64encode(b"plain text").decode(), "none of PNG"),
        ("", "it is empty"),
        (3, "expected an image's file in base64"),
    ],
    ids=["text", "damaged", "other", "empty", "number"],
)
def test_what_is_no_image_is_refused_by_row(digits: World, value: Any, said: str) -> None:
    wanted = digits.live().model.features
    good = base64.b64encode(small_encoders.png(np.zeros((8, 8)))).decode()
    with pytest.raises(errors.RequestError, match=said) as caught:
        features.from_rows(wanted, [{"scan": good}, {"scan": value}])
    assert caught.value.details["row"] == 1


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../outside.png", "leads out of"),
        ("scans/missing.png", "there is no file"),
        ("scans/text.png", "none of PNG"),
        ("link.png", "leads out of"),
    ],
)
def test_a_path_that_is_no_image_below_the_folder_stops_ingest(tmp_path: Path, path: str, said: str) -> None:
    folder = tmp_path / "pilot"
    (folder / "scans").mkdir(parents=True)
    (tmp_path / "outside.png").write_bytes(small_encoders.png(np.zeros((8, 8))))
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "scans" / "text.png").write_text("no image")
    (folder / "scans" / "good.png").write_bytes(small_encoders.png(np.eye(8) * 16))
    rows = [["scans/good.png", "ab"[place % 2]] for place in range(30)]
    rows[11][0] = path
    write(folder / "scans.csv", ["scan", "kind"], rows)
    data = {"source": "scans.csv", "target": "kind", "features": {"scan": "image"}}
    train = {"encoders": {"scan": {"backbone": "b.onnx"}}}
    content = {"version": 1, "pilot": "scans", "goal": {"metric": "accuracy"}, "data": data, "train": train}
    (folder / "pilot.yaml").write_text(yaml.safe_dump(content))
    spec = pilots.load(folder).spec
    with pytest.raises(errors.DataError, match=said) as caught:
        ingest(spec, folder, settings.load(home=tmp_path / "home"), tmp_path / "out")
    assert caught.value.details["row"] == 12


def test_small_files_of_large_images_do_not_keep_a_server_busy(
    digits: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = digits.live().model.features
    sent = [{"scan": base64.b64encode(small_encoders.png(np.zeros((8, 8)))).decode()}] * 50
    assert len(features.from_rows(wanted, sent)["scan"]) == 50
    monkeypatch.setattr(images, "MOST_PIXELS_TOGETHER", 300)
    with pytest.raises(errors.RequestError, match="pixels together") as caught:
        features.from_rows(wanted, sent)
    assert caught.value.details["row"] == 4
    with images.trusted():
        assert len(features.from_rows(wanted, sent)["scan"]) == 50
