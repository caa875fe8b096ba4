"""Which estimator a model is, with its parameters and the space that was searched.

A built-in of Pilotage is named where the model is one of its classes, alone or behind steps of a
pipeline that do what Pilotage does itself; everything else stays the notebook's own code.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pilotage.console.adoption import constants
from pilotage.console.adoption.constants import UNKNOWN, dotted
from pilotage.console.adoption.statements import Program
from pilotage.core.metrics import Task

_CLASSES = {
    "LogisticRegression": ("logistic_regression", Task.CLASSIFICATION),
    "Ridge": ("logistic_regression", Task.REGRESSION),
    "HistGradientBoostingClassifier": ("hist_gradient_boosting", Task.CLASSIFICATION),
    "HistGradientBoostingRegressor": ("hist_gradient_boosting", Task.REGRESSION),
    "RandomForestClassifier": ("random_forest", Task.CLASSIFICATION),
    "RandomForestRegressor": ("random_forest", Task.REGRESSION),
    "LGBMClassifier": ("lightgbm", Task.CLASSIFICATION),
    "LGBMRegressor": ("lightgbm", Task.REGRESSION),
    "XGBClassifier": ("xgboost", Task.CLASSIFICATION),
    "XGBRegressor": ("xgboost", Task.REGRESSION),
}
_PREPARES = frozenset(
    (
        *(
            "StandardScaler",
            "MinMaxScaler",
            "RobustScaler",
            "MaxAbsScaler",
            "OneHotEncoder",
            "OrdinalEncoder",
        ),
        *("LabelEncoder", "SimpleImputer", "ColumnTransformer", "Pipeline", "make_pipeline"),
        *("make_column_transformer", "TargetEncoder", "passthrough"),
    )
)
"""What Pilotage's encodings do themselves."""
SEARCHES = frozenset(("GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV"))
_PIPELINES = frozenset(("Pipeline", "make_pipeline", "imblearn_pipeline"))
_SEEDS = ("random_state", "seed", "random_seed")
_LEFT = frozenset(
    (
        *(
            "n_jobs",
            "verbose",
            "verbosity",
            "silent",
            "eval_metric",
            "metric",
            "use_label_encoder",
            "early_stopping_rounds",
        ),
        *(
            "nthread",
            "num_threads",
            "objective",
            "warm_start",
            "callbacks",
            "device",
            "num_class",
            "tree_method",
        ),
    )
)
"""Parameters that say how to train, not what; Pilotage decides them."""
_LONG = {"eta": "learning_rate", "num_boost_round": "n_estimators", "num_round": "n_estimators",
         "num_iterations": "n_estimators", "lambda": "reg_lambda", "alpha": "reg_alpha",
         "bagging_fraction": "subsample", "feature_fraction": "colsample_bytree"}  # fmt: skip
_BOOSTED = ("xgboost.", "lightgbm.")
_SKLEARN_LIKE = ("sklearn.", "xgboost", "lightgbm", "catboost", "imblearn", "sktime", "torch")
_DISTRIBUTIONS = {
    "uniform": (False, False),
    "loguniform": (True, False),
    "reciprocal": (True, False),
    "randint": (False, True),
}


@dataclass
class Estimator:
    """A model that was fitted."""

    name: str
    """The built-in, or the class."""
    builtin: bool
    task: Task | None
    node: ast.expr
    """What made it."""
    place: int
    params: dict[str, Any] = field(default_factory=dict)
    space: dict[str, dict[str, Any]] = field(default_factory=dict)
    trials: int | None = None
    scoring: str | None = None
    seed: int | None = None
    prepares: tuple[str, ...] = ()
    """Steps before it in a pipeline."""
    unknown: tuple[str, ...] = ()
    """Parameters whose values are not written down."""
    folds_by_time: bool = False
    deep: bool = False


def resolve(program: Program, node: ast.expr, place: int, depth: int = 0) -> Estimator | None:
    """The estimator that an expression is; None where it is none."""
    if depth > 20:
        return None
    if isinstance(node, ast.Name):
        at = program.definition(node.id, place)
        bound = program.statements[at].node if at is not None else None
        if at is None or not isinstance(bound, (ast.Assign, ast.AnnAssign)) or bound.value is None:
            return None
        if isinstance(bound.value, ast.Attribute):  # best_estimator_
            return resolve(program, bound.value.value, at, depth + 1)
        return resolve(program, bound.value, at, depth + 1)
    if not isinstance(node, ast.Call):
        return None
    if isinstance(node.func, ast.Attribute) and node.func.attr in ("fit", "set_params", "to"):
        return resolve(program, node.func.value, place, depth + 1)
    full = program.full(dotted(node.func))
    short = full.rpartition(".")[2]
    if short in SEARCHES:
        return _searched(program, node, short, place, depth)
    if short in _PIPELINES:
        return _piped(program, node, short, place, depth)
    if full in ("xgboost.train", "lightgbm.train", "xgboost.cv", "lightgbm.cv"):
        return _trained(program, node, full, place)
    return _made(program, node, full, short, place)


