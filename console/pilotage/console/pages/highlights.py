"""Python and YAML with their words told apart by colour; everything else about a text stays, escaped."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_MOST = 200_000
"""Characters; a longer text is shown without colours."""
_STRING = r"(?P<string>'''[\s\S]*?'''|\"\"\"[\s\S]*?\"\"\"|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\")"
_NUMBER = r"(?P<number>(?<![\w.])-?\d[\d_.]*(?:e[+-]?\d+)?\b)"
_PYTHON = re.compile(
    rf"(?P<comment>#[^\n]*)|{_STRING}|(?P<word>\b(?:and|as|assert|async|await|break|class|continue|def|del|elif"
    r"|else|except|False|finally|for|from|global|if|import|in|is|lambda|None|nonlocal|not|or|pass|raise|return"
    rf"|True|try|while|with|yield)\b)|{_NUMBER}"
)
_YAML = re.compile(
    rf"(?P<comment>(?:^|(?<=\s))#[^\n]*)|(?P<word>(?m:^)[ ]*(?:- )?[\w-]+(?=:(?:\s|$)))|{_STRING}|{_NUMBER}",
    re.MULTILINE,
)


def of(name: str, text: str) -> Markup:
    """HTML of a file's text; by its name in Python or YAML."""
    if len(text) > _MOST:
        return escape(text)
    pattern, parts, end = _PYTHON if name.endswith(".py") else _YAML, [], 0
    for match in pattern.finditer(text):
        parts.append(escape(text[end : match.start()]))
        parts.append(Markup('<span class="code-{}">{}</span>').format(match.lastgroup, match[0]))
        end = match.end()
    return Markup("").join([*parts, escape(text[end:])])
