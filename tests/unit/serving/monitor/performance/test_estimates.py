"""Performance without labels: right where its assumption holds, wide enough, else silent."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from sklearn import metrics

from pilotage.core import samples
from pilotage.core.artifacts import (
    EstimatedPerformance,
    EstimateMethod,
    Feature,
    Model,
    ModelFormat,
    Performance,
)
from pilotage.core.metrics import BINARY_ONLY, CLASSIFICATION, Task
from pilotage.core.specs import FeatureKind
from pilotage.serving.monitor.performance import (
    curves,
    estimates,
    expectations,
    losses,
    outcomes,
    performances,
)
from pilotage.serving.monitor.performance.curves import Shape
from pilotage.serving.monitor.performance.expectations import Answers

Numbers = npt.NDArray[np.float64]

FEATURES = (
    Feature(name="x", kind=FeatureKind.NUMBER),
    Feature(name="c", kind=FeatureKind.CATEGORY),
    Feature(name="t", kind=FeatureKind.TIME),
)


def model_of(task: Task, classes: int = 2) -> Model:
    return Model(
        pilot="pilot",
        digest="0" * 64,
        format=ModelFormat.SKOPS,
        estimator="any",
        params={},
        seed=0,
        features=FEATURES,
        target="y",
        task=task,
        classes=tuple(f"k{k}" for k in range(classes)) if task is Task.CLASSIFICATION else (),
        positive="k1" if task is Task.CLASSIFICATION and classes == 2 else None,
        snapshot="0" * 64,
        train_rows=1,
        test_rows=1,
        validation={},
        requirements=(),
        python="3",
        code="0" * 64,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


BINARY, SEVERAL, NUMBER = (
    model_of(Task.CLASSIFICATION),
    model_of(Task.CLASSIFICATION, 3),
    model_of(Task.REGRESSION),
)


def columns_of(x: Numbers, generator: np.random.Generator) -> dict[str, npt.NDArray[np.generic]]:
    c = np.array(["a", "b", None], dtype=object)[generator.integers(0, 3, len(x))]
    return {"x": x, "c": c, "t": np.datetime64("2026-01-01", "us") + generator.integers(0, 10**12, len(x))}


def table(
    x: Numbers,
    shares: Numbers | None,
    score: Numbers,
    truth: list[str] | None,
    generator: np.random.Generator,
) -> pa.Table:
    """A sample whose classes are said by the largest share."""
    said = (
        [f"k{k}" for k in shares.argmax(axis=1)] if shares is not None else [repr(v) for v in score.tolist()]
    )
    return samples.build(
        FEATURES,
        columns_of(x, generator),
        predictions=said,
        scores=score,
        probabilities=shares,
        priorities=generator.random(len(x)),
        truth=truth,
    )


def binary(
    rows: int, seed: int, *, shift: float = 0.0, spread: float = 1.0, warp: float = 1.0
) -> tuple[pa.Table, Numbers, Numbers]:
    """A sample, its truth and its scores; the chance of the positive class follows from `x`.

    With `warp` other than 1 the model is over- or underconfident.
    """
    generator = np.random.default_rng(seed)
    x = generator.normal(shift, spread, rows)
    odds = 1.3 * x - 0.7
    truth = (generator.random(rows) < 1 / (1 + np.exp(-odds))).astype(float)
    score = 1 / (1 + np.exp(-warp * odds))
    shares = np.column_stack([1 - score, score])
    return table(x, shares, score, [f"k{int(y)}" for y in truth], generator), truth, score


def several(rows: int, seed: int, shift: float = 0.0) -> tuple[pa.Table, Numbers, Numbers]:
    generator = np.random.default_rng(seed)
    x = generator.normal(shift, 1, rows)
    raw = np.exp(np.column_stack([x, -x, 0.3 * np.ones(rows)]))
    shares = raw / raw.sum(axis=1, keepdims=True)
    truth = (generator.random((rows, 1)) > shares.cumsum(axis=1)).sum(axis=1).astype(float)
    score = shares.max(axis=1)
    return table(x, shares, score, [f"k{int(y)}" for y in truth], generator), truth, shares


def numbers(
    rows: int, seed: int, shift: float = 0.0, noise: float = 1.0
) -> tuple[pa.Table, Numbers, Numbers]:
    """The spread of the errors grows with `x`."""
    generator = np.random.default_rng(seed)
    x = generator.normal(shift, 1, rows)
    told = 10 + 2 * x
    truth = told + noise * (0.5 + 0.4 * np.clip(x, -1, None)) * generator.normal(size=rows)
    return table(x, None, told, [repr(v) for v in truth.tolist()], generator), truth, told


def guess(
    model: Model, reference: pa.Table, window: pa.Table, metric: str, seed: int = 0
) -> EstimatedPerformance:
    return estimates.estimate(model, reference, window, metric, reference_value=0.5, seed=seed)


def test_the_expected_area_is_the_mean_of_the_realized_ones() -> None:
    generator = np.random.default_rng(1)
    chance = np.round(generator.beta(1, 3, 60), 1)  # few rows and many ties
    answers = Answers((chance > 0.5).astype(float), chance, np.column_stack([1 - chance, chance]))
    before = (chance[:, None] > chance) + 0.5 * (chance[:, None] == chance)
    truth = (generator.random((20_000, 60)) < chance).astype(float)
    pairs = truth.sum(axis=1) * (1 - truth).sum(axis=1)
    realized = ((truth @ before) * (1 - truth)).sum(axis=1)[pairs > 0] / pairs[pairs > 0]
    assert answers.probabilities is not None
    expected = expectations.expected("roc_auc", answers, answers.probabilities, np.ones(60))
    assert expected == pytest.approx(realized.mean(), abs=0.004)


@pytest.fixture
def errorless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only values are looked at: their standard errors would be hundreds of scores each."""
    monkeypatch.setattr(performances, "DRAWS", 2)


