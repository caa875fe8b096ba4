"""Regular expressions of Python on columns of text.

A pattern of which Rust's engine means the same is translated to it; any other
runs in Python's engine, once for each different text of a batch. What differs
between the engines and is translated: `$` before a final line break, `\\w`,
and `\\s`, which in Python has four control characters more.
"""

from __future__ import annotations

import re

import polars as pl

from pilotage.components.validation.tables import Uncompiled

_SPACES = r"\s\x1c-\x1f"
_WORDS = r"\p{L}\p{N}_"
_TOKEN = re.compile(
    r"""
    (?P<class>\[\^?(?:[^\]\[\\&~|#^-]|\\[dws.\-+*?()\[\]{}^$|/@:]|-(?!-))+\])
    | (?P<escape>\\[dws.\-+*?()\[\]{}^$|/@:\\])
    | (?P<open>\((?:\?:)?(?!\?))
    | (?P<close>\)) | (?P<or>\|)
    | (?P<repeat>[*+?]|\{\d{1,3}(?:,\d{0,3})?\}) (?P<lazy>\??) (?![*+?{])
    | (?P<plain>[^\\\[\](){}*+?|^$\n#])
    | (?P<sharp>\#)
    """,
    re.VERBOSE,
)


def found(values: pl.Expr, pattern: str) -> pl.Expr:
    """Whether `pattern` is found anywhere in each text.

    Raises:
        Uncompiled: it is no regular expression; Great Expectations says why.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise Uncompiled(f"pattern {pattern}") from error
    rust = translate(pattern)
    if rust is not None:
        return values.str.contains(rust)

    def search(batch: pl.Series) -> pl.Series:
        texts = batch.unique().drop_nulls()
        hits = [compiled.search(text) is not None for text in texts]
        return batch.replace_strict(
            texts, pl.Series(hits, dtype=pl.Boolean), default=None, return_dtype=pl.Boolean
        )

    return values.map_batches(search, return_dtype=pl.Boolean, is_elementwise=True)


def translate(pattern: str) -> str | None:
    """The same pattern for Rust's engine, or None where that is not certain."""
    rest, head = pattern, ""
    if rest.startswith("(?s)"):
        rest, head = rest[4:], "(?s)"
    if rest.startswith("^"):
        rest, head = rest[1:], head + r"\A"
        if _has_choice(rest):
            return None
    tail = ""
    if rest.endswith("$") and not rest.endswith(r"\$"):
        rest, tail = rest[:-1], r"(?:\n?\z)"
        if _has_choice(rest):
            return None
    body = _translated(rest)
    if body is None:
        return None
    rust = head + body + tail
    try:
        pl.Series([""]).str.contains(rust)
    except pl.exceptions.ComputeError:
        return None
    return rust


def _has_choice(rest: str) -> bool:
    """Whether there may be alternatives outside of groups, so that an anchor belongs to one of them only."""
    depth = 0
    for letter in re.sub(r"\\.|\[[^\]]*\]", "", rest):
        depth += (letter == "(") - (letter == ")")
        if letter == "|" and depth == 0:
            return True
    return False


def _translated(rest: str) -> str | None:
    parts, place, repeatable = [], 0, False
    while place < len(rest):
        token = _TOKEN.match(rest, place)
        if token is None or (token["repeat"] and not repeatable):
            return None
        text = token[0]
        if token["class"]:
            text = text.replace(r"\s", _SPACES).replace(r"\w", _WORDS)
        elif text == r"\s":
            text = f"[{_SPACES}]"
        elif text == r"\w":
            text = f"[{_WORDS}]"
        elif token["sharp"]:
            text = r"\x23"
        repeatable = not (token["open"] or token["or"] or token["repeat"])
        parts.append(text)
        place = token.end()
    return "".join(parts)
