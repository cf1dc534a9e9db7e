"""What applications keep in JSON: Haystack's store in memory, exports of databases.

haystack:FILE         InMemoryDocumentStore.save_to_disk
json:FILE             one JSON document with a list of rows in it: exports of Pinecone, Weaviate, Chroma, Qdrant
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from vecrollback.connectors.base import Connector, OpenOptions, ends_in, file_of
from vecrollback.connectors.listed import ListedRows, is_vector, split_rows
from vecrollback.errors import UsageError

_LISTS = ("documents", "vectors", "matches", "objects", "points", "result", "results", "rows", "data", "hits", "items")
_DEEP = 4


def read_json(path: Path, place: str) -> Any:
    """A JSON file, packed or not. Raises UsageError."""
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            return json.loads(stream.read())
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = "there is no such file" if not path.exists() else f"it is not JSON: {error}"
        raise UsageError(f"{place}: {reason}", hint="name the file that the application wrote") from error


def row_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One row of an export: Elasticsearch's `_source` in its place, the default one of Weaviate's named vectors."""
    row = dict(entry)
    if isinstance(source := row.pop("_source", None), Mapping):
        row = {**source, **{name: value for name, value in row.items() if name == "_id"}}
    vectors = row.get("vectors", row.get("vector"))
    if isinstance(vectors, Mapping) and vectors:
        dense = {name: value for name, value in vectors.items() if is_vector(value)}
        row.pop("vectors", None)
        row["vector"] = dense.get("default", next(iter(dense.values()), None))
    return row


class HaystackKind:
    """`haystack:FILE`."""

    form, texts_beside = "haystack:FILE", False

    def claims(self, _place: str) -> bool:
        return False

    def open(self, place: str, options: OpenOptions) -> Connector:
        path = file_of(place, "haystack")
        content = read_json(path, f"haystack:{path}")
        documents = content.get("documents") if isinstance(content, Mapping) else None
        if not isinstance(documents, list):
            raise UsageError(f"haystack:{path}: there are no documents", hint="what save_to_disk wrote")
        records, vectors, _ = split_rows(documents, options.vector or "embedding", f"haystack:{path}")
        names = ("id", "content", "meta")
        kept = [{name: record[name] for name in names if record.get(name) is not None} for record in records]
        function = (content.get("init_parameters") or {}).get("embedding_similarity_function")
        return ListedRows(f"haystack:{path}", kept, vectors, metric="dot" if function == "dot_product" else "cosine")


class JsonKind:
    """`json:FILE`, or a file that ends in `.json`."""

    form, texts_beside = "json:FILE", False

    def claims(self, place: str) -> bool:
        return ends_in(place.removesuffix(".gz"), ".json")

    def open(self, place: str, options: OpenOptions) -> Connector:
        path = file_of(place, "json")
        shown = f"json:{path}"
        content = read_json(path, shown)
        rows = _columns(content) or _rows(content)
        if not rows:
            raise UsageError(f"{shown}: no list of rows was found in it", hint="a list of objects, a vector in each")
        records, vectors, field = split_rows([row_of(row) for row in rows], options.vector, shown)
        return ListedRows(shown, records, vectors, facts={"vector_field": field})


def _rows(content: Any, depth: int = 0) -> list[Mapping[str, Any]]:
    """The list of rows in a document: itself, or under one of the usual names. Of Pinecone's a dict by id, too."""
    if isinstance(content, list):
        return [row for row in content if isinstance(row, Mapping)]
    if not isinstance(content, Mapping) or depth > _DEEP:
        return []
    for name in _LISTS:
        inner = content.get(name)
        if isinstance(inner, Mapping) and inner and all(isinstance(one, Mapping) for one in inner.values()):
            rows: list[Mapping[str, Any]] = [{"id": id_, **one} for id_, one in inner.items()]
            if any(is_vector(one.get("values")) for one in rows):
                return rows
        if found := _rows(inner, depth + 1):
            return found
    return []


def _columns(content: Any) -> list[Mapping[str, Any]]:
    """What `collection.get(include=...)` of Chroma gives: a list for each field."""
    if not isinstance(content, Mapping) or not isinstance(content.get("ids"), Sequence):
        return []
    names = {"ids": "id", "embeddings": "vector", "documents": "document", "metadatas": "metadata"}
    fields = {new: content[old] for old, new in names.items() if isinstance(content.get(old), list)}
    if "vector" not in fields or len({len(column) for column in fields.values()}) != 1:
        return []
    return [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]
