"""The documents table: what its columns hold, how a document becomes a row, and how rows are found and read.

Plain metadata values are columns too, which makes filters quick: strings, booleans and numbers (as doubles), each key
in the type that its first document had. What a column cannot hold (a value of another type, a list, an integer beyond
2^53) is null there and stands in `metadata`, where a filter looks for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vecrollback.catalog import now
from vecrollback.corpus.documents import canonical_json, content_hash, document_digest
from vecrollback.errors import CorruptArtifactError, DocumentExistsError
from vecrollback.records import Document, Json, key_parts, shown_key
from vecrollback.storage.reading import MEND_TABLE

EMBEDDED_TEXT = "_embedded_text"
"""What the model gets in place of the text; a column only where a document ever had one."""
SOURCE = "_source"
"""What a document was adopted from, until somebody writes it here; a column only where one was adopted."""
DOCUMENT = ("id", "text", "metadata", EMBEDDED_TEXT)
"""What a document is read from; see `document_of`."""

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False, metadata={"lance-schema:unenforced-primary-key": "true"}),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("metadata", pa.string(), nullable=False),
        pa.field("_seq", pa.int64(), nullable=False),
        pa.field("_content_hash", pa.binary(16), nullable=False),
        pa.field("_digest", pa.binary(16), nullable=False),
        pa.field("_deleted", pa.bool_(), nullable=False),
        pa.field("_updated_at", pa.string(), nullable=False),
    ]
)
_SYSTEM = {*SCHEMA.names, EMBEDDED_TEXT, SOURCE}
_TYPES: dict[type, pa.DataType] = {bool: pa.bool_(), int: pa.float64(), float: pa.float64(), str: pa.string()}
_EXACT = 1 << 53  # whole numbers beyond it are no doubles
_MAX_KEYS = 256
_MAX_KEY_CHARACTERS = 100


def column_name(key: str) -> str:
    """The column of a metadata key: its own name where that is plain, else one made of its bytes."""
    plain = key.isidentifier() and not key.startswith("_") and key not in _SYSTEM
    return key if plain else f"_key_{key.encode().hex()}"


def new_columns(schema: pa.Schema, documents: Sequence[Document], *, source: str | None = None) -> list[pa.Field]:
    """Columns that these documents need and the table has not, up to a limit: keys past it are found in `metadata`."""
    fresh: dict[str, pa.DataType] = {}
    room = _MAX_KEYS - len(set(schema.names) - _SYSTEM)
    for document in documents:
        for key, value in document.metadata.items():
            if type(value) in _TYPES and len(key) <= _MAX_KEY_CHARACTERS and len(fresh) < room:
                name = column_name(key)
                if name not in schema.names:
                    fresh.setdefault(name, _TYPES[type(value)])
    fields = [pa.field(name, type_) for name, type_ in fresh.items()]
    if EMBEDDED_TEXT not in schema.names and any(document.embedded_text is not None for document in documents):
        fields.append(pa.field(EMBEDDED_TEXT, pa.large_string()))
    if source is not None and SOURCE not in schema.names:
        fields.append(pa.field(SOURCE, pa.string()))
    return fields


def table_rows(
    changes: Sequence[tuple[Document, bool]], *, first_seq: int, schema: pa.Schema, source: str | None = None
) -> pa.Table:
    """Rows of these documents, each with whether it was deleted, numbered from `first_seq`."""
    documents = [document for document, _ in changes]
    at = now()
    columns: dict[str, list[Any]] = {
        "id": [d.key for d in documents],
        "text": [d.text for d in documents],
        "metadata": [canonical_json(d.metadata) for d in documents],
        "_seq": list(range(first_seq, first_seq + len(changes))),
        "_content_hash": [content_hash(d.text_for_model) for d in documents],
        "_digest": [document_digest(d) for d in documents],
        "_deleted": [deleted for _, deleted in changes],
        "_updated_at": [at] * len(changes),
        EMBEDDED_TEXT: [d.embedded_text for d in documents],
        SOURCE: [source] * len(changes),
    }
    plain = [_plain_values(d.metadata, schema) for d in documents]
    for field in schema:
        if field.name not in columns:
            columns[field.name] = [values.get(field.name) for values in plain]
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in schema}, schema=schema)


def document_of(row: Mapping[str, Any]) -> Document:
    """The document of a row with the columns of DOCUMENT. Raises ValueError."""
    namespace, id_ = key_parts(row["id"])
    return Document(id_, row["text"], parse_metadata(row["metadata"]), namespace, row.get(EMBEDDED_TEXT))


def sound_document(row: Mapping[str, Any]) -> Document | None:
    """The document that a row holds, if it is the one whose digests the row has."""
    try:
        document = document_of(row)
        if row["_digest"] != document_digest(document) or row["_content_hash"] != content_hash(document.text_for_model):
            return None
    except (ValueError, CorruptArtifactError):
        return None
    return document


def sound_row(row: Mapping[str, Any], schema: pa.Schema) -> bool:
    """Whether a row holds the document whose digest it has, and that document's values in the columns of filters."""
    document = sound_document(row)
    if document is None:
        return False
    values = _plain_values(document.metadata, schema)
    return all(row[name] == values.get(name) for name in row if name not in _SYSTEM)


