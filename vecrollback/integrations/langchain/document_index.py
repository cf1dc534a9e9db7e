"""A document index of LangChain: written by id, asked with words."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document as LangChainDocument
from langchain_core.indexing import UpsertResponse
from langchain_core.indexing.base import DeleteResponse, DocumentIndex
from pydantic import ConfigDict

from vecrollback.integrations.backend import Backend, read, remove
from vecrollback.integrations.langchain.conversion import from_hit, from_store, to_store
from vecrollback.integrations.writing import write
from vecrollback.records import Where


class VecrollbackDocumentIndex(DocumentIndex):
    """A `DocumentIndex` over a store or a client.

    Attributes:
        backend: An open `Store` or `Client`.
        namespace: Documents of this namespace alone.
        k: How many documents a query returns at most.
        filter: A filter over the metadata for every query.

    Example:
        >>> from langchain_core.documents import Document as Page
        >>> index = VecrollbackDocumentIndex(backend=store, k=1)
        >>> index.upsert([Page(id="jam", page_content="Boil plums with sugar.")])
        {'succeeded': ['jam'], 'failed': []}
        >>> [page.id for page in index.invoke("plums and sugar")]
        ['jam']
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    backend: Any
    namespace: str | None = None
    k: int = 4
    filter: Where | None = None

    @property
    def _backend(self) -> Backend:
        backend: Backend = self.backend
        return backend

    def upsert(self, items: Sequence[LangChainDocument], /, **kwargs: Any) -> UpsertResponse:  # noqa: ARG002
        """Write documents, and return when queries find them. All of a batch of 500 are written, or none."""
        documents = to_store(items)
        write(self._backend, documents, self.namespace)
        return UpsertResponse(succeeded=[document.id for document in documents], failed=[])

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> DeleteResponse:  # noqa: ARG002
        """Delete documents for good. `num_deleted` counts those that were there."""
        if ids is None:
            raise ValueError("delete needs ids")
        return DeleteResponse(num_deleted=remove(self._backend, ids, self.namespace), num_failed=0, failed=[])

    def get(self, ids: Sequence[str], /, **kwargs: Any) -> list[LangChainDocument]:  # noqa: ARG002
        """Read documents by id, in the order of the ids; those that are unknown are left out."""
        return [from_store(document) for document in read(self._backend, ids, self.namespace)]

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002
        k: int | None = None,
    ) -> list[LangChainDocument]:
        result = self._backend.search(query, self.k if k is None else k, self.filter, self.namespace)
        return [from_hit(hit) for hit in result.hits]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[LangChainDocument]:
        # LangChain's own hands no option on, and `ainvoke(query, k=1)` would be an error
        return await asyncio.to_thread(self._get_relevant_documents, query, run_manager=run_manager.get_sync(), k=k)
