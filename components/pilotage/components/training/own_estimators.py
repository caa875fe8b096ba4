"""A pilot's own estimator: `module:function`, found in the pilot's folder or among installed packages.

The function is called with `train.params` and gives an unfitted estimator with
`fit` and `predict`. The sources that it needs are named, so that a model which
skops cannot hold can take them along.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pilotage.core import errors

_SEEDS = ("seed", "random_state")


def build(name: str, params: Mapping[str, Any], *, seed: int, folder: Path) -> Any:
    """What the function `name` returns for `params`, and for `seed` where its signature takes one.

    Raises:
        EstimatorError: it cannot be imported or called, or returns something without fit and predict.
    """
    function, arguments = require_arguments(name, params, seed=seed, folder=folder)
    try:
        estimator = function(**arguments)
    except Exception as error:
        raise errors.EstimatorError(
            f"`{name}` failed: {type(error).__name__}: {error}.",
            remedy="Correct the function or `train.params`.",
        ) from error
    missing = [method for method in ("fit", "predict") if not callable(getattr(estimator, method, None))]
    if missing:
        raise errors.EstimatorError(
            f"`{name}` returned {type(estimator).__name__}, which has no method `{missing[0]}`.",
            remedy="Return an unfitted scikit-learn estimator or pipeline.",
        )
    return estimator


def require_arguments(
    name: str, params: Mapping[str, Any], *, seed: int, folder: Path
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The function `name` and what it is called with; it is not called.

    Raises:
        EstimatorError: it cannot be imported, or does not take the parameters.
    """
    function = find(name, folder)
    arguments = {**_seed(function, seed), **params}
    _require_arguments(name, function, arguments)
    return function, arguments


def find(name: str, folder: Path) -> Callable[..., Any]:
    """The function that `module:function` names.

    Raises:
        EstimatorError: there is no such module or function, or it cannot be imported or called.
    """
    module_name, _, attribute = name.partition(":")
    module = _import(module_name, folder)
    function: Any = getattr(module, attribute, None)
    if function is None:
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise errors.EstimatorError(
            f"Module `{module_name}` has no function `{attribute}`.",
            remedy=f"It has {', '.join(sorted(public)) or 'none'}; correct `train.estimator`.",
        )
    if not callable(function):
        raise errors.EstimatorError(
            f"`{name}` is {type(function).__name__}, not a function.",
            remedy="Name a function that returns an estimator.",
        )
    found: Callable[..., Any] = function
    return found


def sources(name: str, folder: Path) -> tuple[Path, ...]:
    """The pilot's Python files that are imported now, if the estimator `name` is the pilot's own."""
    if ":" not in name:
        return ()
    root = folder.resolve()
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    paths = {Path(file).resolve() for file in files if file and file.endswith(".py")}
    return tuple(sorted(path for path in paths if _inside(path, root)))


def _inside(path: Path, root: Path) -> bool:
    if not path.is_relative_to(root):
        return False
    return not any(part.startswith(".") or part == "site-packages" for part in path.relative_to(root).parts)


def _import(module_name: str, folder: Path) -> Any:
    root = str(folder.resolve())
    _forget_others(module_name, folder.resolve())
    if root in sys.path:
        sys.path.remove(root)
    sys.path.insert(0, root)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise errors.EstimatorError(
                f"There is no module `{module_name}` in `{folder}` or among the installed packages.",
                remedy="Correct `train.estimator`, or put the module beside pilot.yaml.",
            ) from error
        raise _broken(module_name, error) from error
    except Exception as error:
        raise _broken(module_name, error) from error


def _broken(module_name: str, error: Exception) -> errors.EstimatorError:
    return errors.EstimatorError(
        f"Importing `{module_name}` failed: {type(error).__name__}: {error}.",
        remedy="Correct the module, or install what it needs.",
    )


def _forget_others(module_name: str, root: Path) -> None:
    """Drop a module of the same name that another pilot's folder brought into this process."""
    top = module_name.partition(".")[0]
    here = (root / f"{top}.py").is_file() or (root / top).is_dir()
    loaded = getattr(sys.modules.get(top), "__file__", None)
    if here and loaded and not Path(loaded).resolve().is_relative_to(root):
        for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
            del sys.modules[name]


def _seed(function: Callable[..., Any], seed: int) -> dict[str, int]:
    taken = _parameters(function)
    return next(({name: seed} for name in _SEEDS if name in taken), {})


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def _require_arguments(name: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(**arguments)
    except TypeError as error:
        takes = ", ".join(str(parameter) for parameter in signature.parameters.values()) or "nothing"
        raise errors.EstimatorError(
            f"`{name}` cannot be called with `train.params`: {error}.", remedy=f"It takes {takes}."
        ) from error
