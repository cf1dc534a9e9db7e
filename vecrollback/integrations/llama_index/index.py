"""An index of LlamaIndex that leaves the embedding of its nodes to the pairs of the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.indices.vector_store.retrievers import VectorIndexRetriever
from llama_index.core.schema import BaseNode

from vecrollback.errors import UsageError
from vecrollback.integrations.backend import Backend
from vecrollback.integrations.llama_index.embedding import PairEmbedding
from vecrollback.integrations.llama_index.vector_store import VecrollbackVectorStore


class VecrollbackIndex(VectorStoreIndex):
    """A `VectorStoreIndex` whose nodes are embedded once, by the live pair, when the store takes them in.

    LlamaIndex's own index embeds each node before it hands it over, and each query before it asks: the store would
    embed both again, and a query's vector could be that of a model that was left. This one does neither. Retrievers,
    query engines and chat engines are made from it as from any other.

    Args:
        nodes: Nodes to write at once.
        store_or_client: An open `Store` or `Client`. It stays yours to close.
        namespace: Nodes of this namespace alone.
        **kwargs: As for `VectorStoreIndex`, but for embedding, vector store and storage context.

    Example:
        >>> from llama_index.core import Document as Page
        >>> index = VecrollbackIndex.from_documents([Page(text="Boil plums with sugar.")], store_or_client=store)
        >>> [found] = index.as_retriever(similarity_top_k=1).retrieve("plums and sugar")
        >>> found.text, found.metadata["vecrollback"]["pair"]
        ('Boil plums with sugar.', 'v2')
    """

    def __init__(
        self,
        nodes: Sequence[BaseNode] | None = None,
        *,
        store_or_client: Backend | None = None,
        namespace: str | None = None,
        storage_context: StorageContext | None = None,
        **kwargs: Any,
    ) -> None:
        if store_or_client is None:
            raise UsageError("there is no store to write to", hint="VecrollbackIndex(store_or_client=store)")
        vectors = VecrollbackVectorStore(store_or_client, namespace=namespace)
        docstore = None if storage_context is None else storage_context.docstore
        super().__init__(
            nodes if nodes is not None or "index_struct" in kwargs else [],
            embed_model=PairEmbedding(store_or_client),
            storage_context=StorageContext.from_defaults(docstore, vector_store=vectors),
            **kwargs,
        )

    def as_retriever(self, **kwargs: Any) -> BaseRetriever:
        """A retriever over all nodes of the store.

        Args:
            **kwargs: As for LlamaIndex's `VectorIndexRetriever`: `similarity_top_k`, `filters`, `node_ids` and so on.

        Returns:
            The retriever.
        """
        # LlamaIndex's own asks among the nodes that its index keeps itself: of a store that keeps texts those with a
        # picture and those that point elsewhere, so that one of these would hide all others.
        return VectorIndexRetriever(
            self, callback_manager=self._callback_manager, object_map=self._object_map, **kwargs
        )

    def _get_node_with_embedding(
        self,
        nodes: Sequence[BaseNode],
        show_progress: bool = False,  # noqa: ARG002
    ) -> list[BaseNode]:
        return list(nodes)

    async def _aget_node_with_embedding(
        self,
        nodes: Sequence[BaseNode],
        show_progress: bool = False,  # noqa: ARG002
    ) -> list[BaseNode]:
        return list(nodes)
