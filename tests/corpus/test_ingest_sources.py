"""From the fields of a row to a document or a change, and back again through every format.

Covers corpus.ingest.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.shared_data import shared
from tests.support.source_files import documents, jsonl, one, write
from vecrollback.corpus.documents import make_document
from vecrollback.corpus.formats import Row, read_documents
from vecrollback.records import Document

# Fields


@pytest.mark.parametrize(
    ("raw", "document"),
    [
        ({"id": "a", "text": "t"}, Document("a", "t")),
        ({"_id": "a", "text": "t"}, Document("a", "t")),
        ({"id": "a", "_id": "b", "text": "t"}, Document("a", "t", {"_id": "b"})),
        ({"id": 7, "text": "t"}, Document("7", "t")),
        ({"id": -7, "text": ""}, Document("-7", "")),
        ({"id": "a", "title": "T", "text": "t", "year": 2020}, Document("a", "T\nt", {"title": "T", "year": 2020})),
        ({"id": "a", "title": "", "text": "t"}, Document("a", "t", {"title": ""})),
        ({"id": "a", "title": None, "text": "t"}, Document("a", "t", {"title": None})),
        (
            {"id": "a", "text": "t", "metadata": {"x": {"y": [1]}}, "z": 2},
            Document("a", "t", {"x": {"y": [1]}, "z": 2}),
        ),
        ({"id": "a", "text": "t", "x": 1, "metadata": {"x": 2}}, Document("a", "t", {"x": 2})),
        (
            {"id": "a", "text": "t", "metadata": {"title": "T", "id": "b"}},
            Document("a", "t", {"title": "T", "id": "b"}),
        ),
        ({"id": "a", "text": "t", "metadata": "words"}, Document("a", "t", {"metadata": "words"})),
        ({"id": "a", "text": "t", "op": "sum"}, Document("a", "t", {"op": "sum"})),
    ],
)
def test_fields_become_a_document(tmp_path: Path, raw: dict[str, Any], document: Document) -> None:
    assert one(jsonl(tmp_path / "a.jsonl", [raw])) == Row(1, document=document)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"text": "t"}, "field 'id', which holds the id, is missing"),
        ({"id": "a"}, "document 'a': field 'text', which holds the text, is missing"),
        ({"id": True, "text": "t"}, "the id is a bool"),
        ({"id": 1.0, "text": "t"}, "the id is a float"),
        ({"id": ["a"], "text": "t"}, "the id is a list"),
        ({"id": None, "text": "t"}, "the id is a NoneType"),
        ({"id": "", "text": "t"}, "the id is blank"),
        ({"id": "a", "text": None}, "the text is a NoneType"),
        ({"id": "a", "text": "t\0"}, "the text holds a NUL"),
        ({"id": "a", "text": "\ud800"}, "lone surrogate"),
        ({"id": "a", "text": "t", "x": float("nan")}, "metadata['x'] is nan"),
    ],
)
def test_row_that_is_no_document_says_why(tmp_path: Path, raw: dict[str, Any], reason: str) -> None:
    row = one(jsonl(tmp_path / "a.jsonl", [raw]))
    assert row.document is None
    assert row.error is not None
    assert reason in row.error


def test_named_fields_stand_alone(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"url": "u", "id": 5, "title": "T", "body": "b", "text": "short"}])
    expected = Document("u", "b", {"id": 5, "title": "T", "text": "short"})
    assert documents(path, id_field="url", text_field="body") == [expected]


def test_missing_named_field_is_that_rows_error(tmp_path: Path) -> None:
    row = one(jsonl(tmp_path / "a.jsonl", [{"id": "a", "text": "t"}]), id_field="url")
    assert row.error == "field 'url', which holds the id, is missing"


# Changes


def test_changes_are_documents_and_deletes(tmp_path: Path) -> None:
    ops = ["add", "update", "upsert"]
    changes: list[dict[str, Any]] = [{"op": op, "id": op, "text": "t", "x": 1} for op in ops]
    path = jsonl(tmp_path / "a.jsonl", [*changes, {"op": "delete", "id": 9}, {"op": "delete", "_id": "b", "text": 0}])
    rows = list(read_documents(path, changes=True))
    assert [row.document for row in rows[:3]] == [Document(op, "t", {"x": 1}) for op in ops]
    assert [row.delete for row in rows[3:]] == ["9", "b"]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"id": "a", "text": "t"}, "the op is None, not one of add, update, upsert, delete"),
        ({"id": "a", "text": "t", "op": "Delete"}, "the op is 'Delete'"),
        ({"id": "a", "text": "t", "op": ["delete"]}, "the op is ['delete']"),
        ({"op": "delete"}, "field 'id', which holds the id, is missing"),
        ({"op": "delete", "id": ""}, "the id is blank"),
        ({"op": "delete", "id": False}, "the id is a bool"),
        ({"op": "update", "id": "a"}, "field 'text', which holds the text, is missing"),
    ],
)
def test_bad_change_says_why(tmp_path: Path, raw: dict[str, Any], reason: str) -> None:
    row = one(jsonl(tmp_path / "a.jsonl", [raw]), changes=True)
    assert row.document is None
    assert row.delete is None
    assert row.error is not None
    assert reason in row.error


def test_changes_come_from_csv_and_parquet_too(tmp_path: Path) -> None:
    text = write(tmp_path / "a.csv", "op,id\ndelete,a\n")
    pq.write_table(pa.table({"op": ["delete"], "_id": [3]}), tmp_path / "a.parquet")
    assert one(text, changes=True) == Row(2, delete="a")
    assert one(tmp_path / "a.parquet", changes=True) == Row(1, delete="3")


# There and back

_string = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
_ids = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=100).filter(
    lambda id: bool(id.strip())
)
_scalar = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _string
_json = st.recursive(_scalar, lambda inner: st.lists(inner) | st.dictionaries(_string, inner), max_leaves=6)
_anything = st.lists(st.builds(make_document, _ids, _string, st.dictionaries(_string, _json, max_size=3)))
_flat = st.fixed_dictionaries({}, optional={"topic": _string.filter(bool), "Größe": _string.filter(bool)})
_stringly = st.lists(st.builds(make_document, _ids, _string, _flat), min_size=1)
_typed = st.fixed_dictionaries(
    {},
    optional={
        "year": st.integers(-(2**63), 2**63 - 1),
        "score": st.floats(allow_nan=False, allow_infinity=False),
        "tags": st.lists(_string),
        "new": st.booleans(),
    },
)
_columns = st.lists(st.builds(make_document, _ids, _string, _typed), min_size=1)
_reuses_path = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
@_reuses_path
@given(stored=_anything)
def test_documents_survive_json_lines(tmp_path: Path, name: str, stored: list[Document]) -> None:
    raws = [{"id": d.id, "text": d.text, "metadata": d.metadata} for d in stored]
    path = write(tmp_path / name, "".join(json.dumps(raw, ensure_ascii=False) + "\n" for raw in raws))
    assert documents(path) == stored


@_reuses_path
@given(stored=_stringly)
def test_documents_survive_csv(tmp_path: Path, stored: list[Document]) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "text", "topic", "Größe"])
        writer.writeheader()
        writer.writerows({"id": d.id, "text": d.text, **d.metadata} for d in stored)
    assert documents(path) == stored


@_reuses_path
@given(stored=_columns)
def test_documents_survive_parquet(tmp_path: Path, stored: list[Document]) -> None:
    path = tmp_path / "a.parquet"
    tags = pa.list_(pa.string())
    types = {
        "id": pa.string(),
        "text": pa.string(),
        "year": pa.int64(),
        "score": pa.float64(),
        "tags": tags,
        "new": pa.bool_(),
    }
    raws = [{"id": d.id, "text": d.text, **d.metadata} for d in stored]
    pq.write_table(pa.Table.from_pylist(raws, schema=pa.schema(types)), path)
    assert documents(path) == stored


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
@_reuses_path
@given(content=st.binary())
def test_any_bytes_are_rows_or_a_named_error(tmp_path: Path, name: str, content: bytes) -> None:
    header = b"id,text\n" if name == "a.csv" else b""
    for row in read_documents(write(tmp_path / name, header + content)):
        assert sum(value is not None for value in (row.document, row.delete, row.error)) == 1


# Real files


@pytest.mark.parametrize(("name", "count"), [("debian/corpus.jsonl.gz", 63_436), ("scifact/corpus.jsonl", 5_183)])
def test_real_collection_is_read_whole(name: str, count: int) -> None:
    found = documents(shared(name))
    assert len(found) == count
    assert len({document.id for document in found}) == count
    assert all(document.text.startswith(document.metadata["title"]) for document in found)


def test_real_changes_are_read_whole() -> None:
    rows = list(read_documents(shared("debian/changes.bookworm-trixie.jsonl.gz"), changes=True))
    assert [row.error for row in rows if row.error] == []
    assert sum(row.delete is not None for row in rows) == 8_612
    assert sum(row.document is not None for row in rows) == 13_996 + 2_974
