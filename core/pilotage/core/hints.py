"""Words for mistakes: the nearest valid name for one that is not known."""

from __future__ import annotations

import difflib


def unknown(what: str, value: str, valid: list[str]) -> str:
    """A sentence that says `value` is not known and names the nearest valid ones."""
    near = difflib.get_close_matches(value, valid, n=1, cutoff=0.5)
    near = near or [name for name in valid if value and value in name][:1]
    hint = f"did you mean `{near[0]}`?" if near else f"valid are {', '.join(valid)}"
    return f"`{value}` is not a known {what}; {hint}"
