"""What README and the pages of docs/ promise: README is short, and what they name is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
README_WORDS = 900
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "models" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
NAMED = re.compile(
    r"`((?:hrd|docs|models|tests|tools|scripts|systemd|docker|constraints)/[\w./*-]+)`"
)
"""A file or folder of the repository, in backticks."""


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """Without blocks of code, in which no link is a link."""
    return re.sub(r"^```.*?^```$", "", text_of(page), flags=re.S | re.M)


def links(page: Path) -> Iterator[Tuple[str, str]]:
    """(file, heading) of each link that stays in the repository; either may be empty."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if not re.match(r"[a-z]+:", target):
            file, _, heading = target.partition("#")
            yield file, heading


def headings(page: Path) -> List[str]:
    """As they are linked to: in small letters, hyphens for spaces, no punctuation."""
    found = re.findall(r"^#+ (.+)$", prose_of(page), flags=re.M)
    return [re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in found]


def ids(pages: List[Path]) -> List[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


def test_readme_is_short() -> None:
    assert len(text_of(PAGES[0]).split()) <= README_WORDS


def test_readme_leads_to_every_page() -> None:
    named = {file for file, _ in links(PAGES[0])}
    assert set(ids(PAGES[1:])) <= named


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    for file, heading in links(page):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), file
        assert not heading or heading in headings(target), f"{file}#{heading}"


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_files_that_are_named_exist(page: Path) -> None:
    for name in NAMED.findall(prose_of(page)):
        assert list(ROOT.glob(name.rstrip("/"))), name
