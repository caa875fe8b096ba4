"""How the plots of the benchmarks look: Okabe and Ito's colours, one style, files without dates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

BLUE, ORANGE, GREY, SKY, GREEN, RED, PURPLE = (
    "#0072B2", "#E69F00", "#999999", "#56B4E9", "#009E73", "#D55E00", "#CC79A7"
)  # fmt: skip
STYLE: Any = {
    "font.size": 10.0, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "pilotage",
    "svg.fonttype": "none", "axes.titlesize": 11.0,
}  # fmt: skip
Drawn = dict[str, list[tuple[str, str]]]
"""Scenario → titles and file names of its plots."""


def save(figure: Figure, file: Path) -> None:
    """Write an SVG file that is the same for the same figures."""
    figure.savefig(file, metadata={"Date": None}, bbox_inches="tight")
