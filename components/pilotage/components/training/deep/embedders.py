"""Which encoder each column of texts and images goes through, made and stored before an estimator is fitted.

The same encoder is exported once and found again by what it was made of, so that the
next training needs neither PyTorch nor the time. How vectors are computed is
`pilotage.core.embeddings`' business.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pilotage.components.datasets import Dataset
from pilotage.components.training.deep import backbones, networks, places, sentences, tunings
from pilotage.core import embeddings, errors
from pilotage.core.artifacts import Feature
from pilotage.core.embeddings import Embedding
from pilotage.core.encoders import Embedded
from pilotage.core.metrics import Task
from pilotage.core.settings import Settings
from pilotage.core.specs import Encoder, FeatureKind, PilotSpec
from pilotage.core.storage import Storage

logger = logging.getLogger(__name__)

_FORMAT = 1
"""Of exports: another number makes every encoder anew."""


@dataclass
class Embedder:
    """Makes the encoders of one pilot's columns."""

    spec: PilotSpec
    folder: Path
    settings: Settings
    threads: int = 1
    """That compute vectors."""
    _held: dict[str, Embedding] = field(default_factory=dict)

    def part(self, feature: Feature, dataset: Dataset) -> Embedded:
        """The step of a pipeline that turns `feature` into vectors.

        Args:
            feature: a text or an image.
            dataset: what the estimator is fitted on; fine-tuning learns from it.

        Raises:
            EstimatorError: the encoder cannot be found, made or used.
            MissingExtra: a package that it needs is not installed.
        """
        wanted = self.spec.train.encoders.get(feature.name, Encoder())
        made = (
            self._image(wanted) if feature.kind is FeatureKind.IMAGE else self._text(wanted, feature, dataset)
        )
        if made not in self._held:
            (self._held[made],) = embeddings.open_all([made], self.settings)
            self._tell(feature, self._held[made], dataset)
        return Embedded(encoder=made, width=self._held[made].width, threads=self.threads)

    def _text(self, wanted: Encoder, feature: Feature, dataset: Dataset) -> str:
        name = wanted.model or self.settings.encoder
        place = places.find(name, self.folder, self.settings)
        facts: dict[str, Any] = {
            "source": places.digest(place),
            "most_tokens": wanted.most_tokens,
            "name": name,
        }
        if wanted.fine_tune:
            facts["tuning"] = self._tuning(wanted, feature, dataset)

        def make() -> tuple[Any, dict[str, bytes]]:
            model = sentences.load(place, wanted.most_tokens)
            if wanted.fine_tune:
                texts, targets = dataset.columns[feature.name], _targets(self.spec.task, dataset)
                seed = self.spec.train.seed
                tunings.tune(model, texts, targets, wanted, seed=seed, threads=self.threads)
            return sentences.export(model, name, tuned=wanted.fine_tune)

        return self._made(facts, make)

    def _tuning(self, wanted: Encoder, feature: Feature, dataset: Dataset) -> str:
        """Digest of everything that decides what fine-tuning gives."""
        found = hashlib.sha256(f"{wanted.model_dump_json()} {self.spec.train.seed} {self.spec.task}".encode())
        for text, target in zip(dataset.columns[feature.name].tolist(), dataset.target.tolist(), strict=True):
            found.update(repr((text, target)).encode())
        return found.hexdigest()

    def _image(self, wanted: Encoder) -> str:
        about, files = backbones.read(wanted, self.folder)
        return embeddings.publish(self.settings, about, files)

    def _made(self, facts: dict[str, Any], make: Callable[[], tuple[Any, dict[str, bytes]]]) -> str:
        """The digest of the encoder that `make` makes, or made before of the same `facts`."""
        told = json.dumps({"format": _FORMAT, **facts}, sort_keys=True).encode()
        note = f"encoders/made/{hashlib.sha256(told).hexdigest()}"
        store = Storage(self.settings.storage)
        try:
            digest = store.read(note).decode()
            if store.published(f"encoders/{digest}"):
                return digest
        except errors.NotFound:
            pass
        about, files = make()
        digest = embeddings.publish(self.settings, about, files)
        store.write(note, digest.encode())
        return digest

    def _tell(self, feature: Feature, encoder: Embedding, dataset: Dataset) -> None:
        """Log what of the column the encoder does not see."""
        values = dataset.columns[feature.name]
        silent = dataset.rows - len(sentences.readable(values))
        cut = encoder.cut(values)
        logger.info(
            "%s `%s`: encoder %s of %d numbers; %d of %d rows have none, %d are longer than what is read",
            *(feature.kind.value, feature.name, encoder.about.name, encoder.width, silent, dataset.rows, cut),
        )


def _targets(task: Task, dataset: Dataset) -> networks.Targets:
    if task is Task.CLASSIFICATION:
        return networks.class_targets(dataset.target)
    return networks.number_targets(dataset.target)


def encoders_of(estimator: Any) -> tuple[str, ...]:
    """Digests of the encoders in a fitted pipeline."""
    found: list[str] = []
    steps: Sequence[tuple[str, Any]] = getattr(estimator, "steps", ())
    for _, step in steps:
        for _, part, _ in getattr(step, "transformers_", ()):
            parts = [inner for _, inner in getattr(part, "steps", [("", part)])]
            found += [inner.encoder for inner in parts if isinstance(inner, Embedded)]
    return tuple(np.unique(found).tolist())
