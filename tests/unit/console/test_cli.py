"""How commands are called, answer and end, whatever they do."""

from __future__ import annotations

import json
import logging

import pytest
from tests.unit.console.calls import Call

from pilotage.console import sessions
from pilotage.console.outputs import Output
from pilotage.console.sessions import Session
from pilotage.core import errors

COMMANDS = (
    "demo", "init", "check", "schema", "run", "compile", "runs", "models", "promote", "rollback", "approve",
    "reject", "release", "diff", "rollouts", "serve", "monitor", "labels", "score", "validate",
    "tokens", "keys",
)  # fmt: skip


def test_help_names_every_command(call: Call) -> None:
    shown = call("--help").out
    assert [name for name in COMMANDS if f"\n  {name} " not in shown] == []


def test_what_a_command_does_is_said_in_one_line(call: Call) -> None:
    groups = ("runs", "tokens", "keys", "triggers", "webhooks", "users", "audit", "schedules", "rollouts")
    for group in ([], *([name] for name in groups)):
        assert "..." not in call(*group, "--help").out.partition("Commands:")[2]


@pytest.mark.parametrize(
    "name",
    [
        *sorted({*COMMANDS} - {"keys", "runs", "tokens"}),
        "keys new",
        "tokens new",
        "runs list",
        "runs show",
        "runs logs",
    ],
)
def test_every_command_takes_the_shared_options(call: Call, name: str) -> None:
    shown = call(*name.split(), "--help").out
    assert [option for option in ("--json", "--home", "--debug", "--verbose") if option not in shown] == []


def test_the_version_is_that_of_the_distribution(call: Call) -> None:
    from importlib.metadata import version

    assert call("--version").out == f"pilotage {version('pilotage')}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu"], "No such command 'rnu'. Did you mean 'run'?"),
        (["run"], "Missing argument 'PILOT'"),
        (["run", "x", "--no-cash"], "No such option: --no-cash"),
        (["serve", "x", "--port", "99999"], "less than or equal to 65535"),
        (["promote", "x", "0"], "greater than or equal to 1"),
        (
            ["readiness", "x", "--prove"],
            "'--prove' requires an argument: one of `tests`, `repeat`, `simple`, `all`.",
        ),
        (["readiness", "x", "--badge"], "'--badge' requires an argument."),
        (
            ["readiness", "x", "--prove", "it"],
            "Invalid value for '--prove': 'it' is not one of 'tests', 'repeat'",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_names_the_mistake_and_exits_2(call: Call, arguments: list[str], said: str) -> None:
    plain = call(*arguments)
    assert (plain.code, plain.out) == (2, "")
    assert said in plain.err
    asked = " ".join(["pilotage", *(word for word in arguments[:1] if word != "rnu")])
    assert f"`{asked} --help` shows how it is called" in plain.err
    document = call(arguments[0], "--json", *arguments[1:]).document["error"]
    assert said in document["message"]
    assert document["exit_code"] == 2


def test_no_command_shows_the_help(call: Call) -> None:
    called = call()
    assert called.code == 2
    assert "Commands:" in called.err


def test_a_wrong_setting_is_named_with_its_variable(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTAGE_STEP_RETRIES", "many")
    called = call("runs")
    assert called.code == 2
    assert "PILOTAGE_STEP_RETRIES" in called.err
    assert "many" in called.err


def test_schema_prints_the_schema_of_pilot_yaml(call: Call) -> None:
    for called in (call("schema"), call("schema", "--json")):
        assert called.document["$schema"].startswith("https://json-schema.org/")
        assert "goal" in called.document["properties"]


class TestErrors:
    """What `sessions` makes of exceptions."""

    def end(self, error: BaseException, *, as_json: bool = False, debug: bool = False) -> int:
        def fail(_: Session) -> None:
            raise error

        return sessions._call(fail, {"home": None, "as_json": as_json, "verbose": 0, "debug": debug})

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (errors.Unavailable("gone"), 1),
            (errors.DataError("bad"), 2),
            (errors.PromotionRefused("no"), 3),
            (ValueError("oops"), 1),
            (KeyboardInterrupt(), 130),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_each_kind_has_its_exit_code(self, call: Call, error: BaseException, code: int) -> None:
        assert self.end(error) == code

    def test_message_and_remedy_are_shown_without_a_traceback(
        self, call: Call, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self.end(errors.DataError("Column `[red]` is bad.", remedy="Mend it."))
        assert capfd.readouterr().err == "Error: Column `[red]` is bad.\nMend it.\n"

    def test_debug_shows_the_traceback(self, call: Call, capfd: pytest.CaptureFixture[str]) -> None:
        self.end(ValueError("oops"), debug=True)
        shown = capfd.readouterr().err
        assert "Traceback" in shown
        assert "ValueError: oops" in shown

    def test_json_carries_the_details(self, call: Call, capfd: pytest.CaptureFixture[str]) -> None:
        self.end(errors.DataError("bad", remedy="mend", column="a"), as_json=True)
        assert json.loads(capfd.readouterr().out)["error"] == {
            "type": "DataError",
            "message": "bad",
            "remedy": "mend",
            "exit_code": 2,
            "details": {"column": "a"},
        }

    def test_a_missing_package_is_named_with_the_extra_that_brings_it(
        self, call: Call, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert self.end(ModuleNotFoundError("No module named 'kfp'", name="kfp")) == 2
        assert "pip install" in capfd.readouterr().err


class TestOutput:
    """Both streams."""

    def test_json_is_alone_on_stdout_whatever_libraries_print(
        self, call: Call, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with Output.open(as_json=True) as output:
            import os

            os.write(1, b"a progress bar\n")
            output.answer({"a": float("nan"), "b": (1, float("-inf"))}, lambda console: None)
        captured = capfd.readouterr()
        assert json.loads(captured.out) == {"a": None, "b": [1, None]}
        assert captured.err == "a progress bar\n"

    def test_stdout_is_back_afterwards(self, call: Call, capfd: pytest.CaptureFixture[str]) -> None:
        import os

        with Output.open(as_json=True):
            pass
        os.write(1, b"after\n")
        assert capfd.readouterr().out == "after\n"


def test_logs_off_a_terminal_are_json_lines_without_tracebacks(
    call: Call, capfd: pytest.CaptureFixture[str]
) -> None:
    from pilotage.core import logs

    logs.configure(1, debug=False)
    logger = logging.getLogger("pilotage.test")
    logger.info("hello %s", "world")
    try:
        raise ValueError("inside")
    except ValueError:
        logger.exception("it failed")
    first, second = map(json.loads, capfd.readouterr().err.splitlines())
    assert (first["level"], first["message"]) == ("info", "hello world")
    assert (second["level"], "exception" in second) == ("error", False)
    logs.configure(0, debug=True)
    try:
        raise ValueError("inside")
    except ValueError:
        logger.exception("it failed")
    assert "ValueError: inside" in json.loads(capfd.readouterr().err)["exception"]
