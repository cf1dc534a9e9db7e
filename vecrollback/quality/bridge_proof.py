"""What a bridge is worth: the same queries asked of the target over the bridge, of the target itself, of the source.

Golden queries where there are any, else queries generated from the corpus. Only they are embedded, a few hundred at
most: once by the source's model and, if it answers, once by the target's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vecrollback.corpus.keywords import KeywordIndex
from vecrollback.embedders.pieces import embed_in_pieces
from vecrollback.errors import VecrollbackError
from vecrollback.pairs.bridges import FittedBridge
from vecrollback.pairs.resources import Resources
from vecrollback.quality.evaluation.query_sets import MOST_QUERIES, QuerySet, choose_queries
from vecrollback.quality.rank_estimates import DEPTH
from vecrollback.quality.stages import Stages
from vecrollback.records import BridgeWorth, Pair
from vecrollback.records.arrays import FloatArray
from vecrollback.serving.fallback_settings import serves
from vecrollback.serving.open_pairs import BorrowedPairs, OpenPair

_NORMAL_95 = 1.96


class BridgeProof:
    """Measures bridges, on open pairs of its own, apart from those that serve."""

    def __init__(self, resources: Resources) -> None:
        self._catalog, self._corpus, self._root = resources.catalog, resources.corpus, resources.root
        self._words = KeywordIndex(resources.corpus, resources.cache)
        self._pairs = BorrowedPairs(resources)

    def measure(
        self,
        source: Pair,
        target: Pair,
        fitted: FittedBridge,
        *,
        seed: int | None = None,
        stages: Stages | None = None,
    ) -> BridgeWorth:
        """Ask the queries.

        Args:
            source: The pair whose model embeds them. It has to answer.
            target: The pair in whose space they are compared. It is whole; its own model may be gone.
            fitted: The map.
            seed: Of what is drawn for it; None draws anew.
            stages: Whom to tell how far it is.

        Returns:
            What was measured; without the target's own quality where its model did not answer.

        Raises:
            EmbeddingError: The source's model does not answer.
            EmbedderChangedError: It is another model by now.
        """
        stages = stages or Stages("bridge")
        worth = BridgeWorth(fitted.recall, fitted.held_out, fitted.among)
        queries = choose_queries(self._catalog, self._corpus, most=MOST_QUERIES, seed=seed)
        if not queries.queries:
            return worth
        with self._pairs.pairs(source.name, target.name) as [first, second]:
            vectors = _embedded(queries, first, stages)
            bridged = queries.ndcg(queries.search(second.view, fitted.map.apply(vectors)))
            worth = replace(worth, queries=len(bridged), kind=queries.kind, bridged=float(bridged.mean()))
            own = _own_values(queries, second, stages)
            worth = replace(worth, own=None if own is None else float(own.mean()), words=self._by_words(queries))
            if first.view.snapshot.manifest.cascade is not None:
                return self._against_cascade(worth, bridged, source)
            stay = queries.ndcg(queries.search(first.view, vectors))
        half = _NORMAL_95 * _error(bridged - stay)
        gain = float((bridged - stay).mean())
        return replace(worth, stay=float(stay.mean()), gain_low=gain - half, gain_high=gain + half)

    def close(self) -> None:
        """Let go of the pairs that are held open. Idempotent."""
        self._pairs.close()
        self._words.close()

    def _by_words(self, queries: QuerySet) -> float | None:
        """How good keyword search is, where that is to answer one day: else nobody needs its file of all texts."""
        if not serves(self._root, "keyword"):
            return None
        try:
            hits = [
                self._words.search(text, DEPTH, namespace=namespace)
                for text, namespace in zip(queries.texts, queries.namespaces, strict=True)
            ]
        except (VecrollbackError, OSError):
            return None
        return float(queries.ndcg_of_keys([[hit.key for hit in one] for one in hits]).mean())

    def _against_cascade(self, worth: BridgeWorth, bridged: NDArray[np.float64], source: Pair) -> BridgeWorth:
        """Against the answers of a pair that serves before it is whole: as its trial measured them, with its queries.

        What it has vectors of is not what it answers from.
        """
        cascade = self._catalog.cascades.find(source.name)
        if cascade is None or not cascade.trial.new:
            return worth
        stay = np.array(cascade.trial.new)
        half = _NORMAL_95 * math.hypot(_error(bridged), _error(stay))
        gain = float(bridged.mean() - stay.mean())
        return replace(worth, stay=float(stay.mean()), gain_low=gain - half, gain_high=gain + half)


def _embedded(queries: QuerySet, open_pair: OpenPair, stages: Stages) -> FloatArray:
    """Vectors of the queries by the pair's model. Whatever `stages` raises comes out of here as it is."""
    stages.enter(f"asking the model of {open_pair.pair.name}", len(queries.texts))

    def embed(piece: Sequence[str]) -> FloatArray:
        vectors = open_pair.queries.embed_proven(piece)
        stages.did(piece)
        return vectors

    return stages.embed(open_pair.queries.remote, partial(embed_in_pieces, embed), queries.texts)


def _own_values(queries: QuerySet, open_pair: OpenPair, stages: Stages) -> NDArray[np.float64] | None:
    """None where the pair's own model is gone: that is what the bridge is for."""
    try:
        vectors = _embedded(queries, open_pair, stages)
        return queries.ndcg(queries.search(open_pair.view, vectors))
    except (VecrollbackError, OSError, ImportError):
        if stages.stop is not None:
            raise
        return None


def _error(values: NDArray[np.float64]) -> float:
    """Standard error of the mean; that of one value alone is not known."""
    return float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 1.0
