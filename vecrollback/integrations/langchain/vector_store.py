"""LangChain's vector store over a store or a client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.documents import Document as LangChainDocument
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from vecrollback.errors import UsageError
from vecrollback.integrations.backend import Backend, measure, read, relevance, remove
from vecrollback.integrations.langchain.conversion import from_hit, from_store, to_store
from vecrollback.integrations.langchain.embeddings import PairEmbeddings
from vecrollback.integrations.vectors import search_diverse, with_origin
from vecrollback.integrations.writing import write
from vecrollback.records import PairVectors, Result, SearchMode, Where


class VecrollbackVectorStore(VectorStore):
    """A `VectorStore` whose texts and queries are embedded by the live pair's model.

    It takes no embedding of its own: model and index are one pair, and a promote or a rollback changes both for every
    chain at once. Texts are found by the time a write returns. Ids and metadata come back as they were given; a text
    that the pair's chunker splits comes back as the chunk that is nearest.

    Args:
        store_or_client: An open `Store` or `Client`. It stays yours to close.
        namespace: Documents of this namespace alone: ids are unique within it, and no filter leads out of it.

    Example:
        >>> pages = VecrollbackVectorStore(store)
        >>> pages.add_texts(["Boil plums with sugar."], [{"season": "autumn"}], ids=["jam"])
        ['jam']
        >>> [page.id for page in pages.similarity_search("plums", k=1, filter={"season": "autumn"})]
        ['jam']
    """

    def __init__(self, store_or_client: Backend, *, namespace: str | None = None) -> None:
        self._backend, self.namespace = store_or_client, namespace

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._backend!r}, namespace={self.namespace!r})"

    @property
    def embeddings(self) -> PairEmbeddings:
        """The live pair's model. Its vectors carry their fingerprint."""
        return PairEmbeddings(self._backend)

    # -- writing ------------------------------------------------------------------------------------------------------

    # LangChain passes any option on. Here one that is misspelt is refused, so the signatures are narrower than its own.
    def add_documents(  # type: ignore[override]
        self,
        documents: list[LangChainDocument],
        *,
        ids: Sequence[str | None] | None = None,
        visible: bool = True,
        batch_size: int | None = None,  # noqa: ARG002 - `index()` gives it; batches are the store's own
    ) -> list[str]:
        """Write documents. Those whose ids exist are replaced, and one that is the same changes nothing.

        Args:
            documents: The documents. Metadata must be what JSON can hold.
            ids: An id for each. Default: the document's own, else a random one.
            visible: Return when queries find them. False returns as soon as they are durable.
            batch_size: Passed by LangChain's `index()`, and not needed.

        Returns:
            The ids.

        Raises:
            BadDocumentError: A document is not valid.
        """
        converted = to_store(documents, ids)
        write(self._backend, converted, self.namespace, visible=visible)
        return [document.id for document in converted]

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Write texts; see `add_documents`."""
        contents = list(texts)
        if metadatas is not None and len(metadatas) != len(contents):
            raise UsageError(f"{len(metadatas)} metadatas for {len(contents)} texts", hint="give each text one")
        pages = [
            LangChainDocument(page_content=text, metadata=metadata)
            for text, metadata in zip(contents, metadatas or [{} for _ in contents], strict=True)
        ]
        return self.add_documents(pages, ids=ids, **kwargs)

    def delete(  # type: ignore[override]
        self, ids: list[str] | None = None, *, filter: Where | None = None
    ) -> bool:
        """Delete documents for good, by id or by a filter over the metadata. No pair ever returns them again."""
        if ids is not None and filter is None:
            remove(self._backend, ids, self.namespace)
        else:
            self._backend.delete(ids, filter, self.namespace)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[LangChainDocument]:
        """Read documents by id, in the order of the ids; those that are unknown are left out."""
        return [from_store(document) for document in read(self._backend, ids, self.namespace)]

    # -- searching ----------------------------------------------------------------------------------------------------

    def similarity_search(  # type: ignore[override]
        self,
        query: str,
        k: int = 4,
        *,
        filter: Where | None = None,
        mode: SearchMode = "vector",
        key: str | None = None,
    ) -> list[LangChainDocument]:
        """Find the documents nearest to a query.

        Args:
            query: The words to search for.
            k: How many documents at most.
            filter: A filter over the metadata: data such as `{"year": {"$gte": 2020}}`, or SQL.
            mode: `vector`, `keyword` (the words alone, without a model) or `hybrid` (both).
            key: Who asks. While a canary runs, it answers a stable share of the keys.

        Returns:
            The documents, nearest first.
        """
        return [from_hit(hit) for hit in self._search(query, k, filter, mode, key).hits]

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        *,
        filter: Where | None = None,
        mode: SearchMode = "vector",
        key: str | None = None,
    ) -> list[tuple[LangChainDocument, float]]:
        """The same with each document's score: higher is nearer, in the metric of the pair that answers."""
        return [(from_hit(hit), hit.score) for hit in self._search(query, k, filter, mode, key).hits]

    def _similarity_search_with_relevance_scores(  # type: ignore[override]
        self,
        query: str,
        k: int = 4,
        *,
        filter: Where | None = None,
        mode: SearchMode = "vector",
        key: str | None = None,
    ) -> list[tuple[LangChainDocument, float]]:
        result = self._search(query, k, filter, mode, key)  # its own metric: the next answer may be of another pair
        return [(from_hit(hit), relevance(hit.score, measure(result))) for hit in result.hits]

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[LangChainDocument, float]]:
        # LangChain's own asks for one function from score to relevance, which no store of several metrics has
        return await asyncio.to_thread(self._similarity_search_with_relevance_scores, query, k, **kwargs)

    def _search(self, query: str, k: int, where: Where | None, mode: SearchMode, key: str | None) -> Result:
        return self._backend.search(query, k, where, self.namespace, mode, key=key)

    def similarity_search_by_vector(  # type: ignore[override]
        self, embedding: list[float], k: int = 4, *, filter: Where | None = None
    ) -> list[LangChainDocument]:
        """Find the documents nearest to a vector of `embeddings`.

        Raises:
            FingerprintMismatchError: It is another model's, or does not say whose it is.
        """
        [result] = self._backend.search(with_origin(embedding), k, filter, self.namespace)
        return [from_hit(hit) for hit in result.hits]

    def max_marginal_relevance_search(  # type: ignore[override]
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Where | None = None,
    ) -> list[LangChainDocument]:
        """Find documents that are near a query and unlike each other.

        Args:
            query: The words to search for.
            k: How many documents at most.
            fetch_k: Of so many nearest ones.
            lambda_mult: 1 looks at nearness alone, 0 at difference alone.
            filter: A filter over the metadata.

        Returns:
            The documents, in the order in which they were chosen.
        """
        return self._diverse(query, k, fetch_k, lambda_mult, filter)

    def max_marginal_relevance_search_by_vector(  # type: ignore[override]
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Where | None = None,
    ) -> list[LangChainDocument]:
        """The same for a vector of `embeddings`.

        Raises:
            FingerprintMismatchError: It is another model's, or does not say whose it is.
        """
        return self._diverse(with_origin(embedding), k, fetch_k, lambda_mult, filter)

    def _diverse(
        self, query: str | PairVectors, k: int, fetch_k: int, balance: float, where: Where | None
    ) -> list[LangChainDocument]:
        result = search_diverse(
            self._backend, query, k, fetch_k=fetch_k, balance=balance, where=where, namespace=self.namespace
        )
        return [from_hit(hit) for hit in result.hits]

    # -- making -------------------------------------------------------------------------------------------------------

    @classmethod
    def from_documents(
        cls, documents: list[LangChainDocument], embedding: Embeddings | None = None, **kwargs: Any
    ) -> VecrollbackVectorStore:
        """Write documents into a store, and return the vector store over it; see `from_texts`."""
        if "ids" not in kwargs:
            kwargs["ids"] = [document.id for document in documents]
        metadatas = [document.metadata for document in documents]
        return cls.from_texts([document.page_content for document in documents], embedding, metadatas, **kwargs)

    @classmethod
    async def afrom_documents(
        cls, documents: list[LangChainDocument], embedding: Embeddings | None = None, **kwargs: Any
    ) -> VecrollbackVectorStore:
        """`from_documents`, on another thread."""
        return await asyncio.to_thread(cls.from_documents, documents, embedding, **kwargs)

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> VecrollbackVectorStore:
        """`from_texts`, on another thread."""
        return await asyncio.to_thread(cls.from_texts, texts, embedding, metadatas, **kwargs)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        store_or_client: Backend | None = None,
        namespace: str | None = None,
        **kwargs: Any,
    ) -> VecrollbackVectorStore:
        """Write texts into a store, and return the vector store over it.

        Args:
            texts: The texts.
            embedding: Leave it out, or give a `PairEmbeddings`: the live pair's model embeds.
            metadatas: One for each text.
            ids: One for each text.
            store_or_client: An open `Store` or `Client`. Default: that of `embedding`.
            namespace: See the class.
            **kwargs: As for `add_documents`.

        Raises:
            UsageError: Another embedding, or no store.
        """
        if embedding is not None and not isinstance(embedding, PairEmbeddings):
            raise UsageError(
                f"{type(embedding).__name__} would embed beside the store, whose pairs have their own models",
                hint="leave `embedding` out; `vecrollback reembed MODEL` builds a pair with another model",
            )
        if store_or_client is None and embedding is not None:
            store_or_client = embedding.backend
        if store_or_client is None:
            raise UsageError("there is no store to write to", hint="from_texts(texts, store_or_client=store)")
        made = cls(store_or_client, namespace=namespace)
        made.add_texts(texts, metadatas, ids=ids, **kwargs)
        return made
