"""Screening whole ingest batches: a near relative that no single row shows moves all rows of its batch a little.

A classifier two-sample test (Lopez-Paz and Oquab, 2017): if cross-validated guesses tell a batch from the rest better
than chance, something differs. That may be its topic, so a batch that stands out is looked at and never condemned.
"""

from __future__ import annotations

import numpy as np

from vecrollback.arrays import FloatArray, Numbers

_LEAST, _MOST = 32, 256
"""Rows of a batch that make a test worth it, and rows used."""

_FOLDS, _TESTED = 5, 8


def two_sample(batch: FloatArray, others: FloatArray, random: np.random.Generator) -> float:
    """Probability that guesses as good as these come from equal distributions: exact, binomial, one-sided.

    Both (n, dimension) and whitened; equally many rows of both are used, so that chance is a half. The guess is the
    nearer mean of the rows in the other folds. 1.0 for fewer than 32 rows.
    """
    from scipy.stats import binom

    size = min(len(batch), len(others), _MOST)
    if size < _LEAST:
        return 1.0
    left, right = (side[random.choice(len(side), size, replace=False)] for side in (batch, others))
    fold = random.permutation(size) % _FOLDS
    correct = 0
    for number in range(_FOLDS):
        held, kept = fold == number, fold != number
        means = left[kept].mean(axis=0), right[kept].mean(axis=0)
        direction, middle = means[0] - means[1], (means[0] + means[1]) / 2
        correct += int(np.count_nonzero((left[held] - middle) @ direction > 0))
        correct += int(np.count_nonzero((right[held] - middle) @ direction < 0))
    return float(binom.sf(correct - 1, 2 * size, 0.5))


def hints(
    batches: Numbers, rows: Numbers, vectors: FloatArray, *, limit: int, random: np.random.Generator
) -> list[int]:
    """Ingest batches that differ from the rest, the most conspicuous first; a probability below 5% in all.

    `rows`, `vectors`: a random sample of the population, whitened.
    """
    labels = batches[rows]
    names, counts = np.unique(labels, return_counts=True)
    names = names[counts >= _LEAST]
    names = names[random.permutation(len(names))[: _TESTED * limit]]
    chances = {int(name): two_sample(vectors[labels == name], vectors[labels != name], random) for name in names}
    standing_out = [name for name, chance in chances.items() if chance * len(chances) < 0.05]
    return sorted(standing_out, key=chances.__getitem__)[:limit]
