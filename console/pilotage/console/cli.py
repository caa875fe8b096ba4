"""The `pilotage` command: names every command and turns what goes wrong into a message and an exit code.

Importing this module loads nothing heavy, so that `pilotage --help` and shell
completion answer at once; a command imports its room when it is called.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any, NoReturn

import typer

from pilotage.console.commands import (
    adoptions,
    audits,
    backups,
    costs,
    dossiers,
    drifts,
    forecasts,
    models,
    pilots,
    privacy,
    readiness,
    releases,
    rollouts,
    runs,
    schedules,
    scoring,
    serving,
    showcase,
    shrinks,
    supervision,
    tokens,
    triggers,
    users,
    validations,
    values,
    webhooks,
)
from pilotage.console.outputs import Output
from pilotage.core.errors import ExitCode

EPILOG = (
    "Exit codes: 0 done, 1 failed (a retry may help), 2 the input is wrong, 3 a gate or a validation said no."
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"pilotage {version('pilotage')}")
        raise typer.Exit


def build() -> typer.Typer:
    """The application with all commands."""
    app = typer.Typer(
        name="pilotage",
        help="Take a machine-learning pilot, described by one pilot.yaml, and run it in production.",
        epilog=EPILOG,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def pilotage(
        version: Annotated[
            bool,
            typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit."),
        ] = False,
    ) -> None:
        """Take a machine-learning pilot, described by one pilot.yaml, and run it in production."""

    for module in (
        *(showcase, pilots, runs, models, releases, rollouts, serving, triggers, webhooks),
        *(scoring, drifts, validations, values, tokens, users, audits, backups, supervision, schedules),
        *(forecasts, shrinks, dossiers, privacy, costs, adoptions, readiness),
    ):
        module.add_to(app)
    return app


def main() -> NoReturn:
    """Run the command that the process was started with, and end the process."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Carry out one command line; returns the exit code."""
    app = build()
    try:
        code: Any = app(arguments, prog_name="pilotage", standalone_mode=False)
    except typer.TyperException as error:
        return _wrong_usage(error, app, arguments)
    except typer.Abort:
        return int(ExitCode.FAILED)
    return code if isinstance(code, int) else int(ExitCode.DONE)


def _wrong_usage(error: typer.TyperException, app: typer.Typer, arguments: list[str]) -> int:
    """Say which argument was wrong; asking for nothing gets the help."""
    message = error.format_message().replace(": Value error, ", ": ")
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(message, err=True)
        return int(ExitCode.WRONG_INPUT)
    if context is None:
        command, choices = _called(app, arguments, getattr(error, "option_name", ""))
        message = f"{message.rstrip('.')}: one of {', '.join(choices)}." if choices else message
    else:
        command = context.command_path
    with Output.open(as_json="--json" in arguments) as output:
        output.error(
            "UsageError", message, f"`{command} --help` shows how it is called.", ExitCode.WRONG_INPUT
        )
    return int(ExitCode.WRONG_INPUT)


def _called(app: typer.Typer, arguments: list[str], option: str) -> tuple[str, list[str]]:
    """Path of the command that `arguments` begin with, and what its option takes, where that is a choice."""
    command: Any = typer.main.get_command(app)
    path = ["pilotage"]
    for word in arguments:
        if word not in getattr(command, "commands", {}):
            break
        command = command.commands[word]
        path.append(word)
    taken = [known for known in command.params if option and option in known.opts]
    choices = [choice for known in taken for choice in known.type_descriptor.choices or ()]
    return " ".join(path), [f"`{getattr(choice, 'value', choice)}`" for choice in choices]