@pytest.mark.usefixtures("errorless")
@pytest.mark.parametrize("metric", sorted(CLASSIFICATION))
def test_certain_chances_give_scikit_learns_own_value(metric: str) -> None:
    generator = np.random.default_rng(2)
    truth = (generator.random(300) < 0.4).astype(float)
    score = np.round(1 / (1 + np.exp(-(truth - 0.5 + generator.normal(size=300)))), 2)
    shares = np.column_stack([1 - score, score])
    known = outcomes.Outcomes(300, truth, (score > 0.5).astype(float), score, shares, 0)
    found = expectations.expected(
        metric,
        Answers(known.predictions, score, shares),
        np.column_stack([1 - truth, truth]),
        np.ones(300),
    )
    assert found == pytest.approx(performances.score(known, metric, 2).value, abs=1e-9)


@pytest.mark.usefixtures("errorless")
@pytest.mark.parametrize("metric", sorted(CLASSIFICATION - BINARY_ONLY))
def test_certain_chances_of_several_classes_do_too(metric: str) -> None:
    _, truth, shares = several(300, 3)
    known = outcomes.Outcomes(300, truth, shares.argmax(axis=1).astype(float), shares.max(axis=1), shares, 0)
    found = expectations.expected(
        metric, Answers(known.predictions, known.score, shares), np.eye(3)[truth.astype(int)], np.ones(300)
    )
    value = performances.score(known, metric, 3).value
    if not np.isnan(value):
        assert found == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "f1", "neg_log_loss", "average_precision"])
def test_a_shift_of_the_features_alone_is_seen_without_labels(metric: str) -> None:
    reference, _, _ = binary(2000, 4)
    window, truth, score = binary(2000, 5, shift=1.0, spread=0.5)
    shares = np.column_stack([1 - score, score])
    known = outcomes.Outcomes(2000, truth, (score > 0.5).astype(float), score, shares, 0)
    found = guess(BINARY, reference, window, metric)
    realized = performances.score(known, metric, 2)
    assert found.value is not None
    assert found.value == pytest.approx(realized.value, abs=3.5 * realized.error + 0.01)
    assert "no concept change" in found.reason
    assert found.alternative is not None


@pytest.mark.usefixtures("errorless")
def test_several_classes_and_their_areas_are_estimated() -> None:
    reference, _, _ = several(1500, 6)
    window, truth, shares = several(800, 7, shift=0.5)
    known = outcomes.Outcomes(800, truth, shares.argmax(axis=1).astype(float), shares.max(axis=1), shares, 0)
    for metric in ("f1_macro", "roc_auc_ovr"):
        found = guess(SEVERAL, reference, window, metric)
        assert found.value == pytest.approx(performances.score(known, metric, 3).value, abs=0.05)


