"""What nDCG would be over a whole corpus, from the scores of a sample of it.

In a sample of a twentieth a right document nearly always comes first; what counts is how many documents of the whole
corpus would come before it. That is estimated for each query from the tail of the sampled scores: above a threshold
scores fall off exponentially (peaks over threshold, Pickands 1975), so their mean excess says how likely a document is
to lie above any higher score. A Poisson number of documents then comes before the right one.

An exponential tail is heavier than that of most scores, so nDCG comes out low, by 0.05 on average over four models of
two collections. Whoever compares two models by it has that error on both sides. Lighter tails had less of it and more
spread: with this one the truth lay in 98% of a forecast's intervals, with others in 79 to 88% (72 forecasts).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DEPTH = 10
"""The measure is nDCG at so many."""

_TAIL = 0.1
_LEAST_TAIL = 8


def expected_ndcg(
    right: Sequence[NDArray[np.float64]],
    grades: Sequence[NDArray[np.float64]],
    others: NDArray[np.float64],
    total: int | NDArray[np.int64],
) -> NDArray[np.float64]:
    """Expected nDCG@10 of each query over `total` documents.

    Args:
        right: For each query the scores of its right documents.
        grades: Their grades, in the same order.
        others: Scores of sampled other documents, shape (queries, sample); NaN where one is a right document.
        total: Documents that each query is asked of; one number where that is the same for all.

    Returns:
        One value for each query, from 0 to 1.
    """
    totals = np.broadcast_to(total, len(right)).tolist()
    rows = zip(right, grades, others, totals, strict=True)
    values = [_one(r, g, row[~np.isnan(row)], documents) for r, g, row, documents in rows]
    return np.array(values)


def documents_above(scores: NDArray[np.float64], sample: NDArray[np.float64], total: int) -> NDArray[np.float64]:
    """How many of `total` documents score higher than each of `scores`, estimated from a sample of them."""
    ascending = np.sort(sample)
    count = min(len(sample), max(_LEAST_TAIL, int(_TAIL * len(sample))))
    threshold = ascending[-count]
    excess = max(float(np.mean(ascending[-count:] - threshold)), 1e-9)
    in_sample = len(sample) - np.searchsorted(ascending, scores, side="right")
    beyond = count * np.exp(-np.maximum(scores - threshold, 0.0) / excess)
    # Below the threshold the sample itself says it; above it, where few are left to count, the fitted tail does.
    return np.asarray(np.where(scores < threshold, in_sample, beyond) * total / len(sample), dtype=np.float64)


def _one(right: NDArray[np.float64], grades: NDArray[np.float64], sample: NDArray[np.float64], total: int) -> float:
    order = np.argsort(-right, kind="stable")
    above = documents_above(right[order], sample, total)
    gains = [
        grade * _discount(others, place) for place, (grade, others) in enumerate(zip(grades[order], above, strict=True))
    ]
    ideal = np.sort(grades)[::-1][:DEPTH]
    return float(np.sum(gains) / np.sum(ideal / np.log2(np.arange(2, len(ideal) + 2))))


def _discount(others: float, before: int) -> float:
    """Expected discount of a document that has a Poisson number of others and `before` right ones above it."""
    places = np.arange(DEPTH - before)
    if not len(places):
        return 0.0
    steps = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, len(places))))])
    chances = np.exp(places * np.log(max(others, 1e-12)) - others - steps)
    return float(np.sum(chances / np.log2(places + before + 2)))
