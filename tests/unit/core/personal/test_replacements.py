"""What takes the place of personal data, with which secret, and what pilot.yaml may say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pilotage.core import errors, settings
from pilotage.core.personal import keys
from pilotage.core.personal.replacements import Replacer
from pilotage.core.specs import Data, Personal

KEY = "5b1f0c9d7e3a48269f60d2c4b8a1e753"


def replacer(personal: dict[str, Any], key: str = KEY) -> Replacer:
    made = Replacer.of(Personal.model_validate(personal), settings.load(personal_key=key))
    assert made is not None
    return made


def test_columns_are_replaced_whole_and_kinds_where_they_are_found() -> None:
    made = replacer(
        {
            "columns": {"mail": "hash", "name": "mask"},
            "kinds": {"phone": "mask", "iban": "hash", "email": "drop"},
        }
    )
    assert made.text("name", "Jane") == "***"
    assert made.text("mail", "jane@mail.example") == keys.digest(KEY.encode(), "jane@mail.example")
    assert made.text("note", "call 555-123-4567 now") == "call <phone> now"
    iban = keys.digest(KEY.encode(), "DE89370400440532013000")
    assert made.text("note", "to DE89370400440532013000") == f"to {iban}"
    assert made.text("note", "write to jane@mail.example") is None
    assert made.text("note", None) is None
    assert made.text("note", "nothing") == "nothing"


def test_columns_of_numbers_are_the_same_arrays() -> None:
    made = replacer({"columns": {"mail": "hash"}})
    columns = {"mail": np.array(["a", None], dtype=object), "age": np.array([1.0, 2.0])}
    found = made.columns(columns)
    assert found["age"] is columns["age"]
    assert found["mail"].tolist() == [keys.digest(KEY.encode(), "a"), None]


def test_hashes_are_the_same_for_the_same_secret_and_no_other() -> None:
    first, again, other = (
        replacer({"columns": {"a": "hash", "b": "hash"}}, key) for key in (KEY, KEY, KEY[::-1])
    )
    assert first.text("a", "x") == again.text("a", "x") == first.text("b", "x"), "joins across columns work"
    assert first.text("a", "x") != other.text("a", "x")
    assert first.mark != other.mark
    assert KEY not in (first.mark or "")


@pytest.mark.parametrize(
    "secret",
    ["", "short", "changemechangeme", "secretsecretsecret", "aaaaaaaaaaaaaaaaaaaaaaaa", "password-password"],
)
def test_a_secret_that_is_not_there_or_easy_to_guess_is_refused(secret: str) -> None:
    with pytest.raises(errors.SettingsError, match="PILOTAGE_PERSONAL_KEY") as caught:
        replacer({"columns": {"a": "hash"}}, secret)
    assert secret == "" or secret not in str(caught.value)


def test_masking_needs_no_secret() -> None:
    assert replacer({"columns": {"a": "mask"}}, "").text("a", "x") == "***"


def test_another_secret_than_that_of_training_is_refused() -> None:
    personal = Personal.model_validate({"columns": {"a": "hash"}})
    with pytest.raises(errors.SettingsError, match="not the secret"):
        Replacer.of(personal, settings.load(personal_key=KEY), keys.mark(KEY[::-1].encode()))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"personal": {"columns": {"a": "keep"}}}, "needs a reason"),
        ({"personal": {"columns": {"a": {"policy": "keep", "reason": " "}}}}, "needs a reason"),
        ({"personal": {"columns": {"y": "hash"}}}, "`y` is the target"),
        ({"personal": {"columns": {"t": "mask"}}, "time": "t"}, "`t` is the time"),
        ({"personal": {"columns": {"k": "mask"}}, "key": "k"}, "`k` is the key"),
        ({"personal": {"columns": {"a": "drop"}}, "features": {"a": "category"}}, "drops it"),
        ({"personal": {"kinds": {"person_name": "mask"}}}, "cannot be told from values"),
        ({"personal": {"columns": {"a": "blur"}}}, "mask"),
        ({"augment": {"classes": {"a": 0.6, "b": 0.5}}}, "add up to 1.1"),
        ({"augment": {"classes": {"a": 0.3}, "rows": 5}}, "says one of"),
        ({"augment": {"rows": 0}}, "says one of"),
    ],
)
def test_what_protects_nobody_is_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Data.model_validate({"source": "a.csv", "target": "y", **data})


def test_a_key_may_be_hashed_and_a_target_kept(tmp_path: Path) -> None:
    data = Data.model_validate(
        {
            "source": "a.csv", "target": "y", "key": "k", "retention": "90d",
            "personal": {"columns": {"k": "hash", "y": {"policy": "keep", "reason": "what is predicted"}}},
        }
    )  # fmt: skip
    stored = Replacer.of_ids(data, settings.load(personal_key=KEY))
    assert stored("17") == keys.digest(KEY.encode(), "17")
    again = Data.model_validate_json(data.model_dump_json())
    assert again == data
