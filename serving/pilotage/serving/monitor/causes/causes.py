"""Why a window differs: which features moved the scores, what happened upstream, and where it shows.

The four questions an alarm leaves open, for one version and two samples of rows. Each is
answered in a module of its own; here the model is opened, truth becomes losses, and an
answer that cannot be given comes with a reason. Reading samples and writing reports is
not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pilotage.core import embeddings, errors, forms, models
from pilotage.core.artifacts import Contribution, Model, Segment
from pilotage.core.features import Columns
from pilotage.core.metrics import Task
from pilotage.core.models import Answering
from pilotage.core.registry.clients import INSIDE
from pilotage.core.settings import Settings
from pilotage.serving.monitor.causes import attributions
from pilotage.serving.monitor.causes import segments as slices_of
from pilotage.serving.monitor.causes.attributions import Predict, attribute
from pilotage.serving.monitor.causes.upstream import changes
from pilotage.serving.monitor.performance import outcomes
from pilotage.serving.monitor.performance.outcomes import Outcomes
from pilotage.serving.monitor.rows import domains, matrices
from pilotage.serving.monitor.rows.matrices import Matrices, Numbers
from pilotage.serving.versions import memory

LEAST_LABELLED = 100
"""Labelled rows of either sample from which losses are looked at."""
CONCEPT = "what the features mean"
"""Stands, among contributions to the loss, for what no feature's distribution explains."""
_NO_ROWS = "{held} reference rows and {served} of the window have their truth; {least} of each are needed"


@dataclass(frozen=True)
class Opened:
    """A version's model as a function, or why it cannot be asked."""

    predict: Predict | None
    reason: str = ""


def _answering(folder: Path, model: Model, settings: Settings) -> Answering:
    encoders = embeddings.open_all(model.encoders, settings)
    found = forms.open_form(folder, model) or models.open_predictor(folder, settings)
    del encoders  # whoever answers holds them
    return found


def predictor(folder: Path, settings: Settings) -> Opened:
    """The model in a folder of the registry, its inference form where there is one.

    What may be loaded, and how large it may be, is decided by the settings, as for serving.
    """
    try:
        model = Model.read(folder / INSIDE)
        opened = memory.load_within(
            settings,
            f"The model in `{folder}`",
            folder,
            lambda: _answering(folder, model, settings),
        )
    except errors.PilotageError as error:
        return Opened(None, f"the model cannot be loaded: {error}")
    except Exception as error:
        return Opened(None, f"the model cannot be loaded: {type(error).__name__}: {error}")

    def predict(columns: Columns) -> Numbers:
        with domains.one_thread():
            return opened.predict(columns).score

    return Opened(predict)


def attribute_loss(
    model: Model, reference: pa.Table, window: pa.Table, *, seed: int
) -> tuple[Contribution, ...]:
    """Contributions to the rise of the mean loss, with `CONCEPT` for what the features do not explain.

    Trees learn the loss of the reference's rows from their features; what they expect of the
    window's rows is explained by features, and the rest is not. None with too few labelled rows.

    Args:
        model: of the version.
        reference: in the layout of `pilotage.core.samples`, with truth.
        window: likewise.
        seed: of trees, pairs and orders.
    """
    sides = [_labelled(side, model) for side in (reference, window)]
    if min(side[0].num_rows for side in sides) < LEAST_LABELLED:
        return ()
    pair = matrices.build(sides[0][0], sides[1][0], model.features)
    before, after = (losses_of(truth, model)[0] for _, truth in sides)
    with domains.one_thread():
        trees = _trees(len(before), seed).fit(pair.reference, before)
        explained = _attributed(trees, pair, seed)
        expected = float(np.mean(trees.predict(pair.window)) - np.mean(trees.predict(pair.reference)))
    error = float(np.hypot(before.std() / np.sqrt(len(before)), after.std() / np.sqrt(len(after))))
    rest = float(after.mean() - before.mean()) - expected
    found = (*explained, Contribution(feature=CONCEPT, value=rest, error=error))
    return tuple(sorted(found, key=lambda part: (-abs(part.value), part.feature)))


def _trees(rows: int, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        max_iter=40,
        max_leaf_nodes=6,
        min_samples_leaf=min(20, rows // 5),
        early_stopping=False,
        random_state=seed,
    )


def _attributed(trees: Any, pair: Matrices, seed: int) -> tuple[Contribution, ...]:
    generator = np.random.default_rng(seed)
    rows = min(len(pair.reference), len(pair.window), attributions.MOST_ROWS)
    sides = [side[generator.choice(len(side), rows, replace=False)] for side in (pair.reference, pair.window)]
    before, after = ({str(k): side[:, k] for k in range(side.shape[1])} for side in sides)
    players: dict[str, list[str]] = {}
    for place, name in enumerate(pair.names):
        players.setdefault(name, []).append(str(place))
    return attributions.shapley(
        lambda columns: np.asarray(trees.predict(np.column_stack(list(columns.values())))),
        before,
        after,
        [(name, tuple(columns)) for name, columns in players.items()],
        generator,
    )


def segments(model: Model, reference: pa.Table, window: pa.Table) -> tuple[tuple[Segment, ...], str]:
    """Up to five segments, and in words how they were found.

    With the truth of enough rows they are those where the model became worse, else those that
    grew or whose scores moved.
    """
    (held, truth), (served, came_true) = _labelled(reference, model), _labelled(window, model)
    if min(held.num_rows, served.num_rows) < LEAST_LABELLED:
        few = _NO_ROWS.format(held=held.num_rows, served=served.num_rows, least=LEAST_LABELLED)
        one, two = matrices.canonical(reference), matrices.canonical(window)
        return slices_of.moved(one, two, model.features), f"{few}, so losses are not compared"
    before, measure = losses_of(truth, model)
    after, _ = losses_of(came_true, model)
    found = slices_of.worse(held, served, model.features, (before, after), measure)
    return found, f"{measure} rose more than elsewhere, at a false discovery rate of {slices_of.RATE:.0%}"


def losses_of(truth: Outcomes, model: Model) -> tuple[Numbers, str]:
    """The loss of each row, and what it is: squared error of the chances, wrong or not, or absolute error."""
    if model.task is Task.REGRESSION:
        return np.abs(truth.truth - truth.score), "absolute error"
    if truth.probabilities is None:
        return (truth.truth != truth.predictions).astype(np.float64), "share of wrong predictions"
    came = np.eye(len(model.classes))[truth.truth.astype(np.intp)]
    return ((truth.probabilities - came) ** 2).sum(axis=1), "squared error of the probabilities"


def _labelled(sample: pa.Table, model: Model) -> tuple[pa.Table, Outcomes]:
    """The rows of a sample whose truth is known, in canonical order."""
    rows = matrices.canonical(sample)
    rows = rows.filter(pa.array(outcomes.usable(rows, rows.column("truth").to_pylist(), model)))
    return rows, outcomes.pair(rows, rows.column("truth").to_pylist(), model)


__all__ = [
    "CONCEPT",
    "Opened",
    "Predict",
    "attribute",
    "attribute_loss",
    "changes",
    "losses_of",
    "predictor",
    "segments",
]
