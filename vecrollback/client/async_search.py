"""Methods of the client whose calls are awaited that ask for documents and write them: those of `search`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar, overload

from vecrollback.client import calls
from vecrollback.client.calls import HttpCall, Queries
from vecrollback.records import (
    Document,
    IfAbsent,
    PairVectors,
    Result,
    SearchMode,
    Weights,
    Where,
    WriteResult,
)

T = TypeVar("T")


class AsyncSearchMethods:
    """What an application does all day: search, embed, write, read."""

    if TYPE_CHECKING:  # what the client has

        async def _send(self, call: HttpCall[T]) -> T: ...

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
        """Find the nearest documents, in the pair that is live at this moment.

        Args:
            query: The words to search for, or a list of queries, which the server embeds together; or vectors that
                `embed_queries` gave.
            k: How many documents at most.
            where: A filter over the metadata: SQL such as `year > 2020`, or data such as `{"year": {"$gt": 2020}}`.
            namespace: The namespace to search in. Default: documents that are in none.
            mode: `vector` asks the live pair. `keyword` ranks documents by the words they share with the query (BM25),
                without any model. `hybrid` joins both lists, by reciprocal rank unless `weights` are given.
            key: Who asks. While a canary runs, it answers a stable share of the keys.
            include_vectors: Give each hit the vector of its chunk, too.
            weights: With `hybrid`, what vectors and words count, see `Store.search`.
            reranker: What orders the best candidates in the end: a name under `[rerankers]` in the server's
                vecrollback.toml.

        Returns:
            As `Store.search`.
        """
        options = calls.options(k, where, namespace, mode, include_vectors, weights, reranker)
        if isinstance(query, str):
            return await self._send(calls.search(query, options, key))
        return await self._send(calls.search_many(query, options, key))

    async def embed_queries(self, texts: Sequence[str]) -> PairVectors:
        """Embed queries with the model of the pair that is live at this moment.

        Args:
            texts: The queries.

        Returns:
            As `Store.embed_queries`.
        """
        return await self._send(calls.embed(texts, "queries"))

    async def embed_documents(self, texts: Sequence[str]) -> PairVectors:
        """Embed texts as documents, each as a whole, with the model of the pair that is live at this moment.

        Args:
            texts: The texts.

        Returns:
            As `Store.embed_documents`.
        """
        return await self._send(calls.embed(texts, "documents"))

    async def upsert(
        self,
        documents: Iterable[Document],
        visible: bool = False,
        if_absent: IfAbsent | None = None,
        *,
        namespace: str | None = None,
        vectors: PairVectors | None = None,
    ) -> WriteResult:
        """Write new and changed documents. They are durable when this returns.

        Args:
            documents: The documents, each id at most once. All of them are written, or none.
            visible: Return when queries find them; without a worker the server embeds them at once.
            if_absent: Write those alone that do not exist. `skip` leaves the others as they are, `fail` refuses all.
            namespace: That of documents that name none. One that names another is refused.
            vectors: One for each document, where they were embedded already, with what made them.

        Returns:
            As `Store.upsert`.
        """
        return await self._send(calls.upsert(documents, visible, if_absent, namespace, vectors))

    async def wait(self, seq: int, timeout: float = calls.SECONDS) -> None:
        """Return once the live pair reflects the log up to a change; see `Store.wait`.

        Args:
            seq: Number of the change, `head` of a write.
            timeout: Seconds, at most 300.
        """
        await self._send(calls.wait(seq, timeout))

    async def delete(
        self, ids: Iterable[str] | None = None, where: Where | None = None, namespace: str | None = None
    ) -> WriteResult:
        """Delete documents for good. From now on no query returns them, whichever pair serves.

        Args:
            ids: The ids.
            where: In place of ids: all documents that this filter matches, at one moment.
            namespace: The namespace that the call is about. Default: documents that are in none.

        Returns:
            As `Store.delete`.
        """
        return await self._send(calls.delete(ids, where, namespace))

    async def get(self, ids: Sequence[str], namespace: str | None = None) -> dict[str, Document]:
        """Read documents by id.

        Args:
            ids: The ids. One that is unknown or deleted is left out of the answer.
            namespace: The namespace that the call is about. Default: documents that are in none.

        Returns:
            Id -> document, as the log has it now.
        """
        return await self._send(calls.get(ids, namespace))

    async def documents(
        self,
        where: Where | None = None,
        after: str | None = None,
        limit: int | None = None,
        namespace: str | None = None,
    ) -> AsyncIterator[Document]:
        """Read all documents, or those that a filter matches, ordered by id. They are fetched page by page.

        Args:
            where: A filter over the metadata, as for `search`.
            after: Begin after this id, which need not exist.
            limit: At most so many.
            namespace: The namespace that the call is about. Default: documents that are in none.

        Returns:
            An iterator over the documents.
        """
        while size := calls.page_size(limit):
            page = await self._send(calls.page(where, after, size, namespace))
            for document in page:
                yield document
            if len(page) < size:
                return
            after, limit = page[-1].id, None if limit is None else limit - len(page)

    async def count(self, where: Where | None = None, namespace: str | None = None) -> int:
        """Count all documents, or those that a filter matches.

        Args:
            where: A filter over the metadata, as for `search`.
            namespace: The namespace that the call is about. Default: documents that are in none.

        Returns:
            How many the log has now.
        """
        return await self._send(calls.count(where, namespace))

    async def namespaces(self) -> dict[str, int]:
        """Count the documents of every namespace.

        Returns:
            As `Store.namespaces`.
        """
        return await self._send(calls.namespaces())

    async def drop_namespace(self, namespace: str) -> WriteResult:
        """Delete all documents of a namespace for good.

        Args:
            namespace: Its name.

        Returns:
            How many were deleted.
        """
        return await self._send(calls.drop_namespace(namespace))
