"""Draws the sequence diagram of docs/cluster-loop.md as SVG: `python -m tests.sequences`.

Knows as much of Mermaid as that diagram uses: participants, arrows, notes, and
alternatives. A test holds the committed picture against the text.
"""

from __future__ import annotations

import re
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "cluster-loop.md"
PICTURE = REPOSITORY / "docs" / "images" / "cluster-loop.svg"
COLUMN, MARGIN, HEAD, ROW = 148, 84, 64, 46
_PARTICIPANT = re.compile(r"participant (\w+) as (.+)")
_ARROW = re.compile(r"(\w+)-(-?)>>(\w+): (.+)")
_NOTE = re.compile(r"Note over (\w+): (.+)")
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1c2733 } .head { font-weight: 600 } .line { stroke: #9aa7b4 }
.box { fill: #eef3f8; stroke: #5b7083 } .note { fill: #fff6d9; stroke: #b59a3c }
.arrow { stroke: #24507a; fill: none } .frame { fill: none; stroke: #8a6fb0 }
.else { stroke: #8a6fb0; stroke-dasharray: 5 4 } .case { fill: #6a4c93; font-weight: 600 }
.number { fill: #24507a } .digit { fill: #fff; font-size: 11px; font-weight: 600 } .paper { fill: #fff }
"""


@dataclass
class Drawing:
    """Shapes so far, and how far down they go."""

    columns: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    shapes: list[str] = field(default_factory=list)
    frames: list[tuple[int, list[tuple[int, str]]]] = field(default_factory=list)
    y: int = HEAD + 40
    number: int = 0

    def read(self, line: str) -> None:
        """Draw what one line of the diagram says."""
        if line in ("sequenceDiagram", "autonumber", ""):
            return
        if found := _PARTICIPANT.fullmatch(line):
            self.columns[found[1]] = MARGIN + COLUMN * len(self.columns)
            self.names.append(found[2])
        elif found := _ARROW.fullmatch(line):
            self._arrow(found[1], found[3], found[4])
        elif found := _NOTE.fullmatch(line):
            self._note(found[1], found[2])
        elif line.startswith("alt "):
            self.frames.append((self.y - 14, [(self.y, line[4:])]))
            self.y += 26
        elif line.startswith("else "):
            self.frames[-1][1].append((self.y, line[5:]))
            self.y += 26
        elif line == "end":
            self._frame(*self.frames.pop())
        else:
            raise ValueError(f"no line of a diagram that can be drawn: {line!r}")

    def svg(self) -> str:
        """The picture."""
        width, height = MARGIN * 2 + COLUMN * (len(self.names) - 1), self.y + 20
        heads = [self._head(x, name) for x, name in zip(self.columns.values(), self.names, strict=True)]
        lines = [
            f'<line class="line" x1="{x}" y1="{HEAD}" x2="{x}" y2="{self.y}"/>' for x in self.columns.values()
        ]
        tip = '<marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8"'
        tip += ' markerHeight="8" orient="auto">'
        opened = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        parts = [
            f'{opened} role="img">',
            "<title>The loop in a cluster, from drift to a new champion</title>",
            f'<style>{_STYLE}</style><defs>{tip}<path d="M0 0L10 5L0 10z" fill="#24507a"/></marker></defs>',
            f'<rect class="paper" width="{width}" height="{height}"/>',
            *lines,
            *heads,
            *self.shapes,
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _head(self, x: int, name: str) -> str:
        words = textwrap.wrap(name, 16)
        box = f'<rect class="box" x="{x - 66}" y="12" width="132" height="{HEAD - 16}" rx="6"/>'
        first = 12 + (HEAD - 16) // 2 + 5 - 8 * (len(words) - 1)
        return box + "".join(
            f'<text class="head" text-anchor="middle" x="{x}" y="{first + 16 * number}">{escape(word)}</text>'
            for number, word in enumerate(words)
        )

    def _arrow(self, start: str, end: str, text: str) -> None:
        self.number += 1
        left, right = self.columns[start], self.columns[end]
        if left == right:
            path = f"M{left} {self.y} h34 v18 h-30"
            label, anchor = left + 42, "start"
        else:
            label, anchor = (left + right) // 2, "middle"
        lines = textwrap.wrap(text, max(20, abs(right - left) // 8)) if left != right else [text]
        self.y += 15 * max(len(lines) - 2, 0)
        if left != right:
            path = f"M{left} {self.y} L{right + (-3 if right > left else 3)} {self.y}"
        for count, words in enumerate(lines):
            up = self.y - 7 - 15 * (len(lines) - 1 - count) if left != right else self.y + 13
            self._text(label, up, words, anchor)
        self.shapes.append(f'<path class="arrow" d="{path}" marker-end="url(#tip)"/>')
        self.shapes.append(f'<circle class="number" cx="{left}" cy="{self.y}" r="9"/>')
        self.shapes.append(
            f'<text class="digit" text-anchor="middle" x="{left}" y="{self.y + 4}">{self.number}</text>'
        )
        self.y += ROW + (24 if left == right else 0)

    def _note(self, over: str, text: str) -> None:
        x, width = self.columns[over], 8 * len(text) + 16
        self.shapes.append(
            f'<rect class="note" x="{x - width // 2}" y="{self.y - 22}" width="{width}" height="28" rx="3"/>'
        )
        self._text(x, self.y - 4, text, "middle")
        self.y += ROW

    def _frame(self, top: int, cases: list[tuple[int, str]]) -> None:
        right = MARGIN + COLUMN * (len(self.names) - 1) + 72
        bottom = self.y - 24
        size = f'width="{right - 12}" height="{bottom - top + 6}"'
        self.shapes.append(f'<rect class="frame" x="12" y="{top - 6}" {size} rx="4"/>')
        for count, (y, text) in enumerate(cases):
            if count:
                self.shapes.append(f'<line class="else" x1="12" x2="{right}" y1="{y - 20}" y2="{y - 20}"/>')
            self._text(22, y - 3, f"[{text}]", "start", "case")
        self.y += 8

    def _text(self, x: int, y: int, text: str, anchor: str, kind: str = "") -> None:
        halo = f'paint-order="stroke" stroke="#fff" stroke-width="4" text-anchor="{anchor}"'
        named = f' class="{kind}"' if kind else ""
        self.shapes.append(f'<text{named} {halo} x="{x}" y="{y}">{escape(text)}</text>')


def draw(page: str) -> str:
    """The picture of a page's diagram."""
    block = re.search(r"```mermaid\n(.+?)```", page, re.DOTALL)
    if block is None:
        raise ValueError("the page has no diagram")
    drawing = Drawing()
    for line in block[1].splitlines():
        drawing.read(line.strip())
    return drawing.svg()


def main() -> int:
    """Write the picture."""
    PICTURE.write_text(draw(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PICTURE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
