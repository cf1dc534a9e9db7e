"""Queries with their right answers, read from the usual file formats.

==============================  ========================================================================================
queries.jsonl and qrels.tsv     BEIR: `_id`, `text` a line; `query-id corpus-id score` with a header
queries.jsonl and TREC qrels    `query-id 0 corpus-id grade`, no header
one JSONL                       `query` (or `text`), `expected`: {document: grade} or [document], `id`, `tags`; the last
                                three may be missing
==============================  ========================================================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from vecrollback.corpus.formats.lines import read_jsonl, read_lines
from vecrollback.corpus.formats.rows import ReadOptions
from vecrollback.errors import UsageError
from vecrollback.records import GoldenQuery, Json

Judgements = Mapping[str, Mapping[str, int]]
_HEADER = ["query-id", "corpus-id", "score"]


def read_queries(path: str | Path, qrels: str | Path | None = None) -> list[GoldenQuery]:
    """The queries of a file, with the judgements in it or in `qrels`, which win. `.gz` and `.zst` are unpacked.

    Raises UsageError, with file and line, for a line that is not a query, and for judgements of an unknown query.
    """
    source, queries = Path(path), dict[str, GoldenQuery]()
    for line, row in read_jsonl(source, ReadOptions()):
        query = _query(row, f"{source}:{line}")
        if query.id in queries:
            raise UsageError(f"{source}:{line}: the id {query.id!r} was there before", hint="give each query its own")
        queries[query.id] = query
    if not queries:
        raise UsageError(
            f"{source} does not hold a query", hint='one JSON object a line: {"query": "...", "expected": {}}'
        )
    if qrels is not None:
        judgements = read_qrels(Path(qrels))
        if not judgements.keys() & queries.keys():
            raise UsageError(f"{qrels} judges none of the queries of {source}", hint="do the ids belong together?")
        queries |= {id_: replace(queries[id_], expected=judgements[id_]) for id_ in judgements.keys() & queries.keys()}
    return list(queries.values())


def read_qrels(path: Path) -> Judgements:
    """Query id -> document id -> grade."""
    judgements: dict[str, dict[str, int]] = {}
    for line, cells in _cells(path):
        if line == 1 and cells == _HEADER:
            continue
        if len(cells) not in (3, 4):
            raise UsageError(f"{path}:{line}: {len(cells)} columns", hint="query-id, corpus-id, score; or TREC's four")
        query, document, grade = cells[0], cells[-2], cells[-1]
        judgements.setdefault(query, {})[document] = _grade(grade, f"{path}:{line}")
    return judgements


def query_id(text: str) -> str:
    """The id of a query that was given none: the same words get the same id."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def grades(expected: Json, where: str) -> dict[str, int]:
    """Expected documents as document id -> grade. Raises UsageError, which begins with `where`."""
    if isinstance(expected, list) and all(isinstance(id_, str) for id_ in expected):
        return dict.fromkeys(expected, 1)
    if isinstance(expected, Mapping):
        return {id_: _grade(grade, where) for id_, grade in expected.items()}
    raise UsageError(f"{where}: `expected` is {expected!r}", hint='{"document-id": grade}, or ["document-id"]')


def _query(row: dict[str, Json] | str, where: str) -> GoldenQuery:
    if isinstance(row, str):
        raise UsageError(f"{where}: {row}")
    text = row.get("query", row.get("text"))
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{where}: neither `query` nor `text` holds a text")
    id_, tags = row.get("_id", row.get("id", query_id(text))), row.get("tags", [])
    if not isinstance(id_, str | int) or not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise UsageError(f"{where}: `id` must be a string, `tags` a list of strings")
    return GoldenQuery(str(id_), text, grades(row.get("expected", {}), where), tuple(tags))


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(read_lines(path), start=1):
        if not line.isspace():
            text = line.decode(errors="replace").rstrip("\r\n")
            yield number, text.split("\t") if "\t" in text else text.split()


def _grade(grade: Json, where: str) -> int:
    try:
        value = int(grade)
    except (TypeError, ValueError):
        value = -1
    if value < 0 or isinstance(grade, bool) or (isinstance(grade, float) and grade != value):
        raise UsageError(
            f"{where}: {grade!r} is not a valid grade", hint="use a whole number: 0 for wrong, 1 or more for right"
        )
    return value
