"""Queries with known answers to measure a pair with, and where each of them is asked.

Golden ones name documents by their ids and are asked of all namespaces together, as everywhere. Where there are too few
of them, queries are generated from the corpus: each is asked in the namespace of the document that it is from, as
whoever owns that document would ask it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vecrollback.catalog import Catalog
from vecrollback.corpus.corpus import Corpus
from vecrollback.quality.evaluation.generated_queries import generate_queries
from vecrollback.quality.evaluation.metrics import judged_values
from vecrollback.quality.rank_estimates import DEPTH
from vecrollback.records import GoldenQuery, Hit, document_key, key_parts
from vecrollback.records.arrays import FloatArray
from vecrollback.serving.masks import Filter
from vecrollback.serving.view import PairView

MOST_QUERIES = 300
LEAST_QUERIES = 30
"""Fewer golden queries say too little: generated ones are taken instead."""


@dataclass(frozen=True, slots=True)
class QuerySet:
    """Queries with known answers, all of one kind. `generated` ones name their document by its key."""

    queries: Sequence[GoldenQuery]
    kind: Literal["golden", "generated", "none"]

    @property
    def texts(self) -> list[str]:
        return [query.text for query in self.queries]

    @property
    def namespaces(self) -> list[str | None]:
        """Where each is asked; None: of all namespaces together."""
        if self.kind == "golden":
            return [None] * len(self.queries)
        return [key_parts(next(iter(query.expected)))[0] for query in self.queries]

    def by_namespace(self) -> Iterator[tuple[str | None, list[int]]]:
        """Each namespace, and the places of the queries that are asked there."""
        namespaces = self.namespaces
        for one in dict.fromkeys(namespaces):
            yield one, [place for place, namespace in enumerate(namespaces) if namespace == one]

    def search(self, view: PairView, vectors: FloatArray) -> list[list[Hit]]:
        """The first hits of each query. `vectors`: of the queries, shape (queries, dimension)."""
        answers: list[list[Hit]] = [[] for _ in self.queries]
        for namespace, places in self.by_namespace():
            only = None if namespace is None else Filter(namespace)
            for place, hits in zip(places, view.search(vectors[places], DEPTH, only), strict=True):
                answers[place] = hits
        return answers

    def ndcg(self, answers: Sequence[Sequence[Hit]]) -> NDArray[np.float64]:
        """nDCG@10 of the answer to each query."""
        return self.ndcg_of_keys([[document_key(hit.id, hit.namespace) for hit in hits] for hits in answers])

    def ndcg_of_keys(self, answers: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """The same of documents by their keys."""
        by_id = self.kind == "golden"
        rankings = [[key_parts(key)[1] if by_id else key for key in keys] for keys in answers]
        values = judged_values(self.queries, rankings, DEPTH, ["ndcg"])
        return np.array([one[f"ndcg@{DEPTH}"] for one in values])


def choose_queries(
    catalog: Catalog,
    corpus: Corpus,
    *,
    generated: int = MOST_QUERIES // 2,
    most: int | None = None,
    seed: int | None = None,
) -> QuerySet:
    """The golden queries, where `LEAST_QUERIES` of them or more are judged, else some that are generated.

    Args:
        catalog: Which holds the golden ones.
        corpus: From which others are generated.
        generated: How many of those.
        most: Golden ones at most; of more these are drawn at random. None for all.
        seed: Of the draw; None draws anew.

    Returns:
        The queries; of kind `none` where the corpus has no text that a query could be made from.
    """
    golden = [query for query in catalog.golden.all() if query.judged]
    if len(golden) < LEAST_QUERIES:
        made = generate_queries(corpus, generated, seed=seed)
        return QuerySet(made, "generated" if made else "none")
    if most is not None and len(golden) > most:
        drawn = np.sort(np.random.default_rng(seed).choice(len(golden), most, replace=False))
        golden = [golden[place] for place in drawn.tolist()]
    return QuerySet(golden, "golden")
