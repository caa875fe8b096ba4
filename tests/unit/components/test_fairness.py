"""Differences between groups against brute force and Fairlearn, and what their intervals promise."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from pilotage.components.measures import fairness, groupings, spreads
from pilotage.components.measures.scores import Outcomes
from pilotage.core.artifacts import Difference, Estimate, Fairness
from pilotage.core.metrics import PARITIES, Measure, Task
from pilotage.core.specs import Grouping, SmallGroups

PLAIN = Grouping(("group",))


def classified(truth: Any, predicted: Any, count: int = 2) -> Outcomes:
    names = tuple(f"c{place}" for place in range(count))
    return Outcomes(Task.CLASSIFICATION, np.asarray(truth), np.asarray(predicted), names)


def difference(found: Fairness, measure: str) -> Difference:
    [one] = [item for item in found.differences if item.measure == measure]
    return one


def ends(found: Difference | Estimate) -> tuple[float, float, float]:
    """Low, value and high of what has all three."""
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    return found.low, found.value, found.high


def brute(groups: Any, found: Outcomes, positives: list[int]) -> dict[str, float]:
    """The measures as their definitions read, one row after the other."""
    best: dict[str, float] = {}
    for positive in positives:
        rates: dict[str, list[float]] = {"selected": [], "true": [], "false": [], "precise": []}
        for group in sorted(set(groups)):
            rows = [i for i in range(found.rows) if groups[i] == group]
            said = [i for i in rows if found.predicted[i] == positive]
            are = [i for i in rows if found.truth[i] == positive]
            rates["selected"].append(len(said) / len(rows))
            if are:
                rates["true"].append(len(set(said) & set(are)) / len(are))
            if len(are) < len(rows):
                rates["false"].append(len(set(said) - set(are)) / (len(rows) - len(are)))
            if said:
                rates["precise"].append(len(set(said) & set(are)) / len(said))
        spread = {name: max(each) - min(each) for name, each in rates.items() if len(each) > 1}
        told = {
            Measure.DEMOGRAPHIC_PARITY_DIFFERENCE: spread["selected"],
            Measure.DEMOGRAPHIC_PARITY_RATIO: -min(rates["selected"]) / max(rates["selected"]),
            Measure.EQUALIZED_ODDS_DIFFERENCE: max(spread["true"], spread["false"]),
            Measure.EQUAL_OPPORTUNITY_DIFFERENCE: spread["true"],
            Measure.PREDICTIVE_PARITY_DIFFERENCE: spread["precise"],
        }
        for name, value in told.items():
            best[name] = max(best.get(name, -np.inf), value)
    best[Measure.DEMOGRAPHIC_PARITY_RATIO] *= -1
    return best


@pytest.fixture(scope="module")
def people() -> tuple[Any, Outcomes]:
    """Three groups of different sizes, selected at different rates."""
    rng = np.random.default_rng(3)
    groups = rng.choice(["a", "b", "c"], 1500, p=[0.6, 0.3, 0.1]).astype(object)
    truth = rng.integers(0, 2, 1500)
    leaning = np.select([groups == "a", groups == "b"], [0.1, 0.0], -0.15)
    return groups, classified(truth, (0.5 * truth + leaning + rng.random(1500) > 0.8).astype(int))


@pytest.mark.parametrize("count", [2, 4])
def test_every_measure_is_what_its_definition_says(people, count: int) -> None:
    groups, found = people
    if count > 2:
        rng = np.random.default_rng(1)
        found = classified(rng.integers(0, count, 1500), rng.integers(0, count, 1500), count)
    told = fairness.compare(PLAIN, groups, found, "accuracy")
    expected = brute(groups, found, [1] if count == 2 else list(range(count)))
    for measure in PARITIES:
        assert difference(told, measure).value == pytest.approx(expected[measure], abs=1e-12), measure
        assert (difference(told, measure).positive is None) == (count == 2)


def test_the_measures_are_fairlearns(people) -> None:
    metrics = pytest.importorskip("fairlearn.metrics", reason="fairlearn is not installed")
    groups, found = people
    told = fairness.compare(PLAIN, groups, found, "accuracy")
    for measure in (
        Measure.DEMOGRAPHIC_PARITY_DIFFERENCE,
        Measure.DEMOGRAPHIC_PARITY_RATIO,
        Measure.EQUALIZED_ODDS_DIFFERENCE,
        Measure.EQUAL_OPPORTUNITY_DIFFERENCE,
    ):
        theirs = getattr(metrics, measure.value)(found.truth, found.predicted, sensitive_features=groups)
        assert difference(told, measure).value == pytest.approx(theirs, abs=1e-12), measure


def test_intervals_hold_the_value_and_name_the_groups(people) -> None:
    groups, found = people
    told = fairness.compare(PLAIN, groups, found, "accuracy", seed=1)
    for one in told.differences:
        low, value, high = ends(one)
        assert low <= value <= high
        assert len(set(one.groups)) == 2
    parity = difference(told, Measure.DEMOGRAPHIC_PARITY_DIFFERENCE)
    assert parity.groups == ("c", "a")
    assert ends(parity)[0] > 0.05  # it is there, whatever chance does
    ratio = difference(told, Measure.DEMOGRAPHIC_PARITY_RATIO)
    low, _, high = ends(ratio)
    assert 0 < low < high < 1
    assert fairness.compare(PLAIN, groups, found, "accuracy", seed=1) == told
    for group in told.groups:
        assert set(group.estimates) == {
            "selection_rate",
            "true_positive_rate",
            "false_positive_rate",
            "precision",
            "metric",
        }
        for estimate in group.estimates.values():
            low, value, high = ends(estimate)
            assert low <= value <= high


def equal_groups(rng: np.random.Generator, groups: int, rows: int, rate: float) -> tuple[Any, Outcomes]:
    labels = np.repeat([f"g{place:02}" for place in range(groups)], rows).astype(object)
    return labels, classified(rng.integers(0, 2, labels.size), (rng.random(labels.size) < rate).astype(int))


def test_many_small_equal_groups_look_different_and_the_interval_knows_better() -> None:
    """The largest difference is far from nothing, as `chance` says; its interval begins at nothing."""
    rng = np.random.default_rng(0)
    values, chances, false_alarms = list[float](), list[float](), 0
    for seed in range(16):
        labels, found = equal_groups(rng, 20, 50, 0.3)
        one = difference(
            fairness.compare(PLAIN, labels, found, "accuracy", seed), Measure.DEMOGRAPHIC_PARITY_DIFFERENCE
        )
        low, value, _ = ends(one)
        values.append(value)
        chances.append(one.chance or 0.0)
        false_alarms += low > 0
    assert np.mean(values) > 0.15
    assert np.mean(chances) == pytest.approx(np.mean(values), abs=0.03)
    assert false_alarms <= 3  # of 16, where less than one is expected at 95 %


def test_the_interval_holds_the_true_difference_of_one_group_among_many() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(40):
        labels, found = equal_groups(rng, 8, 120, 0.3)
        odd = labels == "g03"
        predicted = np.where(odd, rng.random(labels.size) < 0.6, found.predicted).astype(int)
        told = fairness.compare(PLAIN, labels, classified(found.truth, predicted), "accuracy", seed)
        one = difference(told, Measure.DEMOGRAPHIC_PARITY_DIFFERENCE)
        low, _, high = ends(one)
        held += low <= 0.3 <= high
    assert held >= 36


def test_a_rate_of_nothing_is_not_taken_for_certain() -> None:
    labels = np.array(["a"] * 40 + ["b"] * 40, dtype=object)
    told = fairness.compare(PLAIN, labels, classified([0, 1] * 40, [0] * 79 + [1]), "accuracy", seed=0)
    rate = told.groups[0].estimates["selection_rate"]
    assert (rate.value, rate.low) == (0, 0)
    assert rate.high == pytest.approx(0.0605, abs=0.001)  # Jeffreys, from R's qbeta(0.975, 0.5, 40.5)
    assert difference(told, Measure.DEMOGRAPHIC_PARITY_RATIO).value == 0
    nobody = fairness.compare(PLAIN, labels, classified([0, 1] * 40, [0] * 80), "accuracy", seed=0)
    assert difference(nobody, Measure.DEMOGRAPHIC_PARITY_RATIO).value is None
    assert difference(nobody, Measure.DEMOGRAPHIC_PARITY_DIFFERENCE).value == 0
    assert difference(nobody, Measure.PREDICTIVE_PARITY_DIFFERENCE).value is None


def test_numbers_are_compared_by_mean_error_and_metric() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(["north", "south"], 800).astype(object)
    truth = rng.normal(100, 10, 800)
    predicted = truth + np.where(labels == "north", 3.0, -1.0) + rng.normal(0, 1, 800)
    found = Outcomes(Task.REGRESSION, truth, predicted)
    told = fairness.compare(PLAIN, labels, found, "neg_mean_absolute_error", seed=0)
    assert [item.measure for item in told.differences] == [
        Measure.MEAN_ERROR_DIFFERENCE,
        Measure.GROUP_METRIC_DIFFERENCE,
    ]
    error = difference(told, Measure.MEAN_ERROR_DIFFERENCE)
    means = [(predicted - truth)[labels == name].mean() for name in ("north", "south")]
    assert error.value == pytest.approx(means[0] - means[1])
    assert error.groups == ("south", "north")
    low, _, high = ends(error)
    assert low < 4.0 < high
    assert high - low < 0.6


@pytest.mark.parametrize("small", list(SmallGroups))
def test_small_groups_are_never_dropped_silently(small: SmallGroups) -> None:
    labels = np.array(["a"] * 60 + ["b"] * 60 + ["tiny"] * 35 + ["less"] * 20, dtype=object)
    truth = np.arange(labels.size) % 2
    told = fairness.compare(Grouping(("g",), 50, small), labels, classified(truth, truth), "accuracy", 0)
    assert told.small == {"tiny": 35, "less": 20}
    assert (told.small_groups, told.min_group) == (2, 50)
    if small is SmallGroups.MERGE:
        assert (told.merged, told.left_out) == (True, 0)
        assert [(group.value, group.rows) for group in told.groups][-1] == (groupings.SMALL, 55)
        assert told.by == "g in groups of 50 or more, smaller ones together"
    else:
        assert (told.merged, told.left_out) == (False, 55)
        assert [group.value for group in told.groups] == ["a", "b"]


def test_small_groups_that_are_few_together_are_left_out_however_asked() -> None:
    labels = np.array(["a"] * 60 + ["b"] * 60 + ["tiny"] * 3, dtype=object)
    parts = groupings.part(labels, Grouping(("g",), 50, SmallGroups.MERGE))
    assert (parts.merged, parts.left_out, parts.small) == (False, 3, {"tiny": 3})


def test_intersections_are_groups_of_their_own() -> None:
    """Each column alone looks even, the combinations are not."""
    labels = groupings.cross(
        [np.repeat(np.array(["m", "w"], dtype=object), 200), np.tile(np.array(["x", "y"], dtype=object), 200)]
    )
    selected = np.isin(labels, ["m × x", "w × y"]).astype(int)
    found = classified(np.arange(400) % 2, selected)
    for column in (0, 1):
        alone = np.array([label.split(" × ")[column] for label in labels], dtype=object)
        assert fairness.compare(PLAIN, alone, found, "accuracy").demographic_parity_difference == 0
    together = fairness.compare(Grouping(("sex", "place")), labels, found, "accuracy", 0)
    assert together.by == "sex × place"
    assert together.demographic_parity_difference == 1
    assert ends(difference(together, Measure.DEMOGRAPHIC_PARITY_DIFFERENCE))[0] > 0.9


def test_no_group_that_is_large_enough_gives_no_value() -> None:
    labels = np.array(["a", "b"] * 5, dtype=object)
    told = fairness.compare(PLAIN, labels, classified([0, 1] * 5, [0, 1] * 5), "accuracy", 0)
    assert told.groups == ()
    assert {item.value for item in told.differences} == {None}


def test_the_largest_of_pairs_is_what_looking_at_each_pair_gives() -> None:
    rng = np.random.default_rng(5)
    draws = rng.normal([0.0, 1.0, 1.2, 0.4], [0.1, 0.2, 0.3, 0.1], (4000, 4))
    kind = spreads.Compared(("a", "b", "c", "d"), np.array([0.0, 1.0, 1.2, 0.4]), draws.mean(axis=0), draws)
    found = spreads.largest([kind])
    noise = draws - draws.mean(axis=0)
    pairs = list(itertools.combinations(range(4), 2))
    errors = {pair: np.hypot(noise[:, pair[0]].std(), noise[:, pair[1]].std()) for pair in pairs}
    most = np.max([np.abs(noise[:, i] - noise[:, j]) / errors[i, j] for i, j in pairs], axis=0)
    limit = np.quantile(most, 0.95)
    apart = {(i, j): abs(kind.centres[i] - kind.centres[j]) for i, j in pairs}
    assert found is not None
    assert found.low == pytest.approx(max(apart[pair] - limit * errors[pair] for pair in pairs))
    assert found.high == pytest.approx(max(apart[pair] + limit * errors[pair] for pair in pairs))
    assert (found.value, found.groups) == (1.2, ("a", "c"))
    assert 2.3 < limit < 2.8  # Tukey's for four means is 2.57
