"""Stored models: which may be loaded, and how one predicts.

The list of types that a stored model may hold comes from this code and the
settings, never from the model's own files. A model that only pickle can hold is
signed by the installation that trained it and loads where that signature is
right, unless settings say otherwise. How models are trained is not known here.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import pickle
import secrets
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from pilotage.core import embeddings, errors, storage
from pilotage.core.artifacts import Model, ModelFormat
from pilotage.core.embeddings import Embedding
from pilotage.core.features import Columns, to_frame
from pilotage.core.metrics import Task
from pilotage.core.settings import PicklePolicy, Settings

if TYPE_CHECKING:
    import pandas as pd

TRUSTED_TYPES = (
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
    "numpy.dtype",
    "pilotage.core.encoders.Embedded",
    "pilotage.core.encoders.LabelEncoded",
    "pilotage.core.encoders.NetworkClassifier",
    "pilotage.core.encoders.NetworkRegressor",
    "pilotage.core.encoders.TimeParts",
    "pilotage.core.graph_models.GraphClassifier",
    "pilotage.core.graph_models.GraphRegressor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
    "xgboost.sklearn.XGBRegressor",
)
"""Types beyond skops' own list that built-in estimators need; loading any of them runs no foreign code."""

FILES = {ModelFormat.SKOPS: "model.skops", ModelFormat.PICKLE: "model.pkl"}
CODE = "code"
"""Folder, inside a model folder, of the modules that a pilot's own estimator needs."""
FORM = "pilotage/form"
"""Folder, inside a model folder, of its inference form."""
_KEY = "installation.key"
_INSIDE = "pilotage"
_LOADING = threading.Lock()
"""Versions bring modules of the same names, so one is loaded at a time."""
SIGNATURE = f"{_INSIDE}/signature"
"""File, inside a model folder, with what `sign` found."""


def trusted_types(settings: Settings) -> tuple[str, ...]:
    """Every type that a stored model may hold here."""
    return tuple(sorted({*TRUSTED_TYPES, *settings.trusted_types}))


def foreign_types(estimator: Any, settings: Settings) -> tuple[str, ...]:
    """Types in `estimator` that skops would hold but these settings do not trust."""
    from pilotage.core import safes

    untrusted: list[str] = safes.io.get_untrusted_types(data=safes.io.dumps(estimator))
    return tuple(sorted(set(untrusted) - set(trusted_types(settings))))


def sign(folder: Path, settings: Settings) -> None:
    """Sign the estimator, its code and its inference form in a model folder with the installation's key."""
    storage.write_file(folder / SIGNATURE, _signature(folder, _key(settings, create=True)).encode())


def is_own(folder: Path, settings: Settings, *, form: bool = True) -> bool:
    """Whether this installation signed the model folder as it is now, `form` or not its inference form."""
    try:
        stored = (folder / SIGNATURE).read_text().strip()
        key = _key(settings, create=False)
    except FileNotFoundError:
        return False
    return hmac.compare_digest(stored, _signature(folder, key, form=form))


def load(folder: Path, model: Model, settings: Settings) -> Any:
    """The estimator of a model folder.

    Raises:
        UntrustedModel: it holds a type that is not trusted, or is pickled and may not be loaded.
        NotFound: its file is gone.
    """
    file = folder / FILES[model.format]
    if not file.is_file():
        raise errors.NotFound(f"The model file `{file}` is gone.", remedy="Run the pilot again.")
    own = is_own(folder, settings)
    with _LOADING:
        if (folder / CODE).is_dir() and (own or settings.allow_pickle is PicklePolicy.ANY):
            _import_from(folder / CODE)
        return _load_file(file, model, settings, own=own)


def _load_file(file: Path, model: Model, settings: Settings, *, own: bool) -> Any:
    if model.format is ModelFormat.SKOPS:
        return _load_skops(file, settings)
    if settings.allow_pickle is PicklePolicy.ANY or (settings.allow_pickle is PicklePolicy.OWN and own):
        with file.open("rb") as stream:
            return pickle.load(stream)  # noqa: S301 - the policy above allows this one
    raise errors.UntrustedModel(
        f"`{file}` is pickled and PILOTAGE_ALLOW_PICKLE is `{settings.allow_pickle}`"
        + (
            "." if settings.allow_pickle is PicklePolicy.NEVER else ", but this installation did not sign it."
        ),
        remedy="Train the model here, or use an estimator that skops can hold.",
    )


def _import_from(code: Path) -> None:
    """Let the modules in `code` be imported, and forget those of a model that was loaded before.

    Versions of a pilot bring modules of the same names; what is loaded already keeps its own classes.
    """
    for place in [entry for entry in sys.path if (Path(entry).parent / _INSIDE / Model.FILE).is_file()]:
        sys.path.remove(place)
        sys.path_importer_cache.pop(place, None)
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(f"{place}/"):
                del sys.modules[name]
    sys.path.insert(0, str(code))


