"""The measures a pilot may name, with their direction and the tasks they fit.

Metrics carry scikit-learn's scorer names, and like its scorers are always
"greater is better"; measures are Pilotage's own and say which way is better.
Nothing is computed here, so that pilot.yaml can be checked without scikit-learn.
"""

from __future__ import annotations

from enum import StrEnum


class Task(StrEnum):
    """What a pilot predicts."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


class Measure(StrEnum):
    """What is found besides scikit-learn's scores: by `evaluate`, but for `DECIDED_MEASURES`."""

    LATENCY_P50_MS = "latency_p50_ms"
    LATENCY_P99_MS = "latency_p99_ms"
    CALIBRATION_ERROR = "calibration_error"
    """Expected calibration error, 0 to 1 (Naeini, Cooper, Hauskrecht, 2015)."""
    BUSINESS_VALUE = "business_value"
    """Value per row in the goal's currency."""
    DEMOGRAPHIC_PARITY_DIFFERENCE = "demographic_parity_difference"
    """Largest minus smallest rate at which groups are predicted to be positive."""
    DEMOGRAPHIC_PARITY_RATIO = "demographic_parity_ratio"
    """Smallest by largest such rate, 0 to 1; the four-fifths rule asks for 0.8."""
    EQUALIZED_ODDS_DIFFERENCE = "equalized_odds_difference"
    """The larger of the spreads of true and of false positive rates."""
    EQUAL_OPPORTUNITY_DIFFERENCE = "equal_opportunity_difference"
    """Spread of true positive rates."""
    PREDICTIVE_PARITY_DIFFERENCE = "predictive_parity_difference"
    """Spread of precisions."""
    MEAN_ERROR_DIFFERENCE = "mean_error_difference"
    """Spread of the mean of prediction less truth, in the target's unit."""
    GROUP_METRIC_DIFFERENCE = "group_metric_difference"
    """Best minus worst group on the goal's metric."""
    READINESS = "readiness"
    """Of the pilot for production: its ML Test Score, 0 to 7 (Breck et al., 2017)."""
    SIZE_MB = "size_mb"
    """Megabytes on disk of what a server opens: the inference form, or the stored estimator without one."""
    MEMORY_MB = "memory_mb"
    """Megabytes of resident memory that opening the inference form and answering adds to a process."""
    TRAINING_SECONDS = "training_seconds"
    """How long the step took that made the model."""
    COST_PER_RUN = "cost_per_run"
    """Price of the steps until evaluation, in the currency of the table of prices."""
    COST_PER_THOUSAND = "cost_per_thousand"
    """Price of a thousand predictions, one row at a time, by the model alone."""
    ENERGY_KWH = "energy_kwh"
    """Of the steps until evaluation."""
    CO2_KG = "co2_kg"
    """What that energy gave off."""
    SYNTHETIC_FIDELITY = "synthetic_fidelity"
    """How alike synthetic and real rows are, 0 to 1."""
    SYNTHETIC_UTILITY = "synthetic_utility"
    """The goal's metric of a model trained on synthetic rows less that of one trained on real ones."""
    SYNTHETIC_COPIES = "synthetic_copies"
    """Share of synthetic rows that copy a training row, above what held-out rows have."""
    SYNTHETIC_CLOSENESS = "synthetic_closeness"
    """Share of synthetic rows closer to training rows than to held-out ones; 0.5 gives nothing away."""
    SYNTHETIC_MEMBERSHIP = "synthetic_membership"
    """Area under the curve of a membership inference attack; 0.5 gives nothing away."""


SYNTHETIC_MEASURES = frozenset(
    {
        Measure.SYNTHETIC_FIDELITY,
        Measure.SYNTHETIC_UTILITY,
        Measure.SYNTHETIC_COPIES,
        Measure.SYNTHETIC_CLOSENESS,
        Measure.SYNTHETIC_MEMBERSHIP,
    }
)
"""Measures of synthetic rows; they need `data.augment`."""

