"""A second look at the rows that score highest: does a vector stand out from what the index says about the same things?

Own vectors of some kinds of text lie far along any direction, and so do their neighbours. What a score has in excess of
its neighbours' is less about the text and more about the model. Neighbours come from a sample of the index.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vecrollback.arrays import FloatArray, Numbers

_NEIGHBOURS = 20
_WEIGHT = 0.6
"""Of the neighbours' mean score; their similarity to the power of eight weighs them."""

_LINES = 512


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
    for start in range(0, len(rows), _LINES):
        here = slice(start, start + _LINES)
        alike = vectors[here] @ sample.T
        own = itself[(itself >= start) & (itself < start + _LINES)]
        alike[own - start, place[own]] = -1.0
        nearest = np.argpartition(-alike, count - 1, axis=1)[:, :count]
        weights = np.maximum(np.take_along_axis(alike, nearest, axis=1), 1e-3) ** 8
        beside[here] = (known[nearest] * weights).sum(axis=1) / weights.sum(axis=1)
    return np.asarray(scores - _WEIGHT * beside, dtype=np.float32)