def _made(program: Program, node: ast.Call, full: str, short: str, place: int) -> Estimator | None:
    known = _CLASSES.get(short)
    local = short in program.functions
    own = full.startswith(_SKLEARN_LIKE) and short[:1].isupper() and short not in _PREPARES
    classes = {part.node.name for part in program.statements if isinstance(part.node, ast.ClassDef)}
    if known is None and not own and not local and short not in classes:
        return None
    if local and known is None:
        returned = _returned(program, short)
        inner = resolve(program, returned, place, 1) if returned is not None else None
        return inner and _as_own(inner, node, place)
    params, unknown, seed = _params(program, node, place)
    deep = full.startswith("torch") or (short in classes and _is_torch(program, short))
    task = known[1] if known else _task_of(short)
    return Estimator(
        known[0] if known else short,
        known is not None,
        task,
        node,
        place,
        params,
        seed=seed,
        unknown=unknown,
        deep=deep,
    )


def _as_own(inner: Estimator, node: ast.expr, place: int) -> Estimator:
    """An estimator that a function makes: the function stays, unless all of it is a built-in."""
    if inner.builtin and not inner.unknown:
        return inner
    inner.builtin, inner.node, inner.place = False, node, place
    return inner


def _returned(program: Program, function: str) -> ast.expr | None:
    ends = [part for part in ast.walk(program.functions[function]) if isinstance(part, ast.Return)]
    return ends[-1].value if ends else None


def _is_torch(program: Program, name: str) -> bool:
    return any(
        "Module" in dotted(base)
        for part in program.statements
        if isinstance(part.node, ast.ClassDef) and part.node.name == name
        for base in part.node.bases
    )


def _task_of(short: str) -> Task | None:
    if short.endswith(("Classifier", "SVC", "NB")):
        return Task.CLASSIFICATION
    return (
        Task.REGRESSION if short.endswith(("Regressor", "SVR", "Regression", "Lasso", "ElasticNet")) else None
    )


def _params(
    program: Program, node: ast.Call, place: int
) -> tuple[dict[str, Any], tuple[str, ...], int | None]:
    names, params, unknown, seed = program.names_at(place), dict[str, Any](), list[str](), None
    given: dict[str, Any] = {}
    boosted = program.full(dotted(node.func)).startswith(_BOOSTED)
    for key in node.keywords:
        found = constants.value(key.value, names)
        if key.arg is None:
            given |= found if isinstance(found, dict) else {"**": UNKNOWN}
        else:
            given[key.arg] = found
    for name, found in given.items():
        if name in _SEEDS:
            seed = found if isinstance(found, int) and not isinstance(found, bool) else seed
        elif name in _LEFT:
            continue
        elif _plain(found):
            params[_LONG.get(name, name) if boosted else name] = found
        else:
            unknown.append(name)
    return params, tuple(unknown), seed


def _plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_plain(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(item) for key, item in value.items())
    return value is None or isinstance(value, (str, bool, int, float))


def _piped(program: Program, node: ast.Call, short: str, place: int, depth: int) -> Estimator | None:
    steps: list[ast.expr] = list(node.args)
    if short == "Pipeline":
        listed = (
            node.args[0]
            if node.args
            else next((key.value for key in node.keywords if key.arg == "steps"), None)
        )
        if not isinstance(listed, ast.List):
            return None
        steps = [part.elts[1] for part in listed.elts if isinstance(part, ast.Tuple) and len(part.elts) == 2]
    if not steps:
        return None
    last = resolve(program, steps[-1], place, depth + 1)
    if last is None:
        return None
    before = tuple(name for step in steps[:-1] for name in _classes(program, step, place))
    last.prepares = before
    if not last.builtin or set(before) - _PREPARES:
        last.builtin, last.node, last.place = False, node, place
    return last


def _classes(program: Program, node: ast.expr, place: int) -> list[str]:
    """Classes that a step is made of, those of a `ColumnTransformer` within it too."""
    if isinstance(node, ast.Name):
        at = program.definition(node.id, place)
        bound = program.statements[at].node if at is not None else None
        value = bound.value if isinstance(bound, (ast.Assign, ast.AnnAssign)) else None
        return _classes(program, value, at or 0) if value is not None else [node.id]
    found = []
    for part in ast.walk(node):
        if isinstance(part, ast.Call):
            found.append(program.full(dotted(part.func)).rpartition(".")[2] or "?")
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load) and part.id not in program.imports:
            at = program.definition(part.id, place)
            bound = program.statements[at].node if at is not None else None
            if isinstance(bound, ast.Assign) and isinstance(bound.value, ast.Call):
                found += _classes(program, bound.value, at or 0)
    return [name for name in found if name[:1].isupper() or name.startswith("make_")]


