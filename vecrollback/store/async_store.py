"""A store whose calls are awaited, for services that run on an event loop.

Queries that wait at the same moment are embedded and searched together by one call on one of few threads: a thousand
callers need no thousand threads, and the model works on batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Self, overload

from vecrollback.records import (
    Document,
    IfAbsent,
    Json,
    LivePair,
    PairVectors,
    Result,
    SearchMode,
    Weights,
    Where,
    WriteResult,
)
from vecrollback.serving.answering import as_texts, search_options
from vecrollback.serving.batching import QueryBatcher
from vecrollback.serving.questions import Queries
from vecrollback.serving.thread_pools import ThreadPool
from vecrollback.store.documents import SECONDS_UNTIL_VISIBLE
from vecrollback.store.store import Store

_READERS, _WRITERS, _WAITING = 2, 2, 10_000
_DOCUMENTS_AT_ONCE = 500


class AsyncStore:
    """What services ask of a `Store`, awaited. It belongs to the event loop on which it is first used.

    Close it with `aclose`, which closes the store too, or use it with `async with`. What is not here is a method of
    `store`: call it by `asyncio.to_thread`.

    Args:
        store: An open store; `connect(..., follow=True)` for a service.
        threads: How many groups of queries are answered at the same time. Queries that differ in nothing but their
            words are one group, which one thread answers together.
        max_batch: Queries that are answered together at most.

    Example:
        >>> import asyncio
        >>> async def ask():
        ...     async with AsyncStore(connect("notes")) as notes:
        ...         results = await asyncio.gather(notes.search("green tea", k=1), notes.search("dough", k=1))
        ...         return [result.hits[0].id for result in results]
        >>> asyncio.run(ask())
        ['tea', 'bread']
    """

    def __init__(self, store: Store, *, threads: int = 2, max_batch: int = 64) -> None:
        self.store = store
        searcher = store._parts.searcher
        self._draws = searcher.draws
        self._queries = QueryBatcher(
            lambda texts, options, canary: searcher.answer(texts, options, canary=canary),
            threads=threads,
            max_batch=max_batch,
            max_waiting=_WAITING,
            seen=lambda _: None,
        )
        self._reads = ThreadPool("reading", threads=_READERS, waiting=_WAITING)
        self._writes = ThreadPool("writing", threads=_WRITERS, waiting=_WAITING)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.store!r})"

    @property
    def uri(self) -> str:
        """How another process opens this store, but for its secrets."""
        return self.store.uri

    @overload
    async def search(
        self,
        query: str,
        k: int = 10,
        where: Where | None = None,
        namespace: str | None = None,
        mode: SearchMode = "vector",
        *,
        key: str | None = None,
        include_vectors: bool = False,
        weights: Weights | None = None,
        reranker: str | None = None,
    ) -> Result: ...
    @overload
    async def search(
        self,
        query: Queries | PairVectors,
        k: int = 10,
        where: Where | None = None,
        namespace: str | None = None,
        mode: SearchMode = "vector",
        *,
        key: str | None = None,
        include_vectors: bool = False,
        weights: Weights | None = None,
        reranker: str | None = None,
    ) -> list[Result]: ...
    async def search(
        self,
        query: str | Queries | PairVectors,
        k: int = 10,
        where: Where | None = None,
        namespace: str | None = None,
        mode: SearchMode = "vector",
        *,
        key: str | None = None,
        include_vectors: bool = False,
        weights: Weights | None = None,
        reranker: str | None = None,
    ) -> Result | list[Result]:
        """Find the nearest documents; see `Store.search`. Raises OverloadedError while 10,000 queries wait."""
        if isinstance(query, PairVectors):
            return await self._reads.run(
                self.store.search,
                query,
                k,
                where,
                namespace,
                mode,
                include_vectors=include_vectors,
                weights=weights,
                reranker=reranker,
            )
        options = search_options(
            k, where, namespace, mode, include_vectors=include_vectors, weights=weights, reranker=reranker
        )
        texts = as_texts(query)
        if not texts:
            return []
        results = await self._queries.ask(texts, options, canary=key is not None and self._draws(key))
        return results[0] if isinstance(query, str) else results

    async def embed_queries(self, texts: Sequence[str]) -> PairVectors:
        """Embed queries with the live pair's model; see `Store.embed_queries`."""
        return await self._reads.run(self.store.embed_queries, texts)

    async def embed_documents(self, texts: Sequence[str]) -> PairVectors:
        """Embed texts as documents with the live pair's model; see `Store.embed_documents`."""
        return await self._reads.run(self.store.embed_documents, texts)

    async def upsert(
        self,
        documents: Iterable[Document],
        visible: bool = False,
        if_absent: IfAbsent | None = None,
        *,
        namespace: str | None = None,
        vectors: PairVectors | None = None,
    ) -> WriteResult:
        """Write new and changed documents, durable when this returns; see `Store.upsert`.

        A caller who is cancelled stops waiting; what it wrote is written all the same.
        """
        return await self._writes.run(
            self.store.upsert, documents, visible, if_absent, namespace=namespace, vectors=vectors
        )

    async def wait(self, seq: int, timeout: float = SECONDS_UNTIL_VISIBLE) -> None:
        """Return once the live pair reflects the log up to a change; see `Store.wait`."""
        await self._writes.run(self.store.wait, seq, timeout)

    async def delete(
        self, ids: Iterable[str] | None = None, where: Where | None = None, namespace: str | None = None
    ) -> WriteResult:
        """Delete documents for good; see `Store.delete`."""
        return await self._writes.run(self.store.delete, ids, where, namespace)

    async def get(self, ids: Sequence[str], namespace: str | None = None) -> dict[str, Document]:
        """Read documents by id; see `Store.get`."""
        return await self._reads.run(self.store.get, ids, namespace)

    async def documents(
        self,
        where: Where | None = None,
        after: str | None = None,
        limit: int | None = None,
        namespace: str | None = None,
    ) -> AsyncIterator[Document]:
        """Read documents ordered by id, some hundred at a time; see `Store.documents`."""
        documents = self.store.documents(where, after, limit, namespace)
        while part := await self._reads.run(_some, documents):
            for document in part:
                yield document

    async def count(self, where: Where | None = None, namespace: str | None = None) -> int:
        """Count documents; see `Store.count`."""
        return await self._reads.run(self.store.count, where, namespace)

    async def namespaces(self) -> dict[str, int]:
        """Count the documents of every namespace; see `Store.namespaces`."""
        return await self._reads.run(self.store.namespaces)

    async def drop_namespace(self, namespace: str) -> WriteResult:
        """Delete all documents of a namespace for good; see `Store.drop_namespace`."""
        return await self._writes.run(self.store.drop_namespace, namespace)

    async def live(self) -> LivePair:
        """Read the pair that serves; see `Store.live`."""
        return self.store.live()  # microseconds: a turn to a thread would take longer

    async def status(self) -> dict[str, Json]:
        """Describe the store by one reading of its catalog; see `Store.status`."""
        return await self._reads.run(self.store.status)

    async def aclose(self) -> None:
        """Close the store once the queries that run are answered. A second call does nothing."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._queries.close()
        self._reads.close()
        self._writes.close()
        self.store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _some(documents: Iterator[Document]) -> list[Document]:
    return list(islice(documents, _DOCUMENTS_AT_ONCE))
