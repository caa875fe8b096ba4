"""A card as Markdown and as one self-contained page; what is on it is not decided here."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from pilotage.components.cards import sections
from pilotage.components.cards.contents import Card, Known
from pilotage.core import storage
from pilotage.core.artifacts import Model, Report, Scorecard, Snapshot
from pilotage.core.specs import PilotSpec

MARKDOWN, PAGE = "card.md", Scorecard.CARD_FILE


def write(
    out: Path, spec: PilotSpec, snapshot: Snapshot, report: Report, model: Model, scorecard: Scorecard
) -> tuple[Path, Path]:
    """Write `card.md` and `card.html` in `out`, before there is a version; returns their paths."""
    card = sections.build(Known(spec, scorecard, model, snapshot, report))
    made = out / MARKDOWN, out / PAGE
    for path, text in zip(made, (markdown(card), page(card)), strict=True):
        storage.write_file(path, text.encode())
    return made


def markdown(card: Card) -> str:
    """The card as Markdown, in which nothing that came with the data is markup."""
    return (
        re.sub(r"\n{3,}", "\n\n", _environment().get_template("card.md.j2").render(card=card)).strip() + "\n"
    )


def page(card: Card) -> str:
    """The card as one HTML file that loads and runs nothing."""
    return _environment().get_template("card.html.j2").render(card=card)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pilotage.components"),
        autoescape=select_autoescape(("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(cell=cell)
    environment.tests.update({"of_kind": lambda block, kind: type(block).__name__ == kind})
    return environment


def cell(value: object) -> str:
    """Text that cannot break out of a line or a cell of a Markdown table."""
    text = re.sub(r"\s+", " ", str(value))
    return re.sub(r"([\\|`*_<\[\]#])", r"\\\1", text)
