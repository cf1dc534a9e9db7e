"""Rows of the documents table: how documents become rows, which columns filters have, what a row must agree with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from vecrollback.catalog import now
from vecrollback.corpus.documents import canonical_json, content_hash, document_digest, is_filterable
from vecrollback.errors import BadDocumentError, DocumentExistsError
from vecrollback.records import Document, Json

_EXACT = 1 << 53  # whole numbers beyond it are no doubles: they are kept and returned, not filtered on
_MAX_FILTER_KEYS = 256
SYSTEM = ("id", "text", "metadata", "_seq", "_content_hash", "_digest", "_deleted", "_updated_at")
_TYPES: dict[type, pa.DataType] = {bool: pa.bool_(), int: pa.float64(), float: pa.float64(), str: pa.string()}


def new_columns(schema: pa.Schema, documents: Sequence[Document]) -> dict[str, pa.DataType]:
    """Filterable keys of these documents that the table has no column for. Raises BadDocumentError."""
    known = {field.name: field.type for field in schema}
    fresh: dict[str, pa.DataType] = {}
    for document in documents:
        for key, value in _filterable(document.metadata).items():
            wanted = _TYPES[type(value)]
            if known.setdefault(key, wanted) != wanted:
                raise _type_conflict(document.id, key, value, known[key])
            if key not in schema.names:
                fresh[key] = wanted
    if len(known) - len(SYSTEM) > _MAX_FILTER_KEYS:
        raise BadDocumentError(
            f"more than {_MAX_FILTER_KEYS} different metadata keys with plain values",
            hint="put keys that vary from document to document inside one nested object",
        )
    return fresh


def parse_metadata(text: str) -> dict[str, Json]:
    return dict(json.loads(text)) if text != "{}" else {}


def _filterable(metadata: Mapping[str, Json]) -> dict[str, Json]:
    plain = {key: value for key, value in metadata.items() if type(value) in _TYPES and is_filterable(key)}
    return {key: value for key, value in plain.items() if type(value) is not int or abs(value) <= _EXACT}


def rows_of(changes: Sequence[tuple[Document, bool]], *, first_seq: int, schema: pa.Schema) -> pa.Table:
    documents = [document for document, _ in changes]
    at = now()
    columns: dict[str, list[Any]] = {
        "id": [d.id for d in documents],
        "text": [d.text for d in documents],
        "metadata": [canonical_json(d.metadata) for d in documents],
        "_seq": list(range(first_seq, first_seq + len(changes))),
        "_content_hash": [content_hash(d.text) for d in documents],
        "_digest": [document_digest(d) for d in documents],
        "_deleted": [deleted for _, deleted in changes],
        "_updated_at": [at] * len(changes),
    }
    plain = [_filterable(d.metadata) for d in documents]
    for field in schema:
        if field.name not in columns:
            columns[field.name] = [values.get(field.name) for values in plain]
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in schema}, schema=schema)


def is_sound(row: Mapping[str, Any]) -> bool:
    """Whether a row holds the document whose digest it has, and that document's values in the columns of filters."""
    try:
        document = Document(row["id"], row["text"], parse_metadata(row["metadata"]))
        if row["_digest"] != document_digest(document) or row["_content_hash"] != content_hash(row["text"]):
            return False
    except ValueError:
        return False
    values = _filterable(document.metadata)
    return all(row[name] == values.get(name) for name in row if name not in SYSTEM)


def stored_rows(dataset: Any, ids: Sequence[str]) -> dict[str, tuple[bytes, bool]]:
    """Id -> (digest, deleted) of those ids the table knows."""
    if not ids or not dataset.count_rows():
        return {}
    found = dataset.to_table(columns=["id", "_digest", "_deleted"], filter=any_of(ids))
    triples = zip(*(found[name].to_pylist() for name in ("id", "_digest", "_deleted")), strict=True)
    return {id_: (digest, deleted) for id_, digest, deleted in triples}


def any_of(ids: Sequence[str]) -> str:
    quoted = ", ".join("'" + i.replace("'", "''") + "'" for i in ids)
    return f"id IN ({quoted})"


def already_there(ids: Sequence[str]) -> DocumentExistsError:
    more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
    return DocumentExistsError(
        f"documents exist already: {', '.join(map(repr, ids[:5]))}{more}",
        hint="nothing was written; leave `if_absent` out to replace them, or 'skip' them",
    )


def _type_conflict(id_: str, key: str, value: Json, known: pa.DataType) -> BadDocumentError:
    kind = {"double": "numbers", "string": "strings", "bool": "true or false"}.get(str(known), str(known))
    return BadDocumentError(
        f"document {id_!r}: metadata {key!r} is {value!r}, but other documents hold {kind} there",
        hint=f"write {key!r} the same way in every document, or put it inside a nested object",
    )
