"""The live pair's model as embedders of Haystack, for pipelines that want the vectors themselves."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from haystack import component, default_from_dict, default_to_dict
from haystack.dataclasses import Document as HaystackDocument

from vecrollback.integrations.haystack.document_store import VecrollbackDocumentStore
from vecrollback.integrations.vectors import as_lists, embed_documents


@component
class PairTextEmbedder:
    """Embeds a query with the model of the pair that is live at that moment.

    `embedding` is the vector, and `meta` says in `fingerprint`, `pair` and `epoch` whose it is. `VecrollbackRetriever`
    takes them in `query_embedding` and `query_meta`, and refuses the vector once another model serves.

    Args:
        document_store: The document store whose live pair embeds.

    Example:
        >>> embedder = PairTextEmbedder(VecrollbackDocumentStore(store))
        >>> answer = embedder.run("green tea")
        >>> len(answer["embedding"]), answer["meta"]["pair"]
        (64, 'v2')
    """

    def __init__(self, document_store: VecrollbackDocumentStore) -> None:
        self.document_store = document_store

    def to_dict(self) -> dict[str, Any]:
        """The component, as Haystack saves it."""
        return default_to_dict(self, document_store=self.document_store.to_dict())

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PairTextEmbedder:
        """The component that was saved."""
        made: PairTextEmbedder = default_from_dict(cls, _with_store(data))
        return made

    @component.output_types(embedding=list[float], meta=dict[str, Any])
    def run(self, text: str) -> dict[str, Any]:
        """Embed a query.

        Args:
            text: The query.
        """
        [vector] = as_lists(self.document_store.backend.embed_queries([text]))
        return {
            "embedding": vector,
            "meta": {"fingerprint": vector.fingerprint, "pair": vector.pair, "epoch": vector.epoch},
        }

    @component.output_types(embedding=list[float], meta=dict[str, Any])
    async def run_async(self, text: str) -> dict[str, Any]:
        """`run`, awaited."""
        answer: dict[str, Any] = await asyncio.to_thread(self.run, text)
        return answer


@component
class PairDocumentEmbedder:
    """Embeds documents with the model of the pair that is live at that moment.

    `VecrollbackDocumentStore` takes such vectors over, so each document is embedded once. A pipeline that only writes
    does not need it: the store has its documents embedded anyway.

    Args:
        document_store: The document store whose live pair embeds.

    Example:
        >>> from haystack import Document as Page
        >>> embedder = PairDocumentEmbedder(VecrollbackDocumentStore(store))
        >>> [page] = embedder.run([Page(content="Boil plums with sugar.")])["documents"]
        >>> len(page.embedding), page.embedding.pair
        (64, 'v2')
    """

    def __init__(self, document_store: VecrollbackDocumentStore) -> None:
        self.document_store = document_store

    def to_dict(self) -> dict[str, Any]:
        """The component, as Haystack saves it."""
        return default_to_dict(self, document_store=self.document_store.to_dict())

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PairDocumentEmbedder:
        """The component that was saved."""
        made: PairDocumentEmbedder = default_from_dict(cls, _with_store(data))
        return made

    @component.output_types(documents=list[HaystackDocument])
    def run(self, documents: list[HaystackDocument]) -> dict[str, list[HaystackDocument]]:
        """Embed documents.

        Args:
            documents: The documents. They stay as they are; those that are returned are copies with embeddings.
        """
        texts = [document.content or "" for document in documents]
        vectors = as_lists(embed_documents(self.document_store.backend, texts), texts)
        return {"documents": [replace(one, embedding=vector) for one, vector in zip(documents, vectors, strict=True)]}

    @component.output_types(documents=list[HaystackDocument])
    async def run_async(self, documents: list[HaystackDocument]) -> dict[str, list[HaystackDocument]]:
        """`run`, awaited."""
        answer: dict[str, list[HaystackDocument]] = await asyncio.to_thread(self.run, documents)
        return answer


def _with_store(data: dict[str, Any]) -> dict[str, Any]:
    parameters = {**data["init_parameters"]}
    parameters["document_store"] = VecrollbackDocumentStore.from_dict(parameters["document_store"])
    return {**data, "init_parameters": parameters}
