"""Documents as a member: one JSON object per line, as `vecrollback ingest` takes them too."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from vecrollback.corpus.columns import DOCUMENT, document_of
from vecrollback.corpus.documents import MAX_METADATA_BYTES, MAX_TEXT_BYTES, content_hash, validate
from vecrollback.errors import BadDocumentError, CorruptArtifactError
from vecrollback.pairs.bundles.contents import DOCUMENTS, refuse
from vecrollback.records import Document

COLUMNS = [*DOCUMENT, "_seq", "_content_hash"]
_FIELDS = ("id", "text", "metadata", "seq", "content_hash")
_OPTIONAL = ("namespace", "embedded_text")
_BATCH_DOCUMENTS = 1_000
# Characters are bounded beside documents: a thousand of the longest would fill the memory.
_BATCH_CHARACTERS = 32 << 20
_ESCAPED = 6
"""Bytes that JSON may need for one."""
_MAX_LINE = _ESCAPED * (2 * MAX_TEXT_BYTES + MAX_METADATA_BYTES + (64 << 10))


def encode(batch: pa.RecordBatch) -> Iterator[bytes]:
    """Lines of `documents.jsonl` for rows of the corpus, of COLUMNS. Raises CorruptArtifactError."""
    for row in batch.to_pylist():
        document = document_of(row)
        if content_hash(document.text_for_model) != row["_content_hash"]:
            raise CorruptArtifactError(
                f"the text of document {document.id!r} was changed outside of vecrollback",
                hint="upsert the document again",
            )
        values = (document.id, document.text, document.metadata, row["_seq"], row["_content_hash"].hex())
        body = dict(zip(_FIELDS, values, strict=True))
        # Only where a document has them: other bundles stay readable for older versions.
        more = {"namespace": document.namespace or None, "embedded_text": document.embedded_text}
        body |= {name: value for name, value in more.items() if value is not None}
        yield json.dumps(body, ensure_ascii=False).encode() + b"\n"


def read_documents(path: Path) -> Iterator[list[Document]]:
    """Batches of the documents of an unpacked bundle, each one valid. Raises BundleError."""
    batch: list[Document] = []
    characters, keys = 0, set[str]()
    with path.open("rb") as stream:
        for number in itertools.count(1):
            # Bounded, so that a file without line ends cannot fill the memory; a cut line is not valid JSON.
            line = stream.readline(_MAX_LINE)
            if not line:
                break
            batch.append(_decode(line, number))
            characters += len(batch[-1].text)
            if batch[-1].key in keys:
                refuse(f"{DOCUMENTS}:{number}: document {batch[-1].id!r} stands in it twice")
            keys.add(batch[-1].key)
            if len(batch) >= _BATCH_DOCUMENTS or characters >= _BATCH_CHARACTERS:
                yield batch
                batch, characters = [], 0
    if batch:
        yield batch


def _decode(line: bytes, number: int) -> Document:
    where = f"{DOCUMENTS}:{number}"
    try:
        body: Any = json.loads(line)
        if not isinstance(body, dict) or not set(_FIELDS) <= body.keys() <= {*_FIELDS, *_OPTIONAL}:
            refuse(f"{where} is not a valid document")
        more = {name: body[name] for name in _OPTIONAL if name in body}
        document = validate(Document(body["id"], body["text"], body["metadata"], **more))
    except (ValueError, RecursionError, BadDocumentError) as error:
        refuse(f"{where}: {str(error)[:200]}")
    if content_hash(document.text_for_model).hex() != body["content_hash"]:
        refuse(f"{where}: the text of {document.id!r} is not the one its vectors were made from")
    return document