_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # the stubs leave it out


def parse_metadata(text: str) -> dict[str, Json]:
    """The metadata of a stored document. Raises CorruptArtifactError for bytes that are no longer what was written."""
    if text == "{}":
        return {}
    try:
        # Every hit of every query comes here, and `json.loads` takes half of its time to look for blanks around it.
        value, end = _scan(text, 0)
        return value if end == len(text) and type(value) is dict else dict(json.loads(text))
    except StopIteration:
        raise CorruptArtifactError("the metadata of a document is damaged: it is not JSON", hint=MEND_TABLE) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise CorruptArtifactError(f"the metadata of a document is damaged: {error}", hint=MEND_TABLE) from error


Stored = dict[str, tuple[bytes, bool]]
"""Key -> (digest, deleted) of documents that the table knows."""


def stored_rows(dataset: Any, keys: Sequence[str]) -> Stored:
    """Key -> (digest, deleted) of those documents that the table knows."""
    if not keys or not dataset.count_rows():
        return {}
    found = dataset.to_table(columns=["id", "_digest", "_deleted"], filter=any_of(keys))
    triples = zip(*(found[name].to_pylist() for name in ("id", "_digest", "_deleted")), strict=True)
    return {key: (digest, deleted) for key, digest, deleted in triples}


def changed_since(dataset: Any, keys: Sequence[str], seq: int) -> set[str]:
    """Those of these documents that were written or deleted after a change."""
    if not keys:
        return set()
    return set(dataset.to_table(columns=["id"], filter=f"{any_of(keys)} AND _seq > {int(seq)}")["id"].to_pylist())


def sources_of(dataset: Any, keys: Sequence[str]) -> dict[str, str]:
    """Key -> what a document was adopted from, of those that nobody has written here since."""
    if not keys or SOURCE not in dataset.schema.names:
        return {}
    found = dataset.to_table(columns=["id", SOURCE], filter=f"{any_of(keys)} AND {SOURCE} IS NOT NULL")
    return dict(zip(found["id"].to_pylist(), found[SOURCE].to_pylist(), strict=True))


def any_of(keys: Sequence[str]) -> str:
    """The condition of Lance for these documents."""
    quoted = ", ".join("'" + one.replace("'", "''") + "'" for one in keys)
    return f"id IN ({quoted})"


def columns_there(dataset: Any, columns: Sequence[str]) -> list[str]:
    """Those of the columns that the table has; texts for the model may be in none."""
    return [name for name in columns if name != EMBEDDED_TEXT or name in dataset.schema.names]


def texts_for_model(rows: pa.Table) -> pa.ChunkedArray:
    """What the vectors of these rows are made from."""
    if EMBEDDED_TEXT not in rows.column_names:
        return rows["text"]
    return pc.coalesce(rows[EMBEDDED_TEXT], rows["text"])


def without_text(key: str) -> Document:
    """A document that is gone, of which only the key stays."""
    namespace, id_ = key_parts(key)
    return Document(id_, "", namespace=namespace)


def already_there(keys: Sequence[str]) -> DocumentExistsError:
    """The error of a write that was to write new documents only."""
    more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
    return DocumentExistsError(
        f"documents exist already: {', '.join(shown_key(one) for one in keys[:5])}{more}",
        hint="nothing was written; leave `if_absent` out to replace them, or 'skip' them",
    )


def _plain_values(metadata: Mapping[str, Json], schema: pa.Schema) -> dict[str, Json]:
    """What stands in the columns of filters, by column."""
    values: dict[str, Json] = {}
    for key, value in metadata.items():
        name, type_ = column_name(key), _TYPES.get(type(value))
        place = schema.get_field_index(name) if type_ is not None else -1
        if place >= 0 and schema.field(place).type == type_ and (type(value) is not int or abs(value) <= _EXACT):
            values[name] = value
    return values
