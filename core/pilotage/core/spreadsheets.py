"""Texts that a spreadsheet would calculate with when it opens a CSV file, and what keeps it from that.

As OWASP advises on CSV injection, a cell that begins like a formula gets an apostrophe in front. Quotes
around it would not help, for they are gone before the spreadsheet looks. Numbers stay as they are, also
where they are texts, such as a key `-5`.
"""

from __future__ import annotations

import re

BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What formulas begin with, or what is taken off before them; the last four are `=+-@` in full width."""
FORMULA = r"^[ \x{a0}]*[=+\-@\t\r\n\x{0}\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}]"
"""For RE2, which Arrow searches with."""
NUMBER = r"^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_NUMBER = re.compile(NUMBER + r"\Z", re.ASCII)


def cell(text: str) -> str:
    """The text as a cell that no spreadsheet calculates with."""
    formula = text.lstrip(" \xa0").startswith(BEGINNINGS) and not _NUMBER.match(text)
    return f"'{text}" if formula else text
