"""A retriever of Haystack that takes the query's words: the pair that answers embeds them."""

from __future__ import annotations

import asyncio
from typing import Any

from haystack import component, default_from_dict, default_to_dict
from haystack.dataclasses import Document as HaystackDocument
from haystack.document_stores.types import FilterPolicy, apply_filter_policy

from vecrollback.errors import UsageError
from vecrollback.integrations.haystack.document_store import VecrollbackDocumentStore
from vecrollback.integrations.vectors import PairVector
from vecrollback.records import SearchMode


@component
class VecrollbackRetriever:
    """Finds the documents nearest to a query, in the pair that is live at this moment.

    Each document says under `vecrollback` in its `meta` which pair, snapshot and epoch found it, and whether its vector
    is stale. All of one call have one pair and epoch.

    Args:
        document_store: The document store.
        filters: A filter of Haystack for every query.
        top_k: How many documents at most.
        mode: `vector`, `keyword` (the words alone, without a model) or `hybrid` (both).
        scale_score: Scores from 0 to 1, by the metric of the pair that answers, in place of its raw ones.
        filter_policy: Whether a filter given to `run` replaces `filters` or is combined with it.

    Example:
        >>> pages = VecrollbackDocumentStore(store)
        >>> retriever = VecrollbackRetriever(pages, top_k=1)
        >>> [page] = retriever.run("green tea")["documents"]
        >>> page.id, page.meta["vecrollback"]["pair"]
        ('tea', 'v2')
    """

    def __init__(
        self,
        document_store: VecrollbackDocumentStore,
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        mode: SearchMode = "vector",
        scale_score: bool = False,
        filter_policy: FilterPolicy = FilterPolicy.REPLACE,
    ) -> None:
        self.document_store = document_store
        self.filters, self.top_k, self.filter_policy = filters, top_k, filter_policy
        self.mode, self.scale_score = mode, scale_score

    def to_dict(self) -> dict[str, Any]:
        """The component, as Haystack saves it."""
        return default_to_dict(
            self,
            document_store=self.document_store.to_dict(),
            filters=self.filters,
            top_k=self.top_k,
            mode=self.mode,
            scale_score=self.scale_score,
            filter_policy=self.filter_policy.value,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> VecrollbackRetriever:
        """The component that was saved."""
        parameters = {**data["init_parameters"]}
        parameters["document_store"] = VecrollbackDocumentStore.from_dict(parameters["document_store"])
        parameters["filter_policy"] = FilterPolicy.from_str(parameters["filter_policy"])
        made: VecrollbackRetriever = default_from_dict(cls, {**data, "init_parameters": parameters})
        return made

    @component.output_types(documents=list[HaystackDocument])
    def run(
        self,
        query: str | None = None,
        query_embedding: list[float] | None = None,
        query_meta: dict[str, Any] | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[HaystackDocument]]:
        """Search.

        Args:
            query: The words to search for.
            query_embedding: In place of words, the `embedding` of `PairTextEmbedder`.
            query_meta: Its `meta`, which says whose vector it is: Haystack hands a copy of the mere numbers on.
            filters: A filter of Haystack, by `filter_policy`.
            top_k: How many at most. Default: the component's.

        Raises:
            FingerprintMismatchError: The vector is another model's by now, or does not say whose it is.
        """
        where = apply_filter_policy(self.filter_policy, self.filters, filters)
        found = self.document_store.search(
            _asked(query, query_embedding, query_meta),
            where,
            self.top_k if top_k is None else top_k,
            mode=self.mode,
            scale_score=self.scale_score,
        )
        return {"documents": found}

    @component.output_types(documents=list[HaystackDocument])
    async def run_async(
        self,
        query: str | None = None,
        query_embedding: list[float] | None = None,
        query_meta: dict[str, Any] | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[HaystackDocument]]:
        """`run`, awaited."""
        answer: dict[str, list[HaystackDocument]] = await asyncio.to_thread(
            self.run, query, query_embedding, query_meta, filters, top_k
        )
        return answer


def _asked(query: str | None, embedding: list[float] | None, meta: dict[str, Any] | None) -> str | list[float]:
    if (query is None) == (embedding is None):
        raise UsageError("the retriever takes either words or a vector", hint="connect `query` or `query_embedding`")
    if embedding is None or meta is None:
        return query if query is not None else embedding or []
    return PairVector(embedding, str(meta.get("fingerprint", "")))
