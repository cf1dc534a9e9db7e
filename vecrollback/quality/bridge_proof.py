"""What a bridge is worth: the same queries asked of the target over the bridge, of the target itself, of the source.

Golden queries where there are any, else queries generated from the corpus. Only they are embedded, a few hundred at
most: once by the source's model and, if it answers, once by the target's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from vecrollback.embedders.pieces import embed_in_pieces
from vecrollback.errors import VecrollbackError
from vecrollback.pairs.bridge_maps import NEIGHBOURS
from vecrollback.pairs.bridges import FittedBridge
from vecrollback.pairs.resources import Resources
from vecrollback.quality.evaluation.generated_queries import generate_queries
from vecrollback.quality.evaluation.metrics import judged_values, means
from vecrollback.records import BridgeWorth, GoldenQuery, Pair
from vecrollback.records.arrays import FloatArray
from vecrollback.serving.open_pairs import BorrowedPairs, OpenPair

MOST_QUERIES = 300
LEAST_QUERIES = 30
"""Fewer golden queries say too little: generated ones are taken instead."""


class BridgeProof:
    """Measures bridges, on open pairs of its own, apart from those that serve."""

    def __init__(self, resources: Resources) -> None:
        self._catalog, self._corpus = resources.catalog, resources.corpus
        self._pairs = BorrowedPairs(resources)

    def measure(self, source: Pair, target: Pair, fitted: FittedBridge, *, seed: int | None = None) -> BridgeWorth:
        """Ask the queries.

        Args:
            source: The pair whose model embeds them. It has to answer.
            target: The pair in whose space they are compared. Its own model may be gone.
            fitted: The map.
            seed: Of what is drawn for it; None draws anew.

        Returns:
            What was measured; without the target's own quality where its model did not answer.

        Raises:
            EmbeddingError: The source's model does not answer.
            EmbedderChangedError: It is another model by now.
        """
        worth = BridgeWorth(fitted.recall, fitted.held_out, fitted.among)
        queries, kind = self._queries(seed)
        if not queries:
            return worth
        texts = [query.text for query in queries]
        with self._pairs.pairs(source.name, target.name) as [first, second]:
            vectors = embed_in_pieces(first.queries.embed_proven, texts)
            stay, bridged = _answers(first, vectors), _answers(second, fitted.map.apply(vectors))
            own = _own_answers(second, texts)
        return replace(
            worth,
            queries=len(queries),
            kind=kind,
            own=None if own is None else _ndcg(queries, own),
            bridged=_ndcg(queries, bridged),
            stay=_ndcg(queries, stay),
        )

    def close(self) -> None:
        """Let go of the pairs that are held open. Idempotent."""
        self._pairs.close()

    def _queries(self, seed: int | None) -> tuple[list[GoldenQuery], Literal["golden", "generated"]]:
        golden = [query for query in self._catalog.golden.all() if query.judged][:MOST_QUERIES]
        if len(golden) >= LEAST_QUERIES:
            return golden, "golden"
        return generate_queries(self._corpus, MOST_QUERIES // 2, seed=seed), "generated"


def _own_answers(open_pair: OpenPair, texts: Sequence[str]) -> list[list[str]] | None:
    """None where the pair's own model is gone: that is what the bridge is for."""
    try:
        return _answers(open_pair, embed_in_pieces(open_pair.queries.embed_proven, texts))
    except (VecrollbackError, OSError, ImportError):
        return None


def _answers(open_pair: OpenPair, vectors: FloatArray) -> list[list[str]]:
    return [[hit.id for hit in hits] for hits in open_pair.view.search(vectors, NEIGHBOURS)]


def _ndcg(queries: Sequence[GoldenQuery], rankings: list[list[str]]) -> float:
    values = means(judged_values(queries, rankings, NEIGHBOURS, ["ndcg"]))
    return float(values[f"ndcg@{NEIGHBOURS}"])
