"""What a searcher can be asked: for documents, by words or by vectors, and for vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from vecrollback.pairs.resources import Resources
from vecrollback.records import PairVectors, Result, SearchMode, SearchOptions, Weights, Where
from vecrollback.serving.answering import Serving, as_texts, require_no_words, search_options
from vecrollback.serving.pair_vectors import document_vectors, query_vectors

Queries = list[str] | tuple[str, ...]


class Questions:
    """The methods of `Searcher` that callers use."""

    if TYPE_CHECKING:  # what `Searcher` has
        _resources: Resources
        alias: str

        def answer(self, texts: list[str], options: SearchOptions, *, key: str | None = None) -> list[Result]: ...
        def answer_vectors(self, vectors: PairVectors, options: SearchOptions) -> list[Result]: ...
        def _now(self) -> Serving: ...

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._resources.root)!r}, alias={self.alias!r})"

    @overload
    def search(
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
    def search(
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
    def search(
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
        """The k nearest live documents of a query, or of each of several; see `Store.search`.

        Raises UnknownNameError where another alias than `live` points nowhere, BadFilterError, BadQueryError for a text
        that the model does not take, EmbeddingError when it does not work, FingerprintMismatchError for vectors of
        another embedder than the serving pair's.
        """
        options = search_options(
            k, where, namespace, mode, include_vectors=include_vectors, weights=weights, reranker=reranker
        )
        if isinstance(query, PairVectors):
            require_no_words(options)
            return self.answer_vectors(query, options)
        results = self.answer(as_texts(query), options, key=key)
        return results[0] if isinstance(query, str) else results

    def embed_queries(self, texts: Sequence[str]) -> PairVectors:
        """Vectors of queries, by the model of the pair that serves at this moment; see `Store.embed_queries`."""
        return query_vectors(self._now(), texts)

    def embed_documents(self, texts: Sequence[str]) -> PairVectors:
        """Vectors of texts as of documents, by the same model; see `Store.embed_documents`."""
        return document_vectors(self._now(), self._resources.embedders, texts)
