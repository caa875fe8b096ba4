"""Personal data is told from numbers, dates and versions that look like it."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.core.personal import checksums, patterns
from pilotage.core.specs import PersonalKind

FOUND = {
    "jane.doe+x@mail.example.org": PersonalKind.EMAIL,
    "müller@beispiel.de": PersonalKind.EMAIL,
    "jürgen.o'brien@example.org": PersonalKind.EMAIL,
    "+49 (0)30 123456": PersonalKind.PHONE,
    "0049 30 1234567": PersonalKind.PHONE,
    "555-123-4567": PersonalKind.PHONE,
    "0171 1234567": PersonalKind.PHONE,
    "DE89 3704 0044 0532 0130 00": PersonalKind.IBAN,
    "gb82west12345698765432": PersonalKind.IBAN,
    "4111 1111 1111 1111": PersonalKind.CREDIT_CARD,
    "371449635398431": PersonalKind.CREDIT_CARD,
    "192.168.1.20": PersonalKind.IP_ADDRESS,
    "2001:db8::ff00:42:8329": PersonalKind.IP_ADDRESS,
    "123-45-6789": PersonalKind.NATIONAL_ID,
    "12345678Z": PersonalKind.NATIONAL_ID,
    "X1234567L": PersonalKind.NATIONAL_ID,
    "RSSMRA85T10A562S": PersonalKind.NATIONAL_ID,
    "131052-308T": PersonalKind.NATIONAL_ID,
    "111.444.777-35": PersonalKind.NATIONAL_ID,
    "85.07.30-033.28": PersonalKind.NATIONAL_ID,
    "811228-9874": PersonalKind.NATIONAL_ID,
    "44051401359": PersonalKind.NATIONAL_ID,
    "943 476 5919": PersonalKind.NATIONAL_ID,
}
NOTHING = (
    "2024-01-05", "01-02-2024", "2024-01-05T12:30:45Z", "12:30:45", "3.14159265358979", "1.2.3.4.5", "N14228",
    "1234567890", "4111 1111 1111 1112", "DE89370400440532013001", "12345678A", "000-12-3456", "@home",
    "a@b", "0.0042117693", "-12.0093412345",
    "0.0.0.0", "127.0.0.1", "00000000-0000-0000-0000-000000000000", "EWR", "", "9999999999999999",
)  # fmt: skip


@pytest.mark.parametrize(("text", "kind"), FOUND.items(), ids=FOUND)
def test_personal_data_is_found_alone_and_among_words(text: str, kind: PersonalKind) -> None:
    assert [hit.kind for hit in patterns.find(text)] == [kind]
    if not re.fullmatch(r"[\d ]+", text) or kind is PersonalKind.CREDIT_CARD:
        (hit,) = patterns.find(f"please note: {text} and so on")
        assert (hit.kind, f"please note: {text} and so on"[hit.start : hit.end]) == (kind, text)


@pytest.mark.parametrize("text", NOTHING)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert patterns.find(text) == []


@pytest.mark.parametrize("text", FOUND)
def test_the_prefilter_lets_all_of_it_through(text: str) -> None:
    assert re.search(patterns.PREFILTER, text)


@pytest.mark.parametrize("text", ["'a@x.org'", "name='a@x.org'", "{\"mail\": 'a@x.org'}"])
def test_apostrophes_around_an_address_are_none_of_it(text: str) -> None:
    assert [text[hit.start : hit.end] for hit in patterns.find(text)] == ["a@x.org"]


@given(st.text(alphabet="0123456789 .-:@+/()aZ", max_size=60))
def test_hits_lie_in_the_text_and_not_in_each_other(text: str) -> None:
    end = 0
    for hit in patterns.find(text):
        assert end <= hit.start < hit.end <= len(text)
        end = hit.end
    assert re.search(patterns.PREFILTER, text) or not patterns.find(text)


@pytest.mark.parametrize(
    "text",
    [
        "1" * 50_000,
        "0012345 " * 8_000,
        "a." * 20_000 + "@",
        "a'" * 20_000 + "@",
        "1:" * 20_000,
        "+1-" * 20_000,
    ],
)
def test_hostile_text_takes_no_longer_than_its_length_asks_for(text: str) -> None:
    began = time.process_time()
    patterns.find(text)
    assert time.process_time() - began < 20, "the time grows faster than the text"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("email", PersonalKind.EMAIL), ("customerEmail", PersonalKind.EMAIL),
        ("phone_number", PersonalKind.PHONE),
        ("first_name", PersonalKind.PERSON_NAME), ("date_of_birth", PersonalKind.BIRTH_DATE),
        ("ip", PersonalKind.IP_ADDRESS), ("name", None), ("carrier_name", None), ("ship", None),
    ],
)  # fmt: skip
def test_names_of_columns_are_hints(name: str, kind: PersonalKind | None) -> None:
    assert patterns.hinted(name) is kind


def test_a_message_shows_kinds_in_the_place_of_values() -> None:
    assert patterns.masked("from jane@mail.example, 192.168.1.20") == "from <email>, <ip_address>"


@given(st.integers(10**13, 10**14 - 1))
def test_one_digit_that_is_wrong_is_noticed(number: int) -> None:
    """Luhn's check finds every single wrong digit."""
    check = next(digit for digit in range(10) if checksums.luhn(f"{number}{digit}"))
    assert sum(checksums.luhn(f"{number}{digit}") for digit in range(10)) == 1
    assert not checksums.luhn(f"{number}{(check + 1) % 10}")


@pytest.mark.parametrize("place", range(22))
def test_an_iban_with_a_wrong_sign_is_none(place: int) -> None:
    iban = "DE89370400440532013000"
    other = "7" if iban[place] != "7" else "3"
    assert checksums.iban(iban)
    assert not checksums.iban(iban[:place] + other + iban[place + 1 :])
