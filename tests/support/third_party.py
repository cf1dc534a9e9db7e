"""Packages of other authors, as `pip install` leaves them: importlib.metadata finds their entry points, here and in
workers. Those of the how-to pages are the ones to test with, so that what the pages show is what works.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

_PAGES = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "extend"
_FILE = re.compile(r"^cat > (\S+) <<'EOF'\n(.*?)^EOF$", re.MULTILINE | re.DOTALL)
_TOML = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)

Points = Mapping[str, Mapping[str, str]]


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **points: Mapping[str, str]) -> None:
    """Put a distribution on the path; `points`: by the group's last word, names and what they lead to.

    `install(tmp_path, monkeypatch, embedders={"voyage": "tests.support.voyage:open_voyage"})`
    """
    register(folder, {f"vecrollback.{group}": named for group, named in points.items()})
    monkeypatch.syspath_prepend(str(folder))


def install_page(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the package that a how-to page writes on the path: its files, and the entry points of its pyproject.toml."""
    write_page(name, folder)
    monkeypatch.syspath_prepend(str(folder))


def write_page(name: str, folder: Path) -> None:
    """The same in a folder that somebody else puts on a path."""
    page = (_PAGES / f"{name}.md").read_text(encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in _FILE.findall(page):
        (folder / file).write_text(content, encoding="utf-8")
    for toml in _TOML.findall(page):
        register_project(folder, toml)


def register_project(folder: Path, toml: str) -> None:
    """What installing a project of this pyproject.toml would leave; nothing where it names no entry points."""
    points = tomllib.loads(toml).get("project", {}).get("entry-points")
    if points:
        register(folder, points)


def register(folder: Path, points: Points) -> None:
    """Write the metadata of a distribution with these entry points, by group and name."""
    metadata = folder / "third_party-1.0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n", encoding="utf-8")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in named.items())
        for group, named in points.items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
