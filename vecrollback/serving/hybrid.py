"""Answers by words, alone or together with those by vectors.

The two lists are joined by reciprocal rank (Cormack, Clarke and Büttcher, 2009): a document gets 1 / (60 + its rank)
from each list that it is in. Ranks need no common scale, which a cosine and a BM25 do not have.

Where weights are given the scores count themselves: those of each list are spread over 0 to 1, from its last candidate
to its first, and added up by the weights. That keeps how far apart two documents are, which ranks forget, and needs
weights that were tried on queries with known answers (Bruch, Gai and Ingber, 2023).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import pyarrow as pa

from vecrollback.corpus.corpus import Corpus
from vecrollback.corpus.keywords import KeywordHit, KeywordIndex
from vecrollback.corpus.text_cache import TextCache
from vecrollback.errors import CorruptArtifactError
from vecrollback.pairs.resources import Resources
from vecrollback.records import WHOLE_TEXT, Hit, Result, SearchOptions, Weights, key_parts
from vecrollback.serving.open_pairs import OpenPairs
from vecrollback.serving.view import restriction

_log = logging.getLogger(__name__)
_RANK_OFFSET = 60
_LEAST_CANDIDATES, _CANDIDATES_PER_HIT, _MOST_CANDIDATES = 50, 4, 10_000

Place = tuple[str, str]
"""Namespace and id of a document."""

AskVectors = Callable[[SearchOptions], list[Result]]


class KeywordAnswers:
    """The words of one store, and the texts to show. `open_pairs`: of the searcher, whose texts these are too."""

    def __init__(self, resources: Resources, open_pairs: OpenPairs) -> None:
        self._corpus: Corpus = resources.corpus
        self._open_pairs = open_pairs
        self._index = KeywordIndex(resources.corpus, resources.cache)

    def answer(self, texts: Sequence[str], options: SearchOptions, by_vectors: AskVectors) -> list[Result]:
        """A result for each query, by words alone or joined with those of `by_vectors`, which asks the live pair."""
        if options.mode == "keyword":
            return self.by_words(texts, options)
        wide = replace(options, k=candidates_for(options.k))
        pairs_results = by_vectors(wide)
        try:
            words_results = [self._by_words(text, wide) for text in texts]
        except CorruptArtifactError as error:
            # Words are read from the whole log. What the vectors find is an answer still, and says what it lacks.
            _log.error("answers by vectors alone: %s", error)
            return [replace(one, hits=one.hits[: options.k], current=False) for one in pairs_results]
        return [
            self._joined(one, by_words, options) for one, by_words in zip(pairs_results, words_results, strict=True)
        ]

    def by_words(self, texts: Sequence[str], options: SearchOptions) -> list[Result]:
        """A result for each query by words alone, whatever mode was asked for."""
        return [self._by_words(text, options) for text in texts]

    def candidates(self, text: str, k: int, *, namespace: str | None, allowed: pa.Array | None = None) -> list[str]:
        """Keys of the documents that hold words of a query, the best first; whatever mode was asked for.

        `namespace`, `allowed`: see `KeywordIndex.search`.
        """
        return [hit.key for hit in self._index.search(text, k, namespace=namespace, allowed=allowed)]

    def _by_words(self, text: str, options: SearchOptions) -> Result:
        """The answer by words alone. No pair gave it."""
        state = self._corpus.state()
        only = restriction(options, self._corpus, head=state.head, version=state.version, whole=True)
        texts = self._open_pairs.texts_at(state.head)
        allowed = only.matching(texts) if only.matching is not None else None
        found = self._index.search(text, options.k, namespace=options.namespace, allowed=allowed)
        rows = texts.base.rows_of(pa.array([hit.key for hit in found], pa.string())).tolist() if found else []
        hits = [hit for one, row in zip(found, rows, strict=True) if (hit := _hit(one, row, texts)) is not None]
        return Result(
            pair="",
            snapshot=0,
            epoch=0,
            watermark=texts.head,
            settings={},
            hits=hits,
            reason="" if hits else "no document holds one of these words",
            head=texts.head,
            answered_by="keyword",
            mode="keyword",
        )

    def _joined(self, nearest: Result, by_words: Result, options: SearchOptions) -> Result:
        # of a document in both, the hit of the vectors, which shows the chunk
        hits = {(hit.namespace, hit.id): hit for answer in (by_words, nearest) for hit in answer.hits}
        sides = [[((hit.namespace, hit.id), hit.score) for hit in answer.hits] for answer in (nearest, by_words)]
        best = list(join_lists(sides, options.weights).items())[: options.k]
        joined = [replace(hits[place], score=score) for place, score in best]
        return replace(nearest, hits=joined, reason="" if joined else nearest.reason, mode="hybrid")

    def close(self) -> None:
        self._index.close()


def candidates_for(k: int) -> int:
    """How many documents to ask each side for, so that the best k of both are among them."""
    return min(_MOST_CANDIDATES, max(_LEAST_CANDIDATES, _CANDIDATES_PER_HIT * k))


def join_lists(sides: Sequence[Sequence[tuple[Place, float]]], weights: Weights | None = None) -> dict[Place, float]:
    """What documents are worth that stand in several lists, the best first.

    Args:
        sides: Of each list its documents with their scores, the best first.
        weights: What each list counts; None joins them by reciprocal rank.

    Example:
        >>> list(join_lists([[(("", "a"), 0.9), (("", "b"), 0.8)], [(("", "b"), 7.0)]]))
        [('', 'b'), ('', 'a')]
    """
    scores: dict[Place, float] = {}
    for side, rows in enumerate(sides):
        worth = _reciprocal_ranks(len(rows)) if weights is None else _shares([score for _, score in rows])
        weight = 1.0 if weights is None else weights[side]
        for (place, _), value in zip(rows, worth, strict=True):
            scores[place] = scores.get(place, 0.0) + weight * value
    return dict(sorted(scores.items(), key=lambda one: (-one[1], one[0])))


def _reciprocal_ranks(count: int) -> list[float]:
    return [1 / (_RANK_OFFSET + rank) for rank in range(1, count + 1)]


def _shares(scores: Sequence[float]) -> list[float]:
    """Scores spread over 0 to 1; 1 for all of a list whose scores are alike."""
    highest, lowest = max(scores, default=0.0), min(scores, default=0.0)
    return [(score - lowest) / (highest - lowest) if highest > lowest else 1.0 for score in scores]


def _hit(one: KeywordHit, row: int, texts: TextCache) -> Hit | None:
    """What a caller gets; None for a document that was deleted a moment ago."""
    change = texts.changed.get(one.key)
    if change.deleted if change is not None else row < 0:
        return None
    text, metadata, _ = texts.lookup(one.key, row)
    namespace, id_ = key_parts(one.key)
    return Hit(id_, one.score, text, metadata, WHOLE_TEXT, stale=False, namespace=namespace)