@pytest.mark.parametrize("warp", [0.4, 3.0])
def test_a_model_that_is_too_sure_or_not_sure_enough_is_seen_through(warp: float) -> None:
    reference, _, _ = binary(4000, 8, warp=warp)
    window, truth, score = binary(2000, 9, warp=warp)
    found = guess(BINARY, reference, window, "accuracy")
    assert found.value == pytest.approx(np.mean((score > 0.5) == truth), abs=0.035)
    assert np.mean(np.maximum(score, 1 - score)) != pytest.approx(found.value, abs=0.035)


@pytest.mark.parametrize("metric", sorted(losses.METRICS))
def test_every_mean_of_losses_is_estimated(metric: str) -> None:
    reference, _, _ = numbers(800, 10, noise=0.3)
    window, truth, told = numbers(500, 11, shift=0.5, noise=0.3)
    known = outcomes.Outcomes(500, truth, told, told, None, 0)
    found = guess(NUMBER, reference, window, metric)
    realized = performances.score(known, metric, 0)
    assert found.value == pytest.approx(realized.value, abs=5 * realized.error + 0.1 * abs(realized.value))
    assert found.low is not None
    assert found.high is not None
    assert found.value is not None
    assert found.low <= found.value <= found.high


def test_intervals_hold_what_they_promise() -> None:
    _, truth, score = binary(200_000, 99, shift=0.5)
    real = metrics.roc_auc_score(truth, score)
    inside = 0
    for seed in range(20):
        found = guess(
            BINARY, binary(1000, 2 * seed)[0], binary(400, 2 * seed + 1, shift=0.5)[0], "roc_auc", seed
        )
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= real <= found.high
    assert inside >= 17  # of 20 at 95 %, less in 1.6 % of seeds


def test_the_order_of_rows_does_not_matter_and_the_seed_decides() -> None:
    reference, window = binary(600, 12)[0], binary(300, 13, shift=0.5)[0]
    found = guess(BINARY, reference, window, "roc_auc")
    turned = [side.take(pa.array(np.arange(side.num_rows)[::-1])) for side in (reference, window)]
    assert guess(BINARY, turned[0], turned[1], "roc_auc") == found
    assert guess(BINARY, reference, window, "roc_auc", seed=1).low != found.low


def test_a_logged_row_counts_even_when_it_was_not_sampled() -> None:
    reference, window = binary(600, 14)[0], binary(400, 15)[0]
    found = estimates.estimate(
        BINARY, reference, window.slice(0, 150), "roc_auc", reference_value=None, seed=0, logged=window
    )
    assert (found.rows, found.reference) == (400, None)
    nothing = estimates.estimate(
        BINARY, reference, window, "roc_auc", reference_value=None, seed=0, logged=window.slice(0, 0)
    )
    assert nothing.rows == 400


def test_constant_scores_rank_nothing_and_are_estimated_so() -> None:
    generator = np.random.default_rng(16)
    shares = np.tile([0.7, 0.3], (300, 1))
    truth = [f"k{int(y)}" for y in generator.random(300) < 0.3]
    sample = table(generator.normal(size=300), shares, shares[:, 1], truth, generator)
    assert guess(BINARY, sample, sample, "roc_auc").value == pytest.approx(0.5)
    assert guess(BINARY, sample, sample, "accuracy").value == pytest.approx(0.7, abs=0.08)


def test_a_regression_without_any_error_stays_without() -> None:
    generator = np.random.default_rng(17)
    x = generator.normal(size=200)
    sample = table(x, None, x, [repr(v) for v in x.tolist()], generator)
    found = guess(NUMBER, sample, sample, "neg_mean_absolute_error")
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_missing_and_unseen_values_are_taken_as_they_come() -> None:
    generator = np.random.default_rng(18)
    reference = binary(400, 19)[0]
    odd = {
        "x": np.full(200, np.nan),
        "c": np.array(["never seen"] * 200, dtype=object),
        "t": np.full(200, "NaT", "datetime64[us]"),
    }
    score = generator.random(200)
    window = samples.build(
        FEATURES,
        odd,
        predictions=["k1"] * 200,
        scores=score,
        probabilities=np.column_stack([1 - score, score]),
        priorities=generator.random(200),
    )
    found = guess(BINARY, reference, window, "roc_auc")
    assert found.value is not None
    assert found.method is EstimateMethod.CONFIDENCE
    assert "extrapolated" in found.reason


