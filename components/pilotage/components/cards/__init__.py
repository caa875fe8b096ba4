"""Model cards: what was measured and what people said of a model, for people.

Mitchell et al., "Model cards for model reporting" (2019), with a data sheet after Gebru et al.,
"Datasheets for datasets" (2021). `sections` says what is on a card, `rendering` writes it as
Markdown and as one page that loads nothing. Nothing is measured here, and what nobody said is named
as a gap.
"""

from __future__ import annotations

from pilotage.components.cards.contents import Card, Known
from pilotage.components.cards.rendering import MARKDOWN, PAGE, markdown, page, write
from pilotage.components.cards.sections import build

__all__ = ["MARKDOWN", "PAGE", "Card", "Known", "build", "markdown", "page", "write"]
