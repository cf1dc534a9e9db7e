"""A score threshold of one pair, translated to another pair: the one that lets the same answers through.

Scores of two models are on different scales, so a threshold that was tuned for one says nothing to the other. Both
pairs are asked the same queries, each with its own model's vectors. Of all thresholds of the second pair that one is
taken which lets through most of the answers that the first one does, and fewest others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vecrollback.embedders.pieces import embed_in_pieces
from vecrollback.errors import UsageError, VecrollbackError
from vecrollback.pairs.bridges import Bridges
from vecrollback.pairs.resources import Resources
from vecrollback.quality.evaluation.query_sets import LEAST_QUERIES, MOST_QUERIES
from vecrollback.records import Hit, Json, Pair, ThresholdTranslation, document_key
from vecrollback.serving.open_pairs import BorrowedPairs, OpenPair

SETTINGS = ("score_threshold", "threshold")
"""The settings of a pair that are read as a score threshold."""

_DEPTH = 50
_DRAWS = 200

Answers = Sequence[tuple[set[str], Sequence[tuple[str, float]]]]
"""Of each query the documents that the first pair lets through, and the second pair's nearest with their scores."""


class Thresholds:
    """Translates thresholds, on open pairs of its own, apart from those that serve."""

    def __init__(self, resources: Resources, bridges: Bridges) -> None:
        self._catalog, self._bridges = resources.catalog, bridges
        self._pairs = BorrowedPairs(resources)

    def translate(
        self, a: Pair, b: Pair, threshold: float | None = None, *, seed: int | None = None
    ) -> ThresholdTranslation:
        """Ask both pairs the golden queries, or texts that both hold, and match their answers.

        Args:
            a: The pair whose threshold it is.
            b: The pair that is to have one.
            threshold: The score. Default: the one in the settings of `a`.
            seed: Of what is drawn; None draws anew.

        Returns:
            The threshold of `b`, with its error.

        Raises:
            UsageError: No threshold is given and none is in the settings, or no answer is over it.
            PairStateError: There are no golden queries, or a model does not answer, and the pairs have too few texts
                in common.
        """
        score = setting_of(a.settings) if threshold is None else threshold
        if score is None:
            raise UsageError(
                f"the settings of {a.name!r} hold no score threshold", hint=f"give one, or set {' or '.join(SETTINGS)}"
            )
        with self._pairs.pairs(a.name, b.name) as [first, second]:
            answers, kind = self._answers(first, second, score, seed)
        over = sum(len(through) for through, _ in answers)
        if not over:
            raise UsageError(
                f"no answer of {a.name!r} has a score of {score:g} or more, of {len(answers)} queries",
                hint="give a threshold that some answers reach",
            )
        best = best_threshold(answers)
        low, high = _interval(answers, np.random.default_rng(seed))
        return ThresholdTranslation(
            a.name, b.name, score, best, min(low, best), max(high, best), _same(answers), over, len(answers), kind
        )

    def close(self) -> None:
        """Let go of the pairs that are held open. Idempotent."""
        self._pairs.close()

    def _answers(
        self, first: OpenPair, second: OpenPair, score: float, seed: int | None
    ) -> tuple[Answers, Literal["golden", "documents"]]:
        texts = [query.text for query in self._catalog.golden.all()][:MOST_QUERIES]
        if len(texts) >= LEAST_QUERIES:
            try:
                sides = [
                    one.view.search(embed_in_pieces(one.queries.embed_proven, texts), _DEPTH) for one in (first, second)
                ]
                return _matched(sides[0], sides[1], score), "golden"
            except (VecrollbackError, OSError, ImportError):
                pass  # a model is gone; both still hold vectors
        common = self._bridges.common(first.pair, second.pair, seed=seed)
        vectors = common.source[:MOST_QUERIES], common.target[:MOST_QUERIES]
        # The nearest to a document is the document itself, in both.
        sides = [
            [hits[1:] for hits in one.view.search(queries, _DEPTH + 1)]
            for one, queries in zip((first, second), vectors, strict=True)
        ]
        return _matched(sides[0], sides[1], score), "documents"


def setting_of(settings: Mapping[str, Json]) -> float | None:
    """The score threshold among a pair's settings; None where there is none."""
    numbers = (settings.get(name) for name in SETTINGS)
    return next((float(one) for one in numbers if isinstance(one, int | float) and not isinstance(one, bool)), None)


def best_threshold(answers: Answers) -> float:
    """The score of the second pair at which most of the answers over either threshold are over both.

    Halfway between the last score that is let through and the next one.
    """
    scores, right, total = _ranked(answers)
    place = int(np.argmax(_agreement(right, total)))
    following = scores[place + 1] if place + 1 < len(scores) else scores[place]
    return float((scores[place] + following) / 2)


def _matched(first: Sequence[Sequence[Hit]], second: Sequence[Sequence[Hit]], score: float) -> Answers:
    return [
        (
            {document_key(hit.id, hit.namespace) for hit in mine if hit.score >= score},
            [(document_key(hit.id, hit.namespace), hit.score) for hit in theirs],
        )
        for mine, theirs in zip(first, second, strict=True)
    ]


def _ranked(answers: Answers) -> tuple[NDArray[np.float64], NDArray[np.bool_], int]:
    """The second pair's answers, the best first: scores, and whether the first lets them through; how many it does."""
    scores = np.array([score for _, hits in answers for _, score in hits], np.float64)
    right = np.array([id_ in through for through, hits in answers for id_, _ in hits], dtype=bool)
    order = np.argsort(-scores, kind="stable")
    return scores[order], right[order], sum(len(through) for through, _ in answers)


def _agreement(right: NDArray[np.bool_], total: int) -> NDArray[np.float64]:
    """Of the answers over either threshold, the share over both, for every number of answers let through."""
    both = np.cumsum(right)
    return np.asarray(both / (total + np.arange(1, len(right) + 1) - both), dtype=np.float64)


def _same(answers: Answers) -> float:
    """The agreement of one half of the queries at the threshold that the other half chose; of both, the mean."""
    halves = answers[::2], answers[1::2]
    shares = []
    for chosen_by, measured in (halves, halves[::-1]):
        if not any(through for through, _ in chosen_by):
            continue
        scores, right, total = _ranked(measured)
        passed = scores >= best_threshold(chosen_by)
        both = int(np.count_nonzero(right & passed))
        either = total + int(np.count_nonzero(passed)) - both
        shares.append(both / either if either else 1.0)
    return float(np.mean(shares))


def _interval(answers: Answers, random: np.random.Generator) -> tuple[float, float]:
    """Where the threshold lies in 95 of 100 draws of as many queries."""
    drawn = []
    for _ in range(_DRAWS):
        again = [answers[place] for place in random.integers(0, len(answers), len(answers))]
        if any(through for through, _ in again):
            drawn.append(best_threshold(again))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)
