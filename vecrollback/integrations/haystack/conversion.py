"""Between Haystack's documents and the store's."""

from __future__ import annotations

import base64
from typing import Any

from haystack.dataclasses import ByteStream, SparseEmbedding
from haystack.dataclasses import Document as HaystackDocument

from vecrollback.integrations.backend import measure, origin_facts, relevance
from vecrollback.records import Document, Hit, Json, Result

REST = "_haystack"
"""The metadata key for what the store has no place for; a document that is read has no such key."""
FACTS = "vecrollback"


def to_store(document: HaystackDocument) -> Document:
    """A document as the store keeps it. Its embedding is left behind: each pair has vectors of its own model."""
    rest: dict[str, Json] = {}
    if document.content is None:
        rest["content"] = None
    if document.blob is not None:
        data = base64.b64encode(document.blob.data).decode()
        rest["blob"] = {"data": data, "meta": document.blob.meta, "mime_type": document.blob.mime_type}
    if document.sparse_embedding is not None:
        rest["sparse_embedding"] = document.sparse_embedding.to_dict()
    metadata = {**document.meta, **({REST: rest} if rest else {})}
    return Document(document.id, document.content or "", metadata)


def from_store(document: Document) -> HaystackDocument:
    """A document of the store, whole."""
    return _restored(document.id, document.text, dict(document.metadata))


def from_hit(hit: Hit, result: Result, *, scale_score: bool) -> HaystackDocument:
    """What was found, with its score; `meta["vecrollback"]` says which pair found it."""
    score = relevance(hit.score, measure(result)) if scale_score else hit.score
    return _restored(hit.id, hit.text, {**hit.metadata, FACTS: origin_facts(hit, result)}, score)


def _restored(id_: str, text: str, metadata: dict[str, Json], score: float | None = None) -> HaystackDocument:
    rest: dict[str, Any] = metadata.pop(REST, {})
    blob, sparse = rest.get("blob"), rest.get("sparse_embedding")
    return HaystackDocument(
        id=id_,
        content=None if "content" in rest else text,
        meta=metadata,
        score=score,
        blob=ByteStream(base64.b64decode(blob["data"]), meta=blob["meta"], mime_type=blob["mime_type"])
        if blob
        else None,
        sparse_embedding=SparseEmbedding.from_dict(sparse) if sparse else None,
    )
