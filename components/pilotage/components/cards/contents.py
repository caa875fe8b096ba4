"""What a card is made of, before it is Markdown or a page, and what is known when one is made."""

from __future__ import annotations

from dataclasses import dataclass, field

from markupsafe import Markup

from pilotage.core.artifacts import Model, Report, Scorecard, Snapshot
from pilotage.core.specs import PilotSpec


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    tone: str = ""
    """`good`, `bad`, `soft`, or `gap` for what nobody said."""


@dataclass(frozen=True)
class Facts:
    """Terms with their values."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Listed:
    """A list."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """A table whose first column names the rows."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    pictures: tuple[Markup, ...] = ()
    """A small picture of each row's numbers, on pages only."""


@dataclass(frozen=True)
class Figure:
    """A picture whose numbers a table beside it tells; on pages only."""

    svg: Markup
    caption: str


Block = Text | Facts | Listed | Grid | Figure


@dataclass(frozen=True)
class Section:
    """One part of a card."""

    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Gap:
    """What a card should say and does not."""

    what: str
    remedy: str
    """What to do about it."""

    @property
    def text(self) -> str:
        return f"{self.what}: not stated – {self.remedy}"


@dataclass(frozen=True)
class Known:
    """All that a card is made from; what is None is not known yet, or not any more."""

    spec: PilotSpec
    scorecard: Scorecard
    model: Model | None
    snapshot: Snapshot | None
    report: Report | None
    version: int | None = None
    """None before it is registered."""
    decisions: tuple[tuple[str, str], ...] = ()
    """What was decided about the version by whom, as terms and values; only where there is one."""
    more: tuple[Section, ...] = ()
    """Sections that others make, such as what it costs."""
    missing: tuple[Gap, ...] = field(default=())
    """Of these sections."""


@dataclass(frozen=True)
class Card:
    """A whole card."""

    title: str
    lead: str
    passed: bool
    sections: tuple[Section, ...]
    gaps: tuple[Gap, ...]
