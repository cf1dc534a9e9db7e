"""The architecture page is about this tree: its paths exist, all rooms are on it, its questions have answers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_PAGE = (_ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
_PATH = re.compile(r"`((?:vecrollback|tests|docs|scripts|benchmarks)/[\w./-]+)`")
_QUESTIONS = (
    "Where is the pointer moved?",
    "Where are deletes masked?",
    "How do I add an index kind?",
    "How do I add an embedder?",
    "How do I add a command?",
    "Where are HTTP roles checked?",
    "Where do I change the certificate's maths?",
    "How do I add a migration?",
    "Where is a job resumed?",
    "Where is a trigger evaluated?",
)


@pytest.mark.parametrize(
    ("page", "least"),
    [
        ("docs/architecture.md", 50),
        ("CONTRIBUTING.md", 2),
        ("SECURITY.md", 10),
        ("docs/how-to/extend/README.md", 9),
        ("docs/how-to/extend/embedder.md", 1),
        ("docs/how-to/extend/index-kind.md", 1),
        ("docs/how-to/extend/connector.md", 1),
        ("docs/how-to/extend/backend.md", 2),
        ("docs/how-to/extend/engine.md", 2),
        ("docs/how-to/extend/reranker.md", 1),
        ("docs/how-to/extend/command.md", 4),
        ("docs/how-to/extend/migration.md", 5),
        ("docs/how-to/extend/metric.md", 5),
        ("docs/releasing.md", 1),
    ],
)
def test_every_path_on_the_page_exists(page: str, least: int) -> None:
    paths = [p for p in _PATH.findall((_ROOT / page).read_text(encoding="utf-8")) if not re.search("NAME|NNNN", p)]
    assert len(paths) >= least
    assert not [path for path in paths if not (_ROOT / path).exists()]


@pytest.mark.parametrize("question", _QUESTIONS)
def test_a_question_is_answered_by_a_path(question: str) -> None:
    rows = [line for line in _PAGE.splitlines() if line.startswith(f"| {question} |")]
    assert len(rows) == 1
    paths = _PATH.findall(rows[0])
    assert paths
    assert all((_ROOT / path).exists() for path in paths)


def test_every_room_is_on_the_page() -> None:
    table = _PAGE.split("## The rooms")[1].split("## The walk of a document")[0]
    described = set(re.findall(r"^\| `vecrollback/(\w+)/`", table, re.MULTILINE))
    rooms = {folder.parent.name for folder in (_ROOT / "vecrollback").glob("*/__init__.py")}
    assert described == rooms


def test_every_room_has_a_place_in_the_picture() -> None:
    picture = _PAGE.split("## Six layers")[1].split("```")[1]
    rooms = {folder.parent.name for folder in (_ROOT / "vecrollback").glob("*/__init__.py")}
    assert not [room for room in sorted(rooms) if not re.search(rf"\b{room}\b", picture)]