def test_scores_beyond_the_reference_are_not_called_reliable() -> None:
    reference, window = binary(400, 20, spread=0.2)[0], binary(400, 21, shift=3)[0]
    found = guess(BINARY, reference, window, "roc_auc")
    assert not found.reliable
    assert "lie outside" in found.reason
    assert guess(BINARY, reference, reference, "roc_auc").reliable


@pytest.mark.parametrize(
    ("model", "reference", "window", "metric", "words"),
    [
        (BINARY, binary(300, 1)[0], binary(1, 2)[0], "roc_auc", "1 of the window; 100 of each"),
        (BINARY, binary(0, 1)[0], binary(0, 2)[0], "roc_auc", "0 reference rows"),
        (BINARY, binary(300, 1, shift=-9)[0], binary(300, 2)[0], "roc_auc", "fewer than two classes"),
        (BINARY, binary(300, 1)[0], binary(300, 2)[0], "r2", "does not fit"),
        (SEVERAL, several(300, 1)[0], several(300, 2)[0], "f1", "two classes"),
        (NUMBER, numbers(300, 1)[0], numbers(300, 2)[0], "neg_max_error", "no mean over rows"),
        (NUMBER, numbers(300, 1, shift=-9)[0], numbers(300, 2)[0], "neg_mean_gamma_deviance", "not positive"),
    ],
)
def test_what_cannot_be_estimated_says_why(
    model: Model, reference: pa.Table, window: pa.Table, metric: str, words: str
) -> None:
    found = guess(model, reference, window, metric)
    assert (found.value, found.low, found.reliable) == (None, None, False)
    assert words in found.reason


def test_isotonic_regression_is_taken_only_where_it_is_clearly_better() -> None:
    generator = np.random.default_rng(22)
    score = generator.random(3000)
    straight = (generator.random(3000) < score).astype(float)
    stepped = (
        generator.random(3000) < np.where(score < 0.5, 0.1, 0.6) + 0.3 * (np.abs(score - 0.7) < 0.1)
    ).astype(float)
    assert curves.choose(score, straight, 0) is Shape.LOGISTIC
    assert curves.choose(score, stepped, 0) is Shape.ISOTONIC


def pair_of(estimated: float, realized: float) -> tuple[EstimatedPerformance, Performance]:
    """Of a version whose reference value is 0.8."""
    guessed = EstimatedPerformance(
        metric="roc_auc",
        value=estimated,
        low=estimated - 0.01,
        high=estimated + 0.01,
        reference=0.8,
        method=EstimateMethod.CONFIDENCE,
        rows=1,
        effective_rows=1,
        reliable=True,
        reason="",
    )
    real = Performance(
        metric="roc_auc",
        value=realized,
        low=realized - 0.01,
        high=realized + 0.01,
        reference=0.8,
        labelled=1,
        rows=1,
        dropped=False,
    )
    return guessed, real


def test_estimates_are_trusted_once_they_beat_the_claim_that_nothing_changed() -> None:
    good = [pair_of(0.75, 0.76), pair_of(0.7, 0.68), pair_of(0.72, 0.72)]
    found = estimates.track(good)
    assert (found.windows, found.trusted, found.coverage) == (3, True, 2 / 3)
    assert found.mae == pytest.approx(0.01)
    assert found.mae_no_change == pytest.approx(0.08)
    assert not estimates.track(good[:2]).trusted
    worse = estimates.track([pair_of(0.7, 0.8)] * 5)
    assert not worse.trusted
    assert "no better" in worse.reason


def test_windows_without_labels_or_estimates_have_no_track() -> None:
    guessed, real = pair_of(0.7, 0.7)
    unlabelled = real.model_copy(update={"value": None})
    found = estimates.track([(guessed, unlabelled), (guessed.model_copy(update={"value": None}), real)])
    assert (found.windows, found.mae, found.trusted) == (0, None, False)
