"""A pilot's own Python functions, found by `module:function` relative to its folder.

What a function returns is made into batches by `pilotage.components.sources.rows`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from pilotage.core import errors, pilots
from pilotage.core.hints import unknown


def load(target: str, folder: Path) -> Callable[..., Any]:
    """The function that `target`, as `module:function`, names; the pilot's folder is searched first.

    Raises:
        SourceError: there is no such module or function, or the module fails to import.
    """
    name, _, attribute = target.partition(":")
    module = _import(name, folder)
    function = getattr(module, attribute, None)
    if not callable(function):
        public = sorted(key for key, value in vars(module).items() if callable(value) and key[0] != "_")
        what = (
            unknown(f"function of `{module.__file__}`", attribute, public)
            if public
            else f"`{module.__file__}` defines no function"
        )
        raise errors.SourceError(
            f"`{target}`: {what}.",
            remedy=f"Correct `data.source` in {pilots.FILE_NAME}.",
        )
    result: Callable[..., Any] = function
    return result


def call(target: str, folder: Path, args: Mapping[str, Any]) -> Any:
    """What the function `target` returns for `args`.

    Raises:
        SourceError: it cannot be found, or it raised; the message says what.
        Unavailable: it raised because something did not answer.
    """
    function = load(target, folder)
    try:
        return function(**args)
    except (Exception, SystemExit) as error:
        raise failed(target, error) from error


def failed(target: str, error: BaseException) -> errors.PilotageError:
    """The error for an exception that the pilot's function raised."""
    if isinstance(error, errors.PilotageError):
        return error
    message = f"`{target}` raised {type(error).__name__}: {error}."
    if isinstance(error, (ConnectionError, TimeoutError)):
        return errors.Unavailable(message, remedy="Try again when what it reads from answers.")
    return errors.SourceError(message, remedy="Correct the function or its `args` in pilot.yaml.")


def module_file(target: str, folder: Path) -> Path | None:
    """The file of the module that `target` names, found without importing it; None if there is none."""
    parts = target.partition(":")[0].split(".")
    for place in (folder.joinpath(*parts).with_suffix(".py"), folder.joinpath(*parts, "__init__.py")):
        if place.is_file():
            return place
    try:
        spec = importlib.util.find_spec(".".join(parts))
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and Path(spec.origin).is_file() else None


def _import(name: str, folder: Path) -> ModuleType:
    place = str(folder.absolute())
    loaded = sys.modules.get(name)
    own = module_file(name, folder)
    if loaded is not None and own is not None and getattr(loaded, "__file__", None) != str(own.absolute()):
        del sys.modules[name]
    sys.path.insert(0, place)
    try:
        importlib.invalidate_caches()
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise errors.SourceError(
                f"There is no module `{name}` in `{folder}`.",
                remedy=f"Put `{name.replace('.', '/')}.py` beside {pilots.FILE_NAME}, or correct the name.",
            ) from error
        raise errors.SourceError(
            f"`{name}` needs the module `{error.name}`, which is not installed.",
            remedy=f"Install what provides `{error.name}`.",
        ) from error
    except (Exception, SystemExit) as error:
        raise errors.SourceError(
            f"Importing `{name}` from `{folder}` raised {type(error).__name__}: {error}.",
            remedy="Correct the module.",
        ) from error
    finally:
        if place in sys.path:
            sys.path.remove(place)
