"""What a log says of an error: words and the pilot's own lines, or a traceback where none was meant."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pilotage.components.training import own_estimators
from pilotage.core import errors, failures


def caught(code: object) -> BaseException:
    with pytest.raises(Exception) as found:  # noqa: PT011 - any
        code()  # type: ignore[operator]
    return found.value


def test_an_error_of_pilotage_is_told_without_where_it_was_found() -> None:
    def read() -> None:
        try:
            json.loads("{")
        except ValueError as error:
            raise errors.DataError("It is no JSON.", remedy="Mend it.") from error

    told = failures.describe(caught(read)).replace(str(Path(__file__)), "")
    assert told.startswith("DataError: It is no JSON. Mend it.\n")
    assert "decoder.py" not in told


def test_the_lines_of_a_pilots_own_code_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odd_estimator.py").write_text("def build():\n    return {}['depth']\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    error = caught(lambda: own_estimators.build("odd_estimator:build", {}, seed=0, folder=tmp_path))
    first, second, *rest = failures.describe(error).splitlines()
    assert first.startswith("EstimatorError: `odd_estimator:build` failed: KeyError: 'depth'")
    assert second == "In the pilot's own code:"
    assert rest[0] == f'  File "{tmp_path / "odd_estimator.py"}", line 2, in build'
    assert rest[-1] == "KeyError: 'depth'"
    assert not any("own_estimators.py" in line or "Traceback" in line for line in rest)


def test_what_was_not_meant_keeps_its_traceback() -> None:
    told = failures.describe(caught(lambda: 1 / 0))
    assert told.startswith("Traceback (most recent call last):")
    assert told.endswith("ZeroDivisionError: division by zero\n")
