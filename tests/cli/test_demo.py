"""`demo`: its exit code, and its documents.

Covers cli.demo_story.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import vecrollback.errors
from tests.cli.support import cli
from vecrollback.corpus.formats import read_documents
from vecrollback.records import Document


def test_demo_gives_its_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Path | None, bool]] = []

    def run_demo(*, keep: Path | None, as_json: bool) -> int:
        calls.append((keep, as_json))
        return 1

    monkeypatch.setitem(sys.modules, "vecrollback.cli.demo_story", SimpleNamespace(run_demo=run_demo))
    assert cli("demo", "--keep", tmp_path, "--json").exit_code == 1
    assert calls == [(tmp_path, True)]


_DATA = Path(vecrollback.errors.__file__).parent / "cli" / "demo_story" / "data"


def _corpus() -> dict[str, Document]:
    rows = list(read_documents(_DATA / "corpus.jsonl"))
    assert [row.error for row in rows if row.error] == []
    return {row.document.id: row.document for row in rows if row.document}


def _raws(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (_DATA / name).read_bytes().splitlines()]


def _qrels() -> list[dict[str, str]]:
    with (_DATA / "qrels.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_demo_corpus_has_sixteen_sections_of_near_neighbours() -> None:
    corpus = _corpus()
    sections = Counter(document.metadata["section"] for document in corpus.values())
    assert len(corpus) == 240
    assert set(sections.values()) == {15}
    assert len({document.text for document in corpus.values()}) == 240
    assert all(40 <= len(document.text.split()) <= 90 for document in corpus.values())


def test_every_demo_query_has_an_answer_in_the_corpus() -> None:
    queries = [row["id"] for row in _raws("queries.jsonl")]
    assert len(set(queries)) == 60
    assert {row["query-id"] for row in _qrels()} == set(queries)
    assert {row["corpus-id"] for row in _qrels()} <= _corpus().keys()


def test_demo_changes_fit_the_corpus_and_delete_no_answer() -> None:
    corpus = _corpus()
    raws = _raws("changes.jsonl")
    assert Counter(raw["op"] for raw in raws) == {"update": 22, "add": 12, "delete": 8}
    assert len({raw["id"] for raw in raws}) == len(raws)
    assert all((raw["id"] in corpus) == (raw["op"] != "add") for raw in raws)
    rows = list(read_documents(_DATA / "changes.jsonl", changes=True))
    assert [row.error for row in rows if row.error] == []
    assert not {row.delete for row in rows} & {row["corpus-id"] for row in _qrels()}
    updated = [row.document for row in rows if row.document and row.document.id in corpus]
    assert all(document.text != corpus[document.id].text for document in updated)