def _load_skops(file: Path, settings: Settings) -> Any:
    from pilotage.core import safes

    try:
        return safes.io.load(file, trusted=list(trusted_types(settings)))
    except safes.UntrustedTypesFoundException as error:
        found = sorted(set(safes.io.get_untrusted_types(file=file)) - set(trusted_types(settings)))
        raise errors.UntrustedModel(
            f"`{file}` holds types that are not trusted: {', '.join(found)}.",
            remedy="If you know them, name them in PILOTAGE_TRUSTED_TYPES.",
            types=found,
        ) from error


def _signature(folder: Path, key: bytes, *, form: bool = True) -> str:
    files = [folder / name for name in FILES.values() if (folder / name).is_file()]
    files += sorted(path for path in (folder / CODE).rglob("*.py") if path.is_file())
    if form:
        files += sorted(path for path in (folder / FORM).glob("*") if path.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(folder).as_posix()}\0{storage.file_digest(file)}\0".encode())
    return hmac.new(key, digest.digest(), hashlib.sha256).hexdigest()


def installation_secret(settings: Settings) -> bytes:
    """The installation's secret key, made where there is none yet."""
    return _key(settings, create=True)


def _key(settings: Settings, *, create: bool) -> bytes:
    """The installation's secret key: the one that is set, else made once, readable by its owner only."""
    given = settings.installation_key.get_secret_value()
    if given:
        return hashlib.sha256(given.encode()).digest()
    path = settings.home / _KEY
    if create and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{_KEY}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(32))
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process made it first; its key is the one
        finally:
            draft.unlink()
    return path.read_bytes()


@dataclass(frozen=True)
class Prediction:
    """What a model says of `n` rows."""

    predictions: npt.NDArray[Any]
    """Classes or numbers, shape `(n,)`."""
    score: npt.NDArray[np.float64]
    """Probability of the positive class, highest class probability, or predicted number; shape `(n,)`."""
    probabilities: npt.NDArray[np.float64] | None = None
    """Shape `(n, classes)` in the order of `Model.classes`; None where the estimator has none."""


class Answering(Protocol):
    """What a server asks of a version: the trained model, or a faster form of it that says the same."""

    @property
    def model(self) -> Model:
        """What is known of the model."""
        ...

    def predict(self, columns: Columns) -> Prediction:
        """Predictions for columns made by `pilotage.core.features`; may be called by several threads."""
        ...


@dataclass(frozen=True)
class Predictor:
    """A loaded estimator and what is known of it."""

    estimator: Any
    model: Model
    encoders: tuple[Embedding, ...] = ()
    """That its texts and images go through, loaded as long as it is."""

    def predict(self, columns: Columns) -> Prediction:
        """Predictions for columns made by `pilotage.core.features`."""
        return self.predict_frame(to_frame(columns))

    def predict_frame(self, frame: pd.DataFrame) -> Prediction:
        """Predictions for a frame made by `pilotage.core.features.to_frame`."""
        if self.model.task is Task.REGRESSION:
            numbers = np.asarray(self.estimator.predict(frame), dtype=np.float64).reshape(-1)
            return Prediction(predictions=numbers, score=numbers)
        if not hasattr(self.estimator, "predict_proba"):
            return self._without_probabilities(frame)
        probabilities = np.asarray(self.estimator.predict_proba(frame), dtype=np.float64)
        classes = np.asarray(self.estimator.classes_)
        predictions = classes[np.argmax(probabilities, axis=1)]
        return Prediction(
            predictions=predictions, score=self._score(probabilities), probabilities=probabilities
        )

    def _score(self, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if self.model.positive is not None:
            return probabilities[:, self.model.classes.index(self.model.positive)]
        highest: npt.NDArray[np.float64] = probabilities.max(axis=1)
        return highest

    def _without_probabilities(self, frame: pd.DataFrame) -> Prediction:
        predictions = np.asarray(self.estimator.predict(frame))
        if self.model.positive is None or not hasattr(self.estimator, "decision_function"):
            index = {value: float(position) for position, value in enumerate(self.model.classes)}
            return Prediction(predictions, np.array([index[value] for value in predictions.tolist()]))
        margin = np.asarray(self.estimator.decision_function(frame), dtype=np.float64).reshape(-1)
        positive_last = self.model.classes.index(self.model.positive) == 1
        return Prediction(predictions, margin if positive_last else -margin)


def open_predictor(folder: Path, settings: Settings) -> Predictor:
    """The predictor of a model folder, as `Registry.folder` gives it.

    Raises:
        UntrustedModel: see `load`; or an encoder's file was changed.
        NotFound: the folder is not a model's, or the storage lacks one of its encoders.
    """
    model = Model.read(folder / _INSIDE)
    encoders = embeddings.open_all(model.encoders, settings)
    return Predictor(estimator=load(folder, model, settings), model=model, encoders=encoders)
