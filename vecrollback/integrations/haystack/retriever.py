"""A retriever of Haystack that takes the query's words: the pair that answers embeds them."""

from __future__ import annotations

from typing import Any

from haystack import component, default_from_dict, default_to_dict
from haystack.dataclasses import Document as HaystackDocument
from haystack.document_stores.types import FilterPolicy, apply_filter_policy

from vecrollback.integrations.haystack.document_store import VecrollbackDocumentStore


@component
class VecrollbackRetriever:
    """Finds the documents nearest to a query, in the pair that is live at this moment.

    Each document says under `vecrollback` in its `meta` which pair, snapshot and epoch found it, and whether its vector
    is stale. All of one call have one pair and epoch.

    Args:
        document_store: The document store.
        filters: A filter of Haystack for every query.
        top_k: How many documents at most.
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
        scale_score: bool = False,
        filter_policy: FilterPolicy = FilterPolicy.REPLACE,
    ) -> None:
        self.document_store = document_store
        self.filters, self.top_k, self.scale_score, self.filter_policy = filters, top_k, scale_score, filter_policy

    def to_dict(self) -> dict[str, Any]:
        """The component, as Haystack saves it."""
        return default_to_dict(
            self,
            document_store=self.document_store.to_dict(),
            filters=self.filters,
            top_k=self.top_k,
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
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[HaystackDocument]]:
        """Search.

        Args:
            query: The words to search for.
            filters: A filter of Haystack, by `filter_policy`.
            top_k: How many at most. Default: the component's.
        """
        where = apply_filter_policy(self.filter_policy, self.filters, filters)
        found = self.document_store.search(query, where, top_k or self.top_k, scale_score=self.scale_score)
        return {"documents": found}

    @component.output_types(documents=list[HaystackDocument])
    async def run_async(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[HaystackDocument]]:
        """`run`, awaited."""
        where = apply_filter_policy(self.filter_policy, self.filters, filters)
        found = await self.document_store.search_async(query, where, top_k or self.top_k, scale_score=self.scale_score)
        return {"documents": found}
