"""Every relative link in a page of the repository leads to a file, and its anchor to a heading there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_BUILT = {".venv", "build", "dist", ".git", ".pytest_cache", "node_modules"}
_PAGES = sorted(p for p in _ROOT.rglob("*.md") if not _BUILT & set(p.relative_to(_ROOT).parts))
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def _links(text: str) -> list[str]:
    found = _LINK.findall(_CODE.sub("", text))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def _anchors(text: str) -> set[str]:
    """The names that hosts of repositories give to headings."""
    headings = _HEADING.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _broken(page: Path) -> list[str]:
    broken = []
    for link in _links(page.read_text(encoding="utf-8")):
        place, _, anchor = link.partition("#")
        target = page.parent / place if place else page
        if not target.exists() or (anchor and anchor not in _anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", _PAGES, ids=lambda p: str(p.relative_to(_ROOT)))
def test_every_link_on_the_page_leads_somewhere(page: Path) -> None:
    assert not _broken(page)


def test_broken_links_are_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# What is here?\n[a](gone.md) [b](#what-is-here) [c](#gone) `[d](e.md)` [f](https://example.org)\n"
    )
    assert _broken(page) == ["gone.md", "#gone"]


def test_every_page_is_reached_from_the_first() -> None:
    reached, left = set(), [_ROOT / "README.md"]
    while left:
        page = left.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            places = [link.partition("#")[0] for link in _links(page.read_text(encoding="utf-8"))]
            left += [(page.parent / place).resolve() for place in places if place]
    pages = [*(_ROOT / "docs").rglob("*.md"), *_ROOT.glob("*.md")]
    assert not [page.relative_to(_ROOT).as_posix() for page in pages if page not in reached]


def test_every_decision_is_in_the_list_of_decisions() -> None:
    folder = _ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert not [p.name for p in folder.glob("[0-9]*.md") if f"({p.name})" not in index]
