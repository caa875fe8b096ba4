"""Check digits of account numbers, cards and national ids: what tells them from other numbers.

Each takes a text of the right shape and says whether its check digits are right.
"""

from __future__ import annotations

import ipaddress
from datetime import date

IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28,
    "IE": 22, "IL": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SE": 24,
    "SI": 19, "SK": 24, "SM": 27, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
"""Characters of an IBAN by country (ISO 13616)."""
_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21,
         2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip
"""Values of characters in odd places of an Italian codice fiscale."""


def digits(text: str) -> list[int]:
    """The digits of `text` in order."""
    return [int(sign) for sign in text if "0" <= sign <= "9"]


def iban(text: str) -> bool:
    """ISO 13616: the country's length, and 1 modulo 97."""
    plain = text.replace(" ", "").upper()
    if IBAN_LENGTHS.get(plain[:2]) != len(plain):
        return False
    return int("".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])) % 97 == 1


def luhn(text: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    total = 0
    for place, value in enumerate(reversed(digits(text))):
        doubled = value * 2 if place % 2 else value
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def card(text: str) -> bool:
    """A payment card: an issuer's prefix with its length, and Luhn's check digit."""
    number = "".join(map(str, digits(text)))
    size, two, four = len(number), int(number[:2]), int(number[:4])
    known = (
        (number[0] == "4" and size in (13, 16, 19))
        or (size == 16 and (51 <= two <= 55 or 2221 <= four <= 2720 or two in (35, 64, 65) or four == 6011))
        or (size == 15 and two in (34, 37))
        or (size == 14 and two in (30, 36, 38))
    )
    return known and luhn(number) and len(set(number)) > 1


def spanish(text: str) -> bool:
    """DNI and NIE: a letter by the number modulo 23."""
    plain = text.replace("-", "").upper()
    number = plain[:-1].translate(str.maketrans("XYZ", "012"))
    return _DNI[int(number) % 23] == plain[-1]


def italian(text: str) -> bool:
    """Codice fiscale: the last letter by values of odd and even places."""
    plain = text.upper()
    total = sum(
        _ODD[sign] if place % 2 == 0 else (int(sign) if sign.isdigit() else ord(sign) - 65)
        for place, sign in enumerate(plain[:15])
    )
    return chr(65 + total % 26) == plain[15]


def french(text: str) -> bool:
    """Numéro de sécurité sociale: 97 less the number modulo 97."""
    plain = "".join(map(str, digits(text)))
    return len(plain) == 15 and 97 - int(plain[:13]) % 97 == int(plain[13:])


def finnish(text: str) -> bool:
    """Henkilötunnus: a character by the nine digits modulo 31."""
    return _HETU[int(text[:6] + text[7:10]) % 31] == text[10].upper()


def swedish(text: str) -> bool:
    """Personnummer: a day of the year, and Luhn's check digit."""
    number = "".join(map(str, digits(text)))
    try:
        date(2000, int(number[2:4]), int(number[4:6]))
    except ValueError:
        return False
    return luhn(number)


def brazilian(text: str) -> bool:
    """CPF: two digits modulo 11."""
    number = digits(text)
    if len(number) != 11 or len(set(number)) == 1:
        return False
    for size in (9, 10):
        rest = sum(value * (size + 1 - place) for place, value in enumerate(number[:size])) * 10 % 11 % 10
        if rest != number[size]:
            return False
    return True


def belgian(text: str) -> bool:
    """Rijksregisternummer: 97 less the number modulo 97, with a 2 before it from 2000 on."""
    plain = "".join(map(str, digits(text)))
    return any(97 - int(century + plain[:9]) % 97 == int(plain[9:]) for century in ("", "2"))


def dutch(text: str) -> bool:
    """Burgerservicenummer: the test of eleven."""
    number = digits(text)
    weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
    total = sum(weight * value for weight, value in zip(weights, number, strict=True))
    return total % 11 == 0 and any(number)


def german(text: str) -> bool:
    """Steueridentifikationsnummer: ISO 7064, MOD 11,10; of its first ten digits one repeats."""
    number = digits(text)
    if number[0] == 0 or len(set(number[:10])) not in (8, 9):
        return False
    product = 10
    for value in number[:10]:
        total = (value + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == number[10]


def polish(text: str) -> bool:
    """PESEL: weights modulo 10, and a month that there is."""
    number = digits(text)
    month = (number[2] * 10 + number[3]) % 20
    total = sum(
        weight * value for weight, value in zip((1, 3, 7, 9, 1, 3, 7, 9, 1, 3), number[:10], strict=True)
    )
    return 1 <= month <= 12 and (10 - total % 10) % 10 == number[10]


def british(text: str) -> bool:
    """NHS number: weights modulo 11."""
    number = digits(text)
    check = 11 - sum((10 - place) * value for place, value in enumerate(number[:9])) % 11
    return check % 11 == number[9] and check != 10 and len(set(number)) > 1


def address(text: str) -> bool:
    """An IPv4 or IPv6 address with more in it than zeros."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (found.is_unspecified or found.is_loopback)


def phone(text: str) -> bool:
    """From 8 to 15 digits (ITU-T E.164), not all alike."""
    number = digits(text)
    return 8 <= len(number) <= 15 and len(set(number)) > 1
