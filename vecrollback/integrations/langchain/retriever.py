"""A retriever of LangChain whose documents say which pair found them, and how near they are."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document as LangChainDocument
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from vecrollback.integrations.backend import Backend, measure, relevance
from vecrollback.integrations.langchain.conversion import with_facts
from vecrollback.records import SearchMode, Where


class VecrollbackRetriever(BaseRetriever):
    """A retriever over a store or a client.

    Each document says under `vecrollback` in its metadata `pair`, `snapshot`, `epoch`, `score`, `relevance`,
    `stale`, `chunk` and `answered_by`. All of one call have one pair and epoch.

    Attributes:
        backend: An open `Store` or `Client`.
        namespace: Documents of this namespace alone.
        k: How many documents at most; `invoke(query, k=...)` overrides it.
        filter: A filter over the metadata, as data or SQL.
        mode: `vector`, `keyword` (the words alone, without a model) or `hybrid` (both).
        score_threshold: Leave out what is less relevant, from 0 to 1 by the metric of the pair that answers.
        key: Who asks. While a canary runs, it answers a stable share of the keys.

    Example:
        >>> retriever = VecrollbackRetriever(backend=store, k=1)
        >>> [page] = retriever.invoke("green tea")
        >>> page.id, page.metadata["vecrollback"]["pair"], page.metadata["vecrollback"]["stale"]
        ('tea', 'v2', False)
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    backend: Any
    namespace: str | None = None
    k: int = 4
    filter: Where | None = None
    mode: SearchMode = "vector"
    score_threshold: float = 0.0
    key: str | None = None

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002
        k: int | None = None,
    ) -> list[LangChainDocument]:
        backend: Backend = self.backend
        result = backend.search(query, self.k if k is None else k, self.filter, self.namespace, self.mode, key=self.key)
        measured = measure(result)
        near = [hit for hit in result.hits if relevance(hit.score, measured) >= self.score_threshold]
        return [with_facts(hit, result) for hit in near]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[LangChainDocument]:
        # LangChain's own hands no option on, and `ainvoke(query, k=1)` would be an error
        return await asyncio.to_thread(self._get_relevant_documents, query, run_manager=run_manager.get_sync(), k=k)
