"""What a notebook trains, put together: table, columns, estimator, measure, split; and what is open.

Of several models that are fitted, the last one that is judged is taken; the others are told of.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from pilotage.console.adoption import constants, estimators, loads, scorings, statements
from pilotage.console.adoption.constants import dotted
from pilotage.console.adoption.estimators import Estimator
from pilotage.console.adoption.findings import Found
from pilotage.console.adoption.loads import Load
from pilotage.console.adoption.notebooks import Note, Source
from pilotage.console.adoption.statements import Program, Statement
from pilotage.console.adoption.tracing import Tracer
from pilotage.core import errors
from pilotage.core.metrics import Task, task_of

_VALIDATES = ("cross_val_score", "cross_validate", "cross_val_predict")
_STRANGE = {
    "keras": "Keras",
    "tensorflow": "TensorFlow",
    "statsmodels": "statsmodels",
    "catboost": "CatBoost",
    "prophet": "Prophet",
    "pycaret": "PyCaret",
    "pyspark": "Spark",
}
"""Libraries of models that nothing here can say in pilot.yaml, by the name they are imported by."""
_DEFAULTS = {Task.CLASSIFICATION: "accuracy", Task.REGRESSION: "r2"}


@dataclass
class Fit:
    """A model that is fitted, and on what."""

    estimator: Estimator
    features: ast.expr
    target: ast.expr
    place: int
    receiver: str
    """Name of the model."""


@dataclass
class Analysis:
    """All that was found."""

    source: Source
    program: Program
    fit: Fit
    features: Found | None
    target: Found | None
    tracer: Tracer
    metric: str
    task: Task
    time: str | None
    seed: int | None
    loads: list[Load]
    whole: tuple[tuple[ast.expr, int], tuple[ast.expr, int]]
    """Features and target before they were split, for code that puts them together again."""
    notes: list[Note] = field(default_factory=list)

    def note(self, place: int, what: str, then: str = "") -> None:
        """Something that is open, at a statement."""
        statement = self.program.statements[min(place, len(self.program.statements) - 1)]
        self.notes.append(Note(statement.cell, statement.line, what, then))


def analyse(source: Source) -> Analysis:
    """What a source trains.

    Raises:
        InputError: it fits no model that can be followed; says what was found of others.
    """
    program = statements.program(source)
    fits = _fits(program)
    if not fits:
        libraries = {name.partition(".")[0] for name in program.imports.values()}
        strange = sorted(_STRANGE[library] for library in libraries & _STRANGE.keys())
        told = f" It uses {', '.join(strange)}, whose models are not taken over." if strange else ""
        raise errors.InputError(
            f"`{source.file}` fits no model that can be followed: no `model.fit(X, y)` of a known class."
            f"{told}",
            remedy="Begin from the table instead: `pilotage init NAME --from TABLE --target COLUMN`.",
            open=[vars(note) for note in source.notes],
        )
    fit = _chosen(program, fits)
    tracer = Tracer(program)
    features = tracer.features(fit.features, fit.place)
    target = tracer.target(fit.target, fit.place)
    whole = tracer.whole(fit.features, fit.place), tracer.whole(fit.target, fit.place, target=True)
    metric, others = scorings.find(program, fit.estimator.task, fit.estimator.scoring, fit.place)
    task = task_of(metric) if metric else fit.estimator.task or _guess(program)
    found = Analysis(
        source, program, fit, features, target, tracer,
        metric or _DEFAULTS[task], task, None, _seed(program, fit, tracer), _loads(program), whole,
        list(source.notes),
    )  # fmt: skip
    found.time = _time(found)
    _tell(found, fits, metric, others)
    return found


def _fits(program: Program) -> list[Fit]:
    found = []
    for place, statement in enumerate(program.statements):
        if statement.defines:
            continue
        for part in ast.walk(statement.node):
            fit = _fit(program, part, place, statement) if isinstance(part, ast.Call) else None
            if fit is not None:
                found.append(fit)
            if isinstance(part, ast.For):
                found += _fits_of_loop(program, part, place)
    return found


def _fits_of_loop(program: Program, loop: ast.For, place: int) -> list[Fit]:
    """A fit for each of several models that a loop compares: `for name, model in models.items()`."""
    name, models = _looped(program, loop, place)
    found = []
    for part in ast.walk(loop):
        if not isinstance(part, ast.Call):
            continue
        short = dotted(part.func).rpartition(".")[2]
        if short in _VALIDATES and len(part.args) >= 3 and dotted(part.args[0]) == name:
            data = part.args[1:3]
        elif short == "fit" and dotted(part.func) == f"{name}.fit" and len(part.args) >= 2:
            data = part.args[:2]
        else:
            continue
        for node in models:
            model = estimators.resolve(program, node, place)
            if model is not None:
                found.append(Fit(model, data[0], data[1], place, name))
    return found


def _looped(program: Program, loop: ast.For, place: int) -> tuple[str, list[ast.expr]]:
    """The name that a loop gives a model, and the models; nothing where they are not written down."""
    over: ast.expr = loop.iter
    pairs = isinstance(loop.target, ast.Tuple) and len(loop.target.elts) == 2
    target = loop.target.elts[1] if isinstance(loop.target, ast.Tuple) and pairs else loop.target
    if isinstance(over, ast.Call) and isinstance(over.func, ast.Attribute):
        over = over.func.value if over.func.attr in ("items", "values") else over
    if isinstance(over, ast.Name):
        at = program.definition(over.id, place)
        node = program.statements[at].node if at is not None else None
        over = node.value if isinstance(node, ast.Assign) else over
    items = over.values if isinstance(over, ast.Dict) else getattr(over, "elts", [])
    if pairs:
        items = [
            item.elts[1] if isinstance(item, ast.Tuple) and len(item.elts) == 2 else item for item in items
        ]
    return (target.id if isinstance(target, ast.Name) else ""), items


def _fit(program: Program, call: ast.Call, place: int, statement: Statement) -> Fit | None:
    full = program.full(dotted(call.func))
    if full in ("xgboost.train", "lightgbm.train"):
        data = call.args[1] if len(call.args) > 1 else _keyword(call, "dtrain", "train_set")
        model = estimators.resolve(program, call, place)
        return None if data is None or model is None else Fit(model, data, data, place, _target_of(statement))
    if full.rpartition(".")[2] in _VALIDATES and len(call.args) >= 3:
        model = estimators.resolve(program, call.args[0], place)
        name = call.args[0].id if isinstance(call.args[0], ast.Name) else ""
        return None if model is None else Fit(model, call.args[1], call.args[2], place, name)
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in ("fit", "fit_predict"):
        return None
    features = call.args[0] if call.args else _keyword(call, "X")
    target = call.args[1] if len(call.args) > 1 else _keyword(call, "y")
    model = estimators.resolve(program, call.func.value, place)
    if features is None or target is None or model is None:
        return None
    name = call.func.value.id if isinstance(call.func.value, ast.Name) else _target_of(statement)
    return Fit(model, features, target, place, name)


def _target_of(statement: Statement) -> str:
    return next(iter(statement.writes), "")


def _chosen(program: Program, fits: list[Fit]) -> Fit:
    """The last that is judged behind its fit; the last where none is."""
    judged = [fit for fit in fits if fit.receiver and _is_judged(program, fit)]
    return (judged or fits)[-1]


def _is_judged(program: Program, fit: Fit) -> bool:
    for statement in program.statements[fit.place :]:
        for part in ast.walk(statement.node):
            if not isinstance(part, ast.Call):
                continue
            name = dotted(part.func)
            short = name.rpartition(".")[2]
            if name.startswith(f"{fit.receiver}.") and short in (
                "predict",
                "predict_proba",
                "score",
                "decision_function",
            ):
                return True
            if short in _VALIDATES and part.args and dotted(part.args[0]) == fit.receiver:
                return True
    return False


def _guess(program: Program) -> Task:
    """By the words of it, where neither a class nor a measure says."""
    words = " ".join(program.imports.values())
    return Task.REGRESSION if "mean_squared_error" in words or "r2_score" in words else Task.CLASSIFICATION


def _seed(program: Program, fit: Fit, tracer: Tracer) -> int | None:
    for seed in (fit.estimator.seed, tracer.seen.seed):
        if seed is not None and 0 <= seed < 2**32:
            return seed
    for place, statement in enumerate(program.statements):
        for part in ast.walk(statement.node):
            if (
                isinstance(part, ast.Call)
                and dotted(part.func).endswith(("random.seed", "manual_seed"))
                and part.args
            ):
                found = constants.value(part.args[0], program.names_at(place))
                if isinstance(found, int) and 0 <= found < 2**32:
                    return found
    return None


def _loads(program: Program) -> list[Load]:
    names = program.names_at(len(program.statements))
    found = []
    for place, statement in enumerate(program.statements):
        known = names if statement.defines else program.names_at(place)
        found += loads.find(program, statement.node, known)
    return found


def _time(found: Analysis) -> str | None:
    """The column that orders rows, where the notebook splits by time."""
    dates, sorted_by = _dates(found), _sorted_by(found.program)
    seen = found.tracer.seen
    if seen.time in dates:
        return seen.time
    by_time = seen.ordered or found.fit.estimator.folds_by_time or _splits_by_time(found.program)
    if by_time and sorted_by:
        return next((name for name in sorted_by if name in dates), sorted_by[-1])
    if seen.time is not None and seen.time in sorted_by:
        return seen.time
    if dates:
        name = sorted(dates)[0]
        place = next(
            (place for place, part in enumerate(found.program.statements) if name in ast.dump(part.node)), 0
        )
        found.note(
            place,
            f"`{name}` is a time, and rows are split at random",
            f"Set `data.time: {name}` in pilot.yaml if the model will predict what comes later.",
        )
    return None


def _dates(found: Analysis) -> set[str]:
    dates = {name for load in found.loads for name in load.dates}
    for statement in found.program.statements:
        for part in ast.walk(statement.node):
            if isinstance(part, ast.Assign) and isinstance(part.value, ast.Call):
                short = dotted(part.value.func).rpartition(".")[2]
                for target in part.targets:
                    if short == "to_datetime" and isinstance(target, ast.Subscript):
                        told = constants.value(target.slice, {})
                        dates |= {told} if isinstance(told, str) else set()
            if isinstance(part, ast.keyword) and part.arg and "to_datetime" in ast.dump(part.value)[:400]:
                dates.add(part.arg)
    return dates


def _sorted_by(program: Program) -> list[str]:
    found = []
    for place, statement in enumerate(program.statements):
        for part in ast.walk(statement.node):
            if (
                isinstance(part, ast.Call)
                and isinstance(part.func, ast.Attribute)
                and part.func.attr in ("sort_values", "sort")
            ):
                node = part.args[0] if part.args else _keyword(part, "by")
                told = constants.value(node, program.names_at(place)) if node is not None else None
                found += (
                    [told] if isinstance(told, str) else [told[0]] if isinstance(told, list) and told else []
                )
    return [name for name in found if isinstance(name, str)]


def _splits_by_time(program: Program) -> bool:
    return any("TimeSeriesSplit" in name for name in program.imports.values())


def _tell(found: Analysis, fits: list[Fit], metric: str | None, others: list[str]) -> None:
    fit = found.fit
    names = [
        other.estimator.name
        for other in fits
        if other is not fit and other.estimator.name != fit.estimator.name
    ]
    for name in dict.fromkeys(names):
        place = next(other.place for other in fits if other.estimator.name == name)
        found.note(
            place, f"`{name}` is fitted too and was not taken", "Set `train.estimator` to take it instead."
        )
    if metric is None:
        found.note(fit.place, f"no measure was found; `{found.metric}` is what a {found.task} is judged by",
                   "Set `goal.metric` in pilot.yaml.")  # fmt: skip
    elif others:
        found.note(
            fit.place, f"also measured: {', '.join(others)}", "Add a gate on what matters besides the goal."
        )
    for name in fit.estimator.unknown:
        found.note(fit.estimator.place, f"the value of `{name}` is worked out, not written down",
                   f"Set `train.params.{name}` to what it should be.")  # fmt: skip


def _keyword(call: ast.Call, *names: str) -> ast.expr | None:
    return next((key.value for key in call.keywords if key.arg in names), None)
