"""What became of a column's categories: new ones, lost ones, and old ones in another spelling.

A new category is claimed where it makes up a share worth a word and too many rows for a
rare one to have escaped the reference; a spelling where it differs from a known category
by case, blanks or leading zeros alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from pilotage.core.artifacts import Change, ChangeKind

LEAST_ROWS = 10
LEAST_SHARE = 0.01
LEAST_LOST = 0.02
"""Share in the reference of a category whose absence is worth a word."""
CERTAIN = 1e-8
MOST_NAMED = 3

_SPELLINGS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("blanks", lambda text: " ".join(text.split())),
    ("capitals", lambda text: text.casefold()),
    ("leading zeros", lambda text: text.lstrip("0") or "0"),
    ("a decimal point", lambda text: text.removesuffix(".0")),
    ("blanks, capitals or punctuation", lambda text: "".join(filter(str.isalnum, text.casefold()))),
)


def changes(feature: str, before: list[str], after: list[str]) -> list[Change]:
    """What changed between two non-empty lists of categories."""
    known, found = Counter(before), Counter(after)
    new = Counter({value: count for value, count in found.items() if value not in known})
    respelt = _respelt(feature, known, new, len(after))
    told = {value for _, values in respelt for value in values}
    rest = Counter({value: count for value, count in new.items() if value not in told})
    lost = None if respelt else _lost(feature, known, found, len(before), len(after))
    others = [_new(feature, rest, len(before), len(after)), lost]
    return [*(change for change, _ in respelt), *(change for change in others if change)]


def _respelt(
    feature: str, known: Counter[str], new: Counter[str], rows: int
) -> list[tuple[Change, dict[str, str]]]:
    """A change for each way of spelling, with the new spellings and what they stand for."""
    changes, told = [], set[str]()
    for words, rule in _SPELLINGS:
        plain: dict[str, list[str]] = {}
        for value in known:
            plain.setdefault(rule(value), []).append(value)
        pairs = {
            value: plain[rule(value)][0]
            for value in new
            if value not in told and rule(value) and len(plain.get(rule(value), ())) == 1
        }
        count = sum(new[value] for value in pairs)
        if count < LEAST_ROWS or count < LEAST_SHARE * rows:
            continue
        told |= pairs.keys()
        shown = sorted(pairs, key=lambda value: (-new[value], value))[:MOST_NAMED]
        examples = ", ".join(f"`{value}` for `{pairs[value]}`" for value in shown)
        change = Change(
            feature=feature,
            kind=ChangeKind.SPELLING,
            message=f"{count / rows:.1%} of rows spell a known category with other {words}: {examples}.",
            strength=count / rows,
        )
        changes.append((change, pairs))
    return changes


def _new(feature: str, new: Counter[str], reference: int, rows: int) -> Change | None:
    """Those that the reference would have held if they had been as frequent there."""
    frequent = {
        value: count
        for value, count in new.items()
        if count >= LEAST_ROWS and count >= LEAST_SHARE * rows and (1 - count / rows) ** reference <= CERTAIN
    }
    if not frequent:
        return None
    total = sum(frequent.values())
    return Change(
        feature=feature,
        kind=ChangeKind.NEW_CATEGORY,
        message=f"{total / rows:.1%} of rows have categories unknown before: {_list(frequent, rows)}.",
        strength=total / rows,
    )


def _lost(feature: str, known: Counter[str], found: Counter[str], reference: int, rows: int) -> Change | None:
    lost = {
        value: count
        for value, count in known.items()
        if value not in found
        and count >= LEAST_LOST * reference
        and (1 - count / reference) ** rows <= CERTAIN
    }
    if not lost:
        return None
    total = sum(lost.values())
    return Change(
        feature=feature,
        kind=ChangeKind.LOST_CATEGORY,
        message=f"Categories of {total / reference:.1%} of the reference are gone: {_list(lost, reference)}.",
        strength=total / reference,
    )


def _list(counts: dict[str, int], rows: int) -> str:
    shown = sorted(counts, key=lambda value: (-counts[value], value))
    named = ", ".join(f"`{value}` ({counts[value] / rows:.1%})" for value in shown[:MOST_NAMED])
    return f"{named} and {len(shown) - MOST_NAMED} more" if len(shown) > MOST_NAMED else named