PARITIES = (
    Measure.DEMOGRAPHIC_PARITY_DIFFERENCE,
    Measure.DEMOGRAPHIC_PARITY_RATIO,
    Measure.EQUALIZED_ODDS_DIFFERENCE,
    Measure.EQUAL_OPPORTUNITY_DIFFERENCE,
    Measure.PREDICTIVE_PARITY_DIFFERENCE,
)
"""Measures between groups of which class they are predicted to be in."""

DECIDED_MEASURES = frozenset({Measure.READINESS})
"""Measures that only the database knows: judged where a version is promoted or released, by no step."""

GROUP_MEASURES = frozenset({*PARITIES, Measure.MEAN_ERROR_DIFFERENCE, Measure.GROUP_METRIC_DIFFERENCE})
"""Measures between the groups of a column, or of several; a gate on one says `by`."""

CLASS_MEASURES = frozenset({Measure.CALIBRATION_ERROR, *PARITIES})
"""Measures that only classification has."""

NUMBER_MEASURES = frozenset({Measure.MEAN_ERROR_DIFFERENCE})
"""Measures that only regression has."""
COST_MEASURES = frozenset(
    {
        Measure.TRAINING_SECONDS,
        Measure.COST_PER_RUN,
        Measure.COST_PER_THOUSAND,
        Measure.ENERGY_KWH,
        Measure.CO2_KG,
    }
)
"""Measures of what a version took; a gate on one is a limit, since another model's is not measured anew."""

_CLASS_PREDICTIONS = (
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "f1_micro",
    "f1_weighted",
    "jaccard_macro",
    "jaccard_micro",
    "jaccard_weighted",
    "matthews_corrcoef",
    "precision_macro",
    "precision_micro",
    "precision_weighted",
    "recall_macro",
    "recall_micro",
    "recall_weighted",
)
_CLASS_PROBABILITIES = (
    "neg_log_loss",
    "roc_auc_ovo",
    "roc_auc_ovo_weighted",
    "roc_auc_ovr",
    "roc_auc_ovr_weighted",
)
BINARY_ONLY = frozenset(
    {
        "average_precision",
        "f1",
        "jaccard",
        "neg_brier_score",
        "neg_negative_likelihood_ratio",
        "positive_likelihood_ratio",
        "precision",
        "recall",
        "roc_auc",
    }
)
"""Classification metrics that need a target of exactly two classes."""
CLASSIFICATION = frozenset(_CLASS_PREDICTIONS) | frozenset(_CLASS_PROBABILITIES) | BINARY_ONLY
REGRESSION = frozenset(
    {
        "d2_absolute_error_score",
        "explained_variance",
        "neg_max_error",
        "neg_mean_absolute_error",
        "neg_mean_absolute_percentage_error",
        "neg_mean_gamma_deviance",
        "neg_mean_poisson_deviance",
        "neg_mean_squared_error",
        "neg_mean_squared_log_error",
        "neg_median_absolute_error",
        "neg_root_mean_squared_error",
        "neg_root_mean_squared_log_error",
        "r2",
    }
)
METRICS = CLASSIFICATION | REGRESSION
"""Every scikit-learn scorer that a goal may name."""


def task_of(metric: str) -> Task:
    """The task that `metric`, one of `METRICS`, belongs to."""
    return Task.REGRESSION if metric in REGRESSION else Task.CLASSIFICATION


_GREATER = frozenset(
    {
        Measure.BUSINESS_VALUE,
        Measure.DEMOGRAPHIC_PARITY_RATIO,
        Measure.READINESS,
        Measure.SYNTHETIC_FIDELITY,
        Measure.SYNTHETIC_UTILITY,
    }
)
"""Of Pilotage's own measures, those of which more is better."""


def greater_is_better(name: str) -> bool:
    """Whether a larger value of metric or measure `name` is the better one."""
    return name in METRICS or name in _GREATER
