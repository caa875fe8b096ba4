"""Errors survive the way between processes and know their exit code."""

from __future__ import annotations

import pickle

import pytest

from pilotage.core import errors


def every_error(base: type[errors.PilotageError]) -> list[type[errors.PilotageError]]:
    return [base, *(found for child in base.__subclasses__() for found in every_error(child))]


@pytest.mark.parametrize("kind", every_error(errors.PilotageError), ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling(kind: type[errors.PilotageError]) -> None:
    error = pickle.loads(pickle.dumps(kind("What was wrong.", remedy="Do this.", row=3)))
    assert type(error) is kind
    assert str(error) == "What was wrong. Do this."
    assert error.details == {"row": 3}


def test_the_tree_at_the_top_of_the_module_is_complete() -> None:
    assert errors.__doc__ is not None
    for kind in every_error(errors.PilotageError):
        assert f"{kind.__name__}" in errors.__doc__


def test_exit_codes_say_whether_a_retry_helps() -> None:
    assert errors.Failure("").exit_code == 1
    assert {kind.exit_code for kind in every_error(errors.InputError)} == {2}
    assert {kind.exit_code for kind in every_error(errors.Refusal)} == {3}
