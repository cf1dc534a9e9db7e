"""Sampled queries, asked again on pairs that may not serve: what a metric needs that an answer does not carry."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vecrollback.embedders.pieces import embed_in_pieces
from vecrollback.indexes import exact_search
from vecrollback.pairs.resources import Resources
from vecrollback.records import document_key
from vecrollback.records.arrays import FloatArray
from vecrollback.serving.open_pairs import BorrowedPairs, OpenPair
from vecrollback.store.automation.watch.statistics import axes

_K = 10
_BACKGROUND = 512
_KEPT = 8_192
_PAIRS = 2
_FRESH = 64
"""Queries that one call embeds at most, for each pair: a slow model must not hold up a watch for minutes."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One query on one snapshot. `standout`: by how many standard deviations the best hit's score lies above those of
    random chunks; None when there is no hit. Unlike a score it can be compared between models. `keys`: of the documents
    that it found, each with its namespace.
    """

    vector: FloatArray
    best: float | None
    standout: float | None
    keys: tuple[str, ...]


class PairAnswers:
    """Asks each query of each snapshot once, and remembers."""

    def __init__(self, resources: Resources) -> None:
        # One for each pair, so that a standby that cannot be opened does not keep the live pair from being asked.
        self._borrowed_pairs = [BorrowedPairs(resources) for _ in range(_PAIRS)]
        self._places: dict[str, BorrowedPairs] = {}
        self._facts: OrderedDict[tuple[str, str], Fact] = OrderedDict()
        self._background: dict[str, FloatArray] = {}

    def on(self, queries: Sequence[str], pair: str) -> dict[str, Fact]:
        """What a pair answers, by query; without those that are still to be asked. Raises what opening it raises."""
        with self._place(pair).pairs(pair) as [open_pair]:
            return self._of(open_pair, list(dict.fromkeys(queries)))

    def directions(self, pair: str) -> FloatArray:
        """Directions in which the chunks of a pair differ most, shape (n, dimension).

        Of the chunks, not of the queries: directions that fit one sample of queries best fit every other one less
        well, which would look like a change.
        """
        with self._place(pair).pairs(pair) as [open_pair]:
            return axes(self._random(open_pair))

    def close(self) -> None:
        """Let go of the pairs that are held open. Idempotent; the next question opens them again."""
        for pairs in self._borrowed_pairs:
            pairs.close()

    def _place(self, pair: str) -> BorrowedPairs:
        if pair not in self._places:
            free = len(self._places) < _PAIRS
            self._places[pair] = (
                self._borrowed_pairs[len(self._places)] if free else self._places.pop(next(iter(self._places)))
            )
        return self._places[pair]

    def _of(self, open_pair: OpenPair, queries: Sequence[str]) -> dict[str, Fact]:
        ref = open_pair.view.snapshot.ref
        fresh = [query for query in queries if (ref, query) not in self._facts][:_FRESH]
        if fresh:
            self._facts.update(zip(((ref, query) for query in fresh), self._ask(open_pair, fresh), strict=True))
        while len(self._facts) > _KEPT:
            self._facts.popitem(last=False)
        return {query: fact for query in queries if (fact := self._facts.get((ref, query))) is not None}

    def _ask(self, open_pair: OpenPair, queries: Sequence[str]) -> list[Fact]:
        vectors = embed_in_pieces(open_pair.queries.embed_proven, queries)
        background = self._random(open_pair)
        metric = open_pair.view.snapshot.index.metric
        scores = exact_search(background, vectors, len(background), metric)[0] if len(background) > 1 else None
        facts = []
        for row, hits in enumerate(open_pair.view.search(vectors, _K)):
            best = hits[0].score if hits else None
            standout = None
            if best is not None and scores is not None:
                standout = (best - float(scores[row].mean())) / max(float(scores[row].std()), 1e-9)
            facts.append(Fact(vectors[row], best, standout, tuple(document_key(hit.id, hit.namespace) for hit in hits)))
        return facts

    def _random(self, open_pair: OpenPair) -> FloatArray:
        """Vectors of random chunks, the same for all queries of a snapshot."""
        snapshot = open_pair.view.snapshot
        if snapshot.ref not in self._background:
            count = len(snapshot.ids)
            sample = np.random.default_rng(0).permutation(count)[:_BACKGROUND]
            self._background = {snapshot.ref: snapshot.index.reconstruct(np.sort(sample)), **self._background}
            while len(self._background) > 4:
                self._background.popitem()
        return self._background[snapshot.ref]
