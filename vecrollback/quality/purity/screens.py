"""Screens: one pass over all vectors that says where to look. A screen points; only re-embedding decides.

Scoring a block is one product of it with the directions, in the block's own float32: no copy, nothing else per vector.

Two further looks follow. `excess`: own vectors of some kinds of text lie far along any direction, and so do their
neighbours; what a score has in excess of its neighbours' is less about the text and more about the model. `two_sample`,
`hints`: a near relative that no single row shows moves all rows of its ingest batch a little. If cross-validated
guesses tell a batch from the rest better than chance (a classifier two-sample test, Lopez-Paz and Oquab, 2017),
something differs; that may be its topic, so a batch that stands out is looked at and never condemned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecrollback.quality.probabilities import fair_tail
from vecrollback.quality.purity.population import Population
from vecrollback.records.arrays import FloatArray, Numbers

_SAMPLE = 16_384
_LINES = 2_048
"""Rows per product, so that a part of a block is still in the cache when its lengths are taken."""

Scores = NDArray[np.float32]


_NEIGHBOURS = 20
_WEIGHT = 0.6
"""Of the neighbours' mean score; their similarity to the power of eight weighs them."""
_NEIGHBOUR_LINES = 512
_LEAST, _MOST = 32, 256
"""Rows of a batch that make a test worth it, and rows used."""
_FOLDS, _TESTED = 5, 8


@dataclass(frozen=True, slots=True)
class Screening:
    """What the first pass saw. `lengths`: norms, NaN where a vector is not finite. `sample`: vectors at random."""

    lengths: FloatArray
    sample_rows: Numbers
    sample: FloatArray

    @property
    def usable(self) -> NDArray[np.bool_]:
        return np.isfinite(self.lengths) & (self.lengths > 0)

    def directions(self) -> FloatArray:
        """The usable vectors of the sample at unit length."""
        lengths = self.lengths[self.sample_rows]
        good = np.isfinite(lengths) & (lengths > 0)
        return np.asarray(self.sample[good] / lengths[good, None], dtype=np.float32)


def survey(population: Population, random: np.random.Generator) -> Screening:
    """Read every vector once: its length, and some of them at random to keep."""
    count = population.count
    rows = np.sort(random.choice(count, min(count, _SAMPLE), replace=False))
    sample = np.empty((len(rows), population.dimension), np.float32)
    lengths = np.empty(count, np.float32)
    for first, block in population.blocks():
        for start in range(0, len(block), _LINES):
            part = block[start : start + _LINES]
            with np.errstate(all="ignore"):
                norms = np.sqrt(np.einsum("ij,ij->i", part, part))
            lengths[first + start : first + start + len(part)] = np.where(np.isfinite(norms), norms, np.nan)
        low, high = np.searchsorted(rows, [first, first + len(block)])
        sample[low:high] = block[rows[low:high] - first]
    return Screening(lengths, rows.astype(np.int64), sample)


def score(population: Population, directions: FloatArray, lengths: FloatArray) -> Scores:
    """Dot product of every vector, at unit length, with each direction: shape (count, directions)."""
    scores = np.empty((population.count, len(directions)), np.float32)
    columns = np.ascontiguousarray(directions.T, dtype=np.float32)
    with np.errstate(all="ignore"):
        for first, block in population.blocks():
            np.matmul(block, columns, out=scores[first : first + len(block)])
        scores /= lengths[:, None]
    return scores


def distances(population: Population, form: Callable[[FloatArray], FloatArray], lengths: FloatArray) -> Scores:
    """What `form` makes of each vector at unit length, one number each: shape (count,)."""
    values = np.empty(population.count, np.float32)
    with np.errstate(all="ignore"):
        for first, block in population.blocks():
            for start in range(0, len(block), _LINES):
                here = slice(first + start, first + min(start + _LINES, len(block)))
                values[here] = form(block[start : start + _LINES] / lengths[here, None])
    return values


def excess(
    scores: NDArray[np.float32],
    rows: Numbers,
    vectors: FloatArray,
    sample: FloatArray,
    known: NDArray[np.float32],
    sample_rows: Numbers,
) -> NDArray[np.float32]:
    """Scores of these rows less their neighbours'. `known`: scores of the sample. Vectors are of unit length."""
    count = min(_NEIGHBOURS, len(sample) - 1)
    if count < 1:
        return scores
    place = np.minimum(np.searchsorted(sample_rows, rows), len(sample_rows) - 1)
    itself = np.flatnonzero(sample_rows[place] == rows)
    beside = np.empty_like(scores)
    for start in range(0, len(rows), _NEIGHBOUR_LINES):
        here = slice(start, start + _NEIGHBOUR_LINES)
        alike = vectors[here] @ sample.T
        own = itself[(itself >= start) & (itself < start + _NEIGHBOUR_LINES)]
        alike[own - start, place[own]] = -1.0
        nearest = np.argpartition(-alike, count - 1, axis=1)[:, :count]
        weights = np.maximum(np.take_along_axis(alike, nearest, axis=1), 1e-3) ** 8
        beside[here] = (known[nearest] * weights).sum(axis=1) / weights.sum(axis=1)
    return np.asarray(scores - _WEIGHT * beside, dtype=np.float32)


def two_sample(batch: FloatArray, others: FloatArray, random: np.random.Generator) -> float:
    """Probability that guesses as good as these come from equal distributions: exact, binomial, one-sided.

    Both (n, dimension) and whitened; equally many rows of both are used, so that chance is a half. The guess is the
    nearer mean of the rows in the other folds. 1.0 for fewer than 32 rows.
    """
    size = min(len(batch), len(others), _MOST)
    if size < _LEAST:
        return 1.0
    left, right = (side[random.choice(len(side), size, replace=False)] for side in (batch, others))
    fold = random.permutation(size) % _FOLDS
    correct = 0
    for number in range(_FOLDS):
        test, train = fold == number, fold != number
        means = left[train].mean(axis=0), right[train].mean(axis=0)
        direction, middle = means[0] - means[1], (means[0] + means[1]) / 2
        correct += int(np.count_nonzero((left[test] - middle) @ direction > 0))
        correct += int(np.count_nonzero((right[test] - middle) @ direction < 0))
    return fair_tail(correct, 2 * size)


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
