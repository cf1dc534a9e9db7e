"""The live pair's model as an embedding of LlamaIndex."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode, MetadataMode

from vecrollback.integrations.backend import Backend
from vecrollback.integrations.vectors import PairVector, as_lists, embed_documents


class PairEmbedding(BaseEmbedding):
    """Embeds with the model of the pair that is live at that moment, whichever it is.

    Each vector is a list that also says in `fingerprint`, `pair` and `epoch` whose it is. In an `IngestionPipeline` it
    embeds the nodes once: `VecrollbackVectorStore` takes their vectors over.

    Args:
        store_or_client: An open `Store` or `Client`.
        **kwargs: As for every embedding of LlamaIndex, `embed_batch_size` for instance.

    Example:
        >>> embedding = PairEmbedding(store)
        >>> vector = embedding.get_query_embedding("green tea")
        >>> len(vector), vector.pair
        (64, 'v2')
    """

    _backend: Any = PrivateAttr()

    def __init__(self, store_or_client: Backend, **kwargs: Any) -> None:
        super().__init__(model_name="vecrollback: the live pair's", **kwargs)
        self._backend = store_or_client

    @classmethod
    def class_name(cls) -> str:
        """The name by which LlamaIndex knows the class."""
        return "PairEmbedding"

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[BaseNode]:
        """Embed nodes, as a step of a pipeline does."""
        texts = [node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
        return _embedded(nodes, self.get_text_embedding_batch(texts, **kwargs))

    async def acall(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[BaseNode]:
        """The same, awaited."""
        texts = [node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
        return _embedded(nodes, await self.aget_text_embedding_batch(texts, **kwargs))

    def _get_query_embedding(self, query: str) -> PairVector:
        backend: Backend = self._backend
        [vector] = as_lists(backend.embed_queries([query]))
        return vector

    def _get_text_embedding(self, text: str) -> PairVector:
        [vector] = self._get_text_embeddings([text])
        return vector

    def _get_text_embeddings(self, texts: list[str]) -> list[PairVector]:  # type: ignore[override]
        backend: Backend = self._backend
        return as_lists(embed_documents(backend, texts), texts)

    async def _aget_query_embedding(self, query: str) -> PairVector:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[PairVector]:  # type: ignore[override]
        return await asyncio.to_thread(self._get_text_embeddings, texts)


def _embedded(nodes: Sequence[BaseNode], vectors: Sequence[list[float]]) -> list[BaseNode]:
    for node, vector in zip(nodes, vectors, strict=True):
        node.__dict__["embedding"] = vector  # assigned in the usual way it would be copied, and no more say whose it is
    return list(nodes)
