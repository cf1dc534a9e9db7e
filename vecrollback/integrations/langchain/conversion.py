"""Between LangChain's documents and the store's."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from langchain_core.documents import Document as LangChainDocument

from vecrollback.errors import UsageError
from vecrollback.integrations.backend import measure, origin_facts, relevance
from vecrollback.records import Document, Hit, Result

FACTS = "vecrollback"
"""The key in the metadata of what a retriever returns that says how it was found: no key of your own is shadowed."""


def to_store(documents: Sequence[LangChainDocument], ids: Sequence[str | None] | None = None) -> list[Document]:
    """Documents as the store keeps them. What has no id, here or in `ids`, gets a random one."""
    if ids is not None and len(ids) != len(documents):
        raise UsageError(f"{len(ids)} ids for {len(documents)} documents", hint="give each document one, or None")
    given = ids if ids is not None else [document.id for document in documents]
    return [
        Document(id_ or document.id or str(uuid.uuid4()), document.page_content, document.metadata)
        for id_, document in zip(given, documents, strict=True)
    ]


def from_store(document: Document) -> LangChainDocument:
    """A document of the store, whole."""
    return LangChainDocument(id=document.id, page_content=document.text, metadata=dict(document.metadata))


def from_hit(hit: Hit) -> LangChainDocument:
    """The chunk that was found, with the id and metadata of its document."""
    return LangChainDocument(id=hit.id, page_content=hit.text, metadata=dict(hit.metadata))


def with_facts(hit: Hit, result: Result) -> LangChainDocument:
    """A hit that says in its metadata, under `vecrollback`, which pair found it and how near it is."""
    facts = origin_facts(hit, result)
    facts |= {"score": hit.score, "relevance": relevance(hit.score, measure(result))}
    return LangChainDocument(id=hit.id, page_content=hit.text, metadata={**hit.metadata, FACTS: facts})
