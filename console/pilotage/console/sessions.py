"""What every command shares: its output, its settings, and how an error ends it.

`command` adds the options that all commands take and turns exceptions into one
clear message and an exit code.
"""

from __future__ import annotations

import errno
import importlib
import inspect
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilotage.console.outputs import Output
from pilotage.core import errors, logs

if TYPE_CHECKING:
    from pilotage.console.remotes.clients import Remote
    from pilotage.core.settings import Settings

HERE_ONLY = "here"
"""In place of a function elsewhere: there is none."""
INTERRUPTED = 130
"""What shells expect of a process that Ctrl-C ended: 128 + SIGINT."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_WRONG_PLACE = (
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
)

_SHARED: dict[str, tuple[Any, Any]] = {
    "home": (
        Annotated[Path | None, typer.Option(help="Folder of runs, models and data.", envvar="PILOTAGE_HOME")],
        None,
    ),
    "as_json": (Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")], False),
    "verbose": (
        Annotated[int, typer.Option("-v", "--verbose", count=True, help="Log more; twice logs most.")],
        0,
    ),
    "debug": (Annotated[bool, typer.Option("--debug", help="Show tracebacks.")], False),
}


@dataclass
class Session:
    """One call of a command."""

    output: Output
    home: Path | None = None
    debug: bool = False

    @cached_property
    def settings(self) -> Settings:
        """The installation's settings, from the environment and `--home`."""
        from pilotage.core import settings

        return settings.load(**({"home": self.home} if self.home is not None else {}))

    @cached_property
    def remote(self) -> Remote:
        """The console elsewhere that PILOTAGE_URL names.

        Raises:
            SettingsError: it names none.
        """
        from pilotage.console.remotes.clients import Remote

        return Remote(self.settings)

    def close(self) -> None:
        """Leave the console elsewhere, if it was asked."""
        if "remote" in self.__dict__:
            self.remote.close()


def command(
    app: typer.Typer, name: str, far: str | None = None
) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
    """Register a function of a `Session` and its own parameters as command `name` of `app`.

    The function returns an exit code, or None for 0. `far` names, as `module:function`, what is called in its
    place where PILOTAGE_URL is set; HERE_ONLY refuses then, and None works here in any case.
    """

    def register(function: Callable[..., int | None]) -> Callable[..., int | None]:
        signature = inspect.signature(function, eval_str=True)
        own = list(signature.parameters.values())[1:]
        shared = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for key, (kind, default) in _SHARED.items()
        ]

        def call(**values: Any) -> int:
            return _call(function, values, far)

        call.__doc__, call.__name__ = function.__doc__, function.__name__
        call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + shared
        )
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *shared]}
        app.command(name)(call)
        return function

    return register


def _call(function: Callable[..., int | None], values: dict[str, Any], far: str | None = None) -> int:
    home, as_json, verbose, debug = (values.pop(name) for name in _SHARED)
    logs.configure(verbose, debug=debug)
    with Output.open(as_json=as_json) as output:
        session = Session(output=output, home=home, debug=debug)
        try:
            return _chosen(function, far, session)(session, **values) or int(errors.ExitCode.DONE)
        except KeyboardInterrupt:
            output.error("Interrupted", "Interrupted.", "", INTERRUPTED)
            return INTERRUPTED
        except Exception as error:
            return _report(error, session)
        finally:
            session.close()


def _chosen(
    function: Callable[..., int | None], far: str | None, session: Session
) -> Callable[..., int | None]:
    """What carries a command out: here, or at the console that PILOTAGE_URL names."""
    if far is None or not session.settings.url:
        return function
    if far == HERE_ONLY:
        raise errors.SettingsError(
            f"This command works on this machine's installation, and PILOTAGE_URL is {session.settings.url}.",
            remedy="Unset PILOTAGE_URL, or run it on the machine of the console.",
        )
    module, _, name = far.partition(":")
    found: Callable[..., int | None] = getattr(importlib.import_module(module), name)
    return found


def _report(error: Exception, session: Session) -> int:
    """Say what went wrong; returns the exit code."""
    if session.debug:
        session.output.progress.print(traceback.format_exc(), markup=False)
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("pilotage"):
        error = errors.MissingExtra(
            f"Package `{error.name}` is not installed.",
            remedy='`pip install "pilotage[all]"` installs what every command needs.',
            package=error.name,
        )
    if isinstance(error, OSError):
        error = _place(error) or error
    if isinstance(error, errors.PilotageError):
        session.output.error(
            type(error).__name__, error.message, error.remedy, error.exit_code, error.details
        )
        return int(error.exit_code)
    session.output.error(
        type(error).__name__,
        f"Something went wrong that Pilotage did not expect: {type(error).__name__}: {error}",
        "" if session.debug else "`--debug` shows where; please report it.",
        errors.ExitCode.FAILED,
    )
    return int(errors.ExitCode.FAILED)


def _place(error: OSError) -> errors.PilotageError | None:
    """What to say of a file or folder that the system refuses; None where it names none or is not known."""
    if error.filename is None or error.errno not in {*_WRONG_PLACE, *_FULL}:
        return None
    said = (error.strerror or "").lower()
    message = f"The system refuses `{os.fsdecode(error.filename)}`: {said}."
    if error.errno in _FULL:
        return errors.Failure(message, remedy="Make room, and call the same command again.")
    return errors.InputError(
        message, remedy="Name a place that exists and may be written; `--debug` shows what was done there."
    )