def _searched(program: Program, node: ast.Call, short: str, place: int, depth: int) -> Estimator | None:
    keywords = {key.arg: key.value for key in node.keywords}
    model = node.args[0] if node.args else keywords.get("estimator")
    found = resolve(program, model, place, depth + 1) if model is not None else None
    if found is None:
        return None
    names = program.names_at(place)
    scoring = constants.value(keywords.get("scoring"), names)
    found.scoring = scoring if isinstance(scoring, str) else None
    space = (
        node.args[1]
        if len(node.args) > 1
        else keywords.get("param_grid") or keywords.get("param_distributions")
    )
    found.space = _space(program, space, place) if space is not None else {}
    count = constants.value(keywords.get("n_iter"), names)
    grid = 1
    for part in found.space.values():
        grid *= len(part.get("choices", ())) or 5
    default = 10 if short.startswith("Random") else grid
    found.trials = min(count if isinstance(count, int) else default, 10_000)
    folds = keywords.get("cv")
    found.folds_by_time = folds is not None and "TimeSeriesSplit" in ast.dump(folds)
    seed = constants.value(keywords.get("random_state"), names)
    if found.seed is None and isinstance(seed, int) and not isinstance(seed, bool):
        found.seed = seed
    return found


def _space(program: Program, node: ast.expr, place: int) -> dict[str, dict[str, Any]]:
    if isinstance(node, ast.Name):
        at = program.definition(node.id, place)
        bound = program.statements[at].node if at is not None else None
        return _space(program, bound.value, at or 0) if isinstance(bound, ast.Assign) else {}
    if isinstance(node, ast.List) and len(node.elts) == 1:
        return _space(program, node.elts[0], place)
    names, found = program.names_at(place), dict[str, dict[str, Any]]()
    for key, item in zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ():
        name = constants.value(key, names)
        if isinstance(name, str):
            part = _range(program, item, names)
            if part is not None:
                found[name] = part
    return found


def _range(program: Program, node: ast.expr, names: Mapping[str, Any]) -> dict[str, Any] | None:
    choices = constants.value(node, names)
    if (
        isinstance(choices, list)
        and choices
        and all(item is None or isinstance(item, (str, bool, int, float)) for item in choices)
    ):
        return {"choices": choices}
    if isinstance(node, ast.Call):
        kind = program.full(dotted(node.func)).rpartition(".")[2]
        ends = [constants.value(part, names) for part in node.args]
        if kind in _DISTRIBUTIONS and len(ends) == 2 and all(isinstance(end, (int, float)) for end in ends):
            log, whole = _DISTRIBUTIONS[kind]
            low, high = (ends[0], ends[0] + ends[1]) if kind == "uniform" else ends
            high = high - 1 if whole else high
            return {"low": low, "high": high, **({"log": True} if log else {})} if low < high else None
    return None


def _trained(program: Program, node: ast.Call, full: str, place: int) -> Estimator:
    """`xgb.train(params, data, rounds)` and LightGBM's alike."""
    names = program.names_at(place)
    given = constants.value(node.args[0], names) if node.args else UNKNOWN
    given = given if isinstance(given, dict) else {}
    rounds = constants.value(
        next(
            (key.value for key in node.keywords if key.arg in ("num_boost_round", "num_round")),
            node.args[2] if len(node.args) > 2 else None,
        ),
        names,
    )
    params = {
        _LONG.get(str(name), str(name)): item
        for name, item in given.items()
        if name not in (*_LEFT, *_SEEDS) and _plain(item)
    }
    if isinstance(rounds, int):
        params["n_estimators"] = rounds
    objective = str(given.get("objective", ""))
    task = (
        Task.REGRESSION
        if objective.startswith(("reg", "l1", "l2", "mse", "mae", "poisson", "tweedie")) or not objective
        else Task.CLASSIFICATION
    )
    seed = next((given[name] for name in _SEEDS if isinstance(given.get(name), int)), None)
    return Estimator(full.partition(".")[0], True, task, node, place, params, seed=seed)


def plain_space(space: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The space without the names of a pipeline's steps."""
    short = {name.rpartition("__")[2]: part for name, part in space.items()}
    return {_LONG.get(name, name): part for name, part in short.items() if name not in (*_LEFT, *_SEEDS)}
