"""LlamaIndex's vector store over a store or a client."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

from vecrollback.errors import UsageError
from vecrollback.integrations.backend import Backend, clear, read, remove
from vecrollback.integrations.llama_index.conversion import REF, from_hit, from_store, to_store
from vecrollback.integrations.llama_index.filters import to_where
from vecrollback.integrations.vectors import belongs_to, of_one_origin, search_diverse, with_origin
from vecrollback.integrations.writing import write, write_embedded
from vecrollback.records import Json, SearchMode

_MODES: dict[VectorStoreQueryMode, SearchMode] = {
    VectorStoreQueryMode.DEFAULT: "vector",
    VectorStoreQueryMode.SPARSE: "keyword",
    VectorStoreQueryMode.TEXT_SEARCH: "keyword",
    VectorStoreQueryMode.HYBRID: "hybrid",
    VectorStoreQueryMode.SEMANTIC_HYBRID: "hybrid",
}
_PREFETCH = 4.0
"""Nodes that are looked at for each one chosen in mode MMR, as in other stores of LlamaIndex."""


class VecrollbackVectorStore(BasePydanticVectorStore):
    """A vector store whose nodes and queries are embedded by the pairs of a store.

    It asks with the words of a query, not with a vector: the pair that is live at that moment embeds them. Nodes need
    no embedding; `VecrollbackIndex` makes none. What was added is found by the time `add` returns.

    Args:
        store_or_client: An open `Store` or `Client`. It stays yours to close.
        namespace: Nodes of this namespace alone.

    Example:
        >>> from llama_index.core.schema import TextNode
        >>> nodes = VecrollbackVectorStore(store)
        >>> nodes.add([TextNode(id_="jam", text="Boil plums with sugar.", metadata={"season": "autumn"})])
        ['jam']
        >>> from llama_index.core.vector_stores import VectorStoreQuery
        >>> nodes.query(VectorStoreQuery(query_str="plums and sugar", similarity_top_k=1)).ids
        ['jam']
    """

    stores_text: bool = True
    is_embedding_query: bool = False
    flat_metadata: bool = False
    namespace: str | None = None
    _backend: Any = PrivateAttr()

    def __init__(self, store_or_client: Backend, *, namespace: str | None = None) -> None:
        super().__init__(namespace=namespace)  # type: ignore[call-arg]
        self._backend = store_or_client

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._backend!r}, namespace={self.namespace!r})"

    @classmethod
    def class_name(cls) -> str:
        """The name by which LlamaIndex knows the class."""
        return "VecrollbackVectorStore"

    @property
    def client(self) -> Backend:
        """The store or client."""
        backend: Backend = self._backend
        return backend

    # -- writing ------------------------------------------------------------------------------------------------------

    def add(self, nodes: Sequence[BaseNode], *, visible: bool = True, **kwargs: Any) -> list[str]:  # noqa: ARG002
        """Write nodes. Those whose ids exist are replaced, and one that is the same changes nothing.

        Args:
            nodes: The nodes. Metadata must be what JSON can hold.
            visible: Return when queries find them. False returns as soon as they are durable.
            **kwargs: What LlamaIndex passes on, not needed.

        Returns:
            Their ids.
        """
        pairs = [(node.embedding, to_store(node)) for node in nodes]
        embedded = [(vector, document) for vector, document in pairs if belongs_to(vector, document)]
        ready = [document for _, document in embedded]
        vectors = of_one_origin([vector for vector, _ in embedded], ready)
        if vectors is None:
            write(self.client, [document for _, document in pairs], self.namespace, visible=visible)
        else:
            rest = [document for vector, document in pairs if not belongs_to(vector, document)]
            write(self.client, rest, self.namespace, visible=False)
            write_embedded(self.client, ready, vectors, self.namespace, visible=visible)
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:  # noqa: ARG002
        """Delete the nodes that were cut from a document, for good."""
        self.client.delete(None, {REF: ref_doc_id}, self.namespace)

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Delete nodes for good: these, or what a filter matches, or those of these that it matches.

        Args:
            node_ids: Their ids. An empty list names no node; None leaves the choice to the filter.
            filters: A filter. Without one, and without ids, nothing is deleted.
            **delete_kwargs: What LlamaIndex passes on, not needed.
        """
        where = _among(node_ids, to_where(filters))
        if node_ids is not None and filters is None:
            remove(self.client, node_ids, self.namespace)
        elif where is not None:
            self.client.delete(None, where, self.namespace)

    def clear(self) -> None:
        """Delete every node for good."""
        clear(self.client, self.namespace)

    # -- reading ------------------------------------------------------------------------------------------------------

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Read nodes: these, in their order, or what a filter matches, by id, or those of these that it matches."""
        if filters is None and node_ids is not None:
            return [from_store(document) for document in read(self.client, node_ids, self.namespace)]
        where = _among(node_ids, to_where(filters))
        return [from_store(document) for document in self.client.documents(where, namespace=self.namespace)]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Find nodes by the words of a query.

        Args:
            query: `query_str`, `similarity_top_k`, `filters`, `node_ids`, `doc_ids`, `mode` and `mmr_threshold` are
                read. `query_embedding` only where there are no words; it must say whose it is, as those of
                `PairEmbedding` do.
            **kwargs: `mmr_threshold`, `mmr_prefetch_factor` and `mmr_prefetch_k`, as other stores of LlamaIndex take
                them.

        Returns:
            Nodes, similarities (higher is nearer) and ids, nearest first, of one pair.

        Raises:
            UsageError: The mode is none that a store of pairs has.
            FingerprintMismatchError: There are no words, and the vector is another model's, or does not say whose.
        """
        words = query.query_str or with_origin(query.query_embedding or [])
        # A retriever of LlamaIndex sends the nodes that its index keeps itself; of a store that keeps texts that is [].
        where = _among(query.node_ids or None, to_where(query.filters), query.doc_ids)
        k, client = query.similarity_top_k, self.client
        if query.mode == VectorStoreQueryMode.MMR:
            balance = 0.5 if query.mmr_threshold is None else query.mmr_threshold
            balance = kwargs.get("mmr_threshold", balance)
            fetch_k = kwargs.get("mmr_prefetch_k", int(k * kwargs.get("mmr_prefetch_factor", _PREFETCH)))
            result = search_diverse(
                client, words, k, fetch_k=fetch_k, balance=balance, where=where, namespace=self.namespace
            )
        elif query.mode not in _MODES:
            modes = ", ".join(["mmr", *(mode.value for mode in _MODES)])
            raise UsageError(f"mode {query.mode.value!r} is not a valid mode here", hint=f"use one of {modes}")
        elif isinstance(words, str):
            result = client.search(words, k, where, self.namespace, _MODES[query.mode])
        else:
            [result] = client.search(words, k, where, self.namespace)
        return VectorStoreQueryResult(
            nodes=[from_hit(hit, result) for hit in result.hits],
            similarities=[hit.score for hit in result.hits],
            ids=[hit.id for hit in result.hits],
        )

    # -- awaited ------------------------------------------------------------------------------------------------------

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """`add`, on another thread."""
        return await asyncio.to_thread(self.add, nodes, **kwargs)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """`delete`, on another thread."""
        await asyncio.to_thread(self.delete, ref_doc_id, **delete_kwargs)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """`delete_nodes`, on another thread."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    async def aclear(self) -> None:
        """`clear`, on another thread."""
        await asyncio.to_thread(self.clear)

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """`get_nodes`, on another thread."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """`query`, on another thread."""
        return await asyncio.to_thread(self.query, query, **kwargs)


def _among(
    node_ids: Sequence[str] | None, where: dict[str, Json] | None, ref_doc_ids: Sequence[str] | None = None
) -> dict[str, Json] | None:
    """A filter that also asks for one of these ids: None is any, an empty list is none."""
    conditions = [where] if where else []
    if node_ids is not None:
        conditions.append({"$id": {"$in": list(node_ids)}})
    if ref_doc_ids is not None:
        conditions.append({REF: {"$in": list(ref_doc_ids)}})
    return {"$and": conditions} if len(conditions) > 1 else next(iter(conditions), None)
