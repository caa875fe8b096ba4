"""What personal data looks like in text: patterns, and check digits where there are any.

A run of bare digits may be right by chance (a tenth of all numbers pass one check digit), so it is
marked as weak; who looks at a whole column decides by the share. Names of people cannot be told by
patterns: `hinted` goes by the names of columns and is a hint, no more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pilotage.core.personal import checksums
from pilotage.core.specs.protections import PersonalKind

PREFILTER = r"@|::|:[0-9A-Fa-f]*:[0-9A-Fa-f]*:|(?:[0-9]\D?\D?\D?\D?\D?\D?){4}"
"""Text that does not match (in the syntax of RE2 too) holds nothing that `find` finds."""


class Hit(NamedTuple):
    """Personal data within a text."""

    kind: PersonalKind
    start: int
    end: int
    weak: bool
    """Digits and nothing else, so it may be right by chance."""


@dataclass(frozen=True)
class _Pattern:
    kind: PersonalKind
    expression: re.Pattern[str]
    right: Callable[[str], bool]
    whole: bool = False
    """Taken only where it is all of the text."""
    needs: str = ""
    """A character without which it is not there."""
    least: int = 0
    """Digits without which it is not there."""


def _any(_: str) -> bool:
    return True


def _pattern(
    kind: PersonalKind,
    expression: str,
    right: Callable[[str], bool] = _any,
    *,
    whole: bool = False,
    needs: str = "",
    least: int = 0,
) -> _Pattern:
    return _Pattern(kind, re.compile(expression, re.IGNORECASE | re.ASCII), right, whole, needs, least)


_ID = PersonalKind.NATIONAL_ID
_DAY, _MONTH = r"(?:0[1-9]|[12]\d|3[01])", r"(?:0[1-9]|1[0-2])"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_LOCAL = r"[^\s@<>()\[\],;:\"']{1,64}"
"""Of an address, between apostrophes: those of names are part of it, those around it are not."""
_PATTERNS = (
    _pattern(
        PersonalKind.EMAIL,
        rf"(?<![\w.+%-]){_LOCAL}(?:(?<!=)'{_LOCAL}){{0,2}}@(?:[a-z0-9-]{{1,63}}\.){{1,8}}[a-z]{{2,24}}(?![\w-])",
        needs="@",
    ),
    _pattern(PersonalKind.IBAN, r"(?<!\w)[a-z]{2}\d{2} ?(?:[a-z0-9]{4} ?){2,7}[a-z0-9]{0,3}(?!\w)", least=8),
    _pattern(
        PersonalKind.CREDIT_CARD, r"(?<![\w.+-])(?:\d[ -]?){12,18}\d(?![\w-])", checksums.card, least=13
    ),
    _pattern(
        PersonalKind.IP_ADDRESS,
        rf"(?<![\w.])(?:{_OCTET}\.){{3}}{_OCTET}(?![\w.]*\d)",
        checksums.address,
        needs=".",
    ),
    _pattern(
        PersonalKind.IP_ADDRESS,
        r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])",
        checksums.address,
        needs=":",
    ),
    _pattern(_ID, r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])", needs="-"),  # USA
    _pattern(_ID, r"(?<!\w)(?:\d{8}|[xyz]\d{7})-?[a-z](?!\w)", checksums.spanish, least=7),
    _pattern(
        _ID, r"(?<!\w)[a-z]{6}\d{2}[abcdehlmprst]\d{2}[a-z]\d{3}[a-z](?!\w)", checksums.italian, least=7
    ),
    _pattern(
        _ID,
        r"(?<![\w-])[12] \d\d (?:0[1-9]|1[0-2]|[2-9]\d) \d\d \d{3} \d{3} \d\d(?![\w-])",
        checksums.french,
        least=15,
    ),
    _pattern(_ID, rf"(?<!\w){_DAY}{_MONTH}\d\d[-+a-f]\d{{3}}[0-9a-y](?!\w)", checksums.finnish, least=9),
    _pattern(
        _ID,
        r"(?<![\w-])(?:\d\d)?\d{6}[-+]\d{4}(?![\w-])",
        lambda text: checksums.swedish(text[-11:]),
        least=10,
    ),
    _pattern(_ID, r"(?<![\w.-])\d{3}\.\d{3}\.\d{3}-\d{2}(?![\w-])", checksums.brazilian, least=11),
    _pattern(_ID, r"(?<![\w.-])\d\d\.\d\d\.\d\d-\d{3}\.\d\d(?![\w-])", checksums.belgian, least=11),
    _pattern(_ID, r"\d{9}", checksums.dutch, whole=True),
    _pattern(_ID, r"\d{3} ?\d{3} ?\d{4}", checksums.british, whole=True),
    _pattern(_ID, r"\d{11}", lambda text: checksums.german(text) or checksums.polish(text), whole=True),
    _pattern(_ID, r"[12]\d{14}", checksums.french, whole=True),
    _pattern(
        PersonalKind.PHONE,
        r"(?<![\w+.])(?:\+|00)[1-9](?:[ ./()-]{0,2}\d){6,14}(?!\w)",
        checksums.phone,
        least=8,
    ),
    _pattern(
        PersonalKind.PHONE,
        r"(?<![\w.-])(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])",
        checksums.phone,
        least=10,
    ),
    _pattern(
        PersonalKind.PHONE,
        r"(?<![\w.-])\(?0\d{2,5}\)?[ /-]\d{3,8}(?:[ -]\d{1,5}){0,3}(?![\w-])",
        checksums.phone,
        least=8,
    ),
)
"""Those before go before: no hit lies within another."""
_HINTS = {
    PersonalKind.EMAIL: r"e?_?mail(_?addr(ess)?)?$",
    PersonalKind.PHONE: r"(phone|telephone|mobile|msisdn|telefon|handy|fax)(_?(no|num|number|nr))?$",
    PersonalKind.IBAN: r"iban$",
    PersonalKind.CREDIT_CARD: r"(credit_?card|card_?(no|num|number)|pan)$",
    PersonalKind.IP_ADDRESS: r"(ip|ip_?addr(ess)?|client_?ip|remote_?addr)$",
    PersonalKind.NATIONAL_ID: r"(ssn|social_?security(_?(no|number))?|national_?id"
    r"|passport(_?(no|number))?|tax_?id|steuer_?id|bsn|nif|dni|nie|pesel|cpf|codice_?fiscale|personnummer|hetu)$",
    PersonalKind.PERSON_NAME: r"((first|last|full|given|family|middle|maiden|sur)_?name"
    r"|(person|customer|patient|user|employee)_?name|vorname|nachname|nom|prenom|apellidos?)$",
    PersonalKind.ADDRESS: r"((home|street|postal|mailing|billing|shipping)_?addr(ess)?"
    r"|address(_?line_?\d)?|street|strasse)$",
    PersonalKind.BIRTH_DATE: r"(birth_?(date|day)|date_?of_?birth|dob|geburtsdatum)$",
}
_NAMED = {kind: re.compile(rf"(^|.*[_\W]){text}", re.IGNORECASE) for kind, text in _HINTS.items()}
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_BARE = re.compile(r"\d+")
_DIGIT = re.compile(r"[0-9]")


def find(text: str) -> list[Hit]:
    """Personal data in `text`, from left to right, none inside another."""
    hits: list[Hit] = []
    digits = len(_DIGIT.findall(text))
    for pattern in _PATTERNS:
        if digits < pattern.least or pattern.needs not in text:
            continue
        for start, end in _places(pattern, text):
            if all(end <= hit.start or start >= hit.end for hit in hits):
                weak = _BARE.fullmatch(text, start, end) is not None
                hits.append(Hit(pattern.kind, start, end, weak))
    return sorted(hits, key=lambda hit: hit.start)


def _places(pattern: _Pattern, text: str) -> Iterator[tuple[int, int]]:
    if pattern.whole:
        plain = text.strip()
        if pattern.expression.fullmatch(plain) and pattern.right(plain):
            start = text.index(plain)
            yield start, start + len(plain)
        return
    for found in pattern.expression.finditer(text):
        if pattern.kind is PersonalKind.IBAN:
            end = _iban_end(found[0])
            if end:
                yield found.start(), found.start() + end
        elif pattern.right(found[0]):
            yield found.span()


def _iban_end(text: str) -> int:
    """How many characters of `text` are an IBAN, which words may follow; 0 when none are."""
    wanted, seen = checksums.IBAN_LENGTHS.get(text[:2].upper(), 0), 0
    for place, sign in enumerate(text):
        seen += sign != " "
        if seen == wanted:
            follows = text[place + 1 : place + 2]
            return place + 1 if follows in ("", " ") and checksums.iban(text[: place + 1]) else 0
    return 0


def masked(text: str) -> str:
    """`text` as messages may show it: what is found in it replaced by the name of its kind."""
    for hit in reversed(find(text)):
        text = f"{text[: hit.start]}<{hit.kind}>{text[hit.end :]}"
    return text


def hinted(column: str) -> PersonalKind | None:
    """What a column of this name is likely to hold; None when its name tells nothing."""
    name = _CAMEL.sub("_", column)
    return next((kind for kind, expression in _NAMED.items() if expression.fullmatch(name)), None)
