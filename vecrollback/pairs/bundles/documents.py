"""Documents as a member: one JSON object per line, as `vecrollback ingest` takes them too."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from vecrollback.corpus.documents import MAX_METADATA_BYTES, MAX_TEXT_BYTES, content_hash, validate
from vecrollback.errors import BadDocumentError, CorruptArtifactError
from vecrollback.pairs.bundles.contents import DOCUMENTS, refuse
from vecrollback.records import Document

COLUMNS = ["id", "text", "metadata", "_seq", "_content_hash"]
_FIELDS = ("id", "text", "metadata", "seq", "content_hash")
_BATCH_DOCUMENTS = 1_000
# Characters are bounded beside documents: a thousand of the longest would fill the memory.
_BATCH_CHARACTERS = 32 << 20
_ESCAPED = 6
"""Bytes that JSON may need for one."""
_MAX_LINE = _ESCAPED * (MAX_TEXT_BYTES + MAX_METADATA_BYTES + (64 << 10))


def encode(batch: pa.RecordBatch) -> Iterator[bytes]:
    """Lines of `documents.jsonl` for rows of the corpus, of COLUMNS. Raises CorruptArtifactError."""
    for id_, text, metadata, seq, digest in zip(*(batch[name].to_pylist() for name in COLUMNS), strict=True):
        if content_hash(text) != digest:
            raise CorruptArtifactError(
                f"the text of document {id_!r} was changed outside of vecrollback", hint="upsert the document again"
            )
        values = (id_, text, json.loads(metadata), seq, digest.hex())
        yield json.dumps(dict(zip(_FIELDS, values, strict=True)), ensure_ascii=False).encode() + b"\n"


def read_documents(path: Path) -> Iterator[list[Document]]:
    """Batches of the documents of an unpacked bundle, each one valid. Raises BundleError."""
    batch: list[Document] = []
    characters, ids = 0, set[str]()
    with path.open("rb") as stream:
        for number in itertools.count(1):
            # Bounded, so that a file without line ends cannot fill the memory; a cut line is not valid JSON.
            line = stream.readline(_MAX_LINE)
            if not line:
                break
            batch.append(_decode(line, number))
            characters += len(batch[-1].text)
            if batch[-1].id in ids:
                refuse(f"{DOCUMENTS}:{number}: document {batch[-1].id!r} stands in it twice")
            ids.add(batch[-1].id)
            if len(batch) >= _BATCH_DOCUMENTS or characters >= _BATCH_CHARACTERS:
                yield batch
                batch, characters = [], 0
    if batch:
        yield batch


def stand_ins(documents: Sequence[Document]) -> dict[tuple[str, type], Document]:
    """One document for every metadata key and the type of its value: enough to ask whether all of them fit."""
    return {
        (key, type(value)): Document(d.id, "", {key: value}) for d in documents for key, value in d.metadata.items()
    }


def _decode(line: bytes, number: int) -> Document:
    where = f"{DOCUMENTS}:{number}"
    try:
        body: Any = json.loads(line)
        if not isinstance(body, dict) or body.keys() != set(_FIELDS):
            refuse(f"{where} is not a valid document")
        document = validate(Document(body["id"], body["text"], body["metadata"]))
    except (ValueError, RecursionError, BadDocumentError) as error:
        refuse(f"{where}: {str(error)[:200]}")
    if content_hash(document.text).hex() != body["content_hash"]:
        refuse(f"{where}: the text of {document.id!r} is not the one its vectors were made from")
    return document
