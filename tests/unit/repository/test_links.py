"""Every guide is in the index, and links between pages lead to files that are there."""

from __future__ import annotations

import re
from pathlib import Path

LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def test_the_index_lists_every_guide(repository: Path) -> None:
    docs = repository / "docs"
    listed = set(LINK.findall((docs / "README.md").read_text("utf-8")))
    guides = {path.name for path in docs.glob("*.md")} - {"README.md"}
    assert guides - listed == set()


def test_the_list_of_decisions_is_complete(repository: Path) -> None:
    folder = repository / "docs" / "adr"
    listed = set(LINK.findall((folder / "README.md").read_text("utf-8")))
    assert {path.name for path in folder.glob("0*.md")} - listed == set()


def test_links_between_pages_lead_to_files(repository: Path) -> None:
    pages = [*repository.glob("*.md"), *(repository / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(repository)}: {link}"
        for page in pages
        for link in LINK.findall(re.sub(r"(?s)```.*?```", "", page.read_text("utf-8")))
        if not (page.parent / link).exists()
    ]
    assert broken == []
