"""Versions that `pilotage serve --version` names."""

from __future__ import annotations

import pytest

from pilotage.console.commands import serving
from pilotage.core import errors


def test_versions_are_named_by_number_or_by_pilot_and_number() -> None:
    assert serving._pins([], ["a", "b"]) == {}
    assert serving._pins(["3", "a=4"], ["a"]) == {"a": (3, 4)}
    assert serving._pins(["b=3", "a=4", "b=1"], ["a", "b"]) == {"b": (3, 1), "a": (4,)}


@pytest.mark.parametrize(
    ("text", "names"),
    [("3", ["a", "b"]), ("c=3", ["a"]), ("a=x", ["a"]), ("a=", ["a"]), ("0", ["a"]), ("-1", ["a"])],
)
def test_what_names_no_version_is_refused(text: str, names: list[str]) -> None:
    with pytest.raises(errors.SettingsError, match="names no version of what is served"):
        serving._pins([text], names)


def test_the_levels_of_the_access_log_are_those_of_the_settings() -> None:
    from pilotage.core.settings import AccessLogPolicy

    assert [level.value for level in serving.AccessLog] == [level.value for level in AccessLogPolicy]
