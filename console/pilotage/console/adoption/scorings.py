"""Which of scikit-learn's scorers a notebook judges its model by."""

from __future__ import annotations

import ast

from pilotage.console.adoption import constants
from pilotage.console.adoption.constants import dotted
from pilotage.console.adoption.statements import Program
from pilotage.core.metrics import METRICS, Task, task_of

_FUNCTIONS = {
    "roc_auc_score": "roc_auc",
    "accuracy_score": "accuracy",
    "balanced_accuracy_score": "balanced_accuracy",
    "average_precision_score": "average_precision",
    "log_loss": "neg_log_loss",
    "brier_score_loss": "neg_brier_score",
    "matthews_corrcoef": "matthews_corrcoef",
    "r2_score": "r2",
    "mean_squared_error": "neg_mean_squared_error",
    "root_mean_squared_error": "neg_root_mean_squared_error",
    "mean_absolute_error": "neg_mean_absolute_error",
    "median_absolute_error": "neg_median_absolute_error",
    "mean_absolute_percentage_error": "neg_mean_absolute_percentage_error",
    "mean_squared_log_error": "neg_mean_squared_log_error",
    "explained_variance_score": "explained_variance",
}
_AVERAGED = {
    "f1_score": "f1",
    "precision_score": "precision",
    "recall_score": "recall",
    "jaccard_score": "jaccard",
}


def find(
    program: Program, task: Task | None, scoring: str | None, after: int
) -> tuple[str | None, list[str]]:
    """The metric, and the others that were called.

    What a search or a cross-validation names comes first, then what was called last behind statement
    `after`, where the model is fitted, then anything that fits `task`.
    """
    called: list[tuple[int, str]] = []
    named = [scoring] if scoring in METRICS else []
    for place, statement in enumerate(program.statements):
        for part in ast.walk(statement.node):
            if isinstance(part, ast.Call):
                found = _metric(program, part, place)
                if found is not None:
                    called.append((place, found))
                told = (
                    constants.value(
                        next((key.value for key in part.keywords if key.arg == "scoring"), None),
                        program.names_at(place),
                    )
                    if part.keywords and any(key.arg == "scoring" for key in part.keywords)
                    else None
                )
                if isinstance(told, str) and told in METRICS:
                    named.append(told)
    fitting = [(place, name) for place, name in called if task is None or task_of(name) is task]
    behind = [name for place, name in fitting if place >= after]
    in_order = [name for name in named if task is None or task_of(name) is task]
    in_order += list(reversed(behind))
    in_order += [name for _, name in reversed(fitting)]
    chosen = in_order[0] if in_order else None
    return chosen, sorted({name for _, name in called} - {chosen})


def _metric(program: Program, call: ast.Call, place: int) -> str | None:
    short = program.full(dotted(call.func)).rpartition(".")[2]
    keywords = {key.arg: constants.value(key.value, {}) for key in call.keywords}
    if short in _AVERAGED:
        average = keywords.get("average", "binary")
        name = _AVERAGED[short]
        return f"{name}_{average}" if average in ("macro", "micro", "weighted") else name
    if short == "mean_squared_error" and keywords.get("squared") is False:
        return "neg_root_mean_squared_error"
    if short == "roc_auc_score" and keywords.get("multi_class") in ("ovr", "ovo"):
        return f"roc_auc_{keywords['multi_class']}"
    return _FUNCTIONS.get(short)
