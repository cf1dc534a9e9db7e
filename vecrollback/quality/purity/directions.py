"""How foreign vectors stand apart from own ones: along a direction, or by how they spread.

Directions are whitened with the covariance of the index itself: thousands of vectors instead of a few hundred labelled
ones. Foreign vectors among those stretch it along their mean difference, which by the Sherman-Morrison formula changes
the length of the whitened direction and not where it points.

A fine-tune moves vectors and leaves their spread as it is. A model of another kind has a spread of its own, and that
tells its vectors even where they make up a fifth of the index.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecrollback.records.arrays import FloatArray

_MOST_MODELS = 4
_PER_MODEL = 8
_APART = 0.13
"""Silhouette, by cosine, from which on paired differences count as several models."""

_HALVES = 16
"""Pairs from which on it is tried whether another model spreads its vectors in another way."""

_FROM_TEXT_TO_TEXT = 0.2
"""Weight of the covariance of paired differences: half is as good for fine-tunes and worse for other models."""


@dataclass(frozen=True, slots=True)
class Whitening:
    """Mean and precision of the vectors of an index. `root`: the axes, whitened."""

    mean: NDArray[np.float64]
    precision: NDArray[np.float64]
    covariance: NDArray[np.float64]
    root: FloatArray

    def mahalanobis(self) -> Callable[[FloatArray], FloatArray]:
        """How unusual a vector is, squared."""
        shift = self.mean.astype(np.float32) @ self.root

        def form(vectors: FloatArray) -> FloatArray:
            there = vectors @ self.root - shift
            return np.asarray(np.einsum("ij,ij->i", there, there), dtype=np.float32)

        return form


def whiten(vectors: FloatArray) -> Whitening:
    """Learn what is usual from vectors of unit length, most of them own. Shrinkage after Ledoit and Wolf (2004)."""
    from sklearn.covariance import ledoit_wolf

    covariance, _ = ledoit_wolf(vectors.astype(np.float64))
    values, axes = np.linalg.eigh(covariance)
    values = np.maximum(values, values[-1] * 1e-9 if values[-1] > 0 else 1.0)
    root = axes / np.sqrt(values)
    return Whitening(
        mean=vectors.mean(axis=0, dtype=np.float64),
        precision=root @ root.T,
        covariance=covariance,
        root=root.astype(np.float32),
    )


def between(own: FloatArray, foreign: FloatArray, whitening: Whitening) -> FloatArray:
    """From own to foreign vectors of the same texts, shape (dimension,): their mean difference, whitened.

    What the difference varies by from text to text is noise too, and is added to the covariance.
    """
    from sklearn.covariance import ledoit_wolf

    difference = foreign.astype(np.float64) - own
    spread = whitening.covariance
    if len(difference) >= _PER_MODEL:
        spread = spread + _FROM_TEXT_TO_TEXT * ledoit_wolf(difference)[0]
    direction = np.linalg.solve(spread + np.eye(len(spread)) * 1e-9 * np.trace(spread), difference.mean(axis=0))
    length = np.linalg.norm(direction)
    return np.asarray(direction / length if length > 0 else direction, dtype=np.float32)


def spread_otherwise(own: FloatArray, foreign: FloatArray, whitening: Whitening) -> bool:
    """Whether `likelier` tells own from foreign vectors (n, dimension) of the same texts better than `between` does.

    Each half of the pairs is told apart by what was learned from the other. A model of another kind spreads its vectors
    in other directions, a fine-tune in the same.
    """
    if len(own) < _HALVES:
        return False
    along, by_spread = 0.0, 0.0
    for learned, kept in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        direction = between(own[learned], foreign[learned], whitening)
        form = likelier(foreign[learned], whitening)
        along += _gap(own[kept] @ direction, foreign[kept] @ direction)
        by_spread += _gap(form(own[kept]), form(foreign[kept]))
    return by_spread > along


def likelier(foreign: FloatArray, whitening: Whitening) -> Callable[[FloatArray], FloatArray]:
    """How much likelier a vector is among these foreign ones than among usual ones: twice the logarithm of the ratio of
    two normal distributions, but for a constant.
    """
    usual, other = whitening.mahalanobis(), whiten(foreign).mahalanobis()
    return lambda vectors: usual(vectors) - other(vectors)


def _gap(own: FloatArray, foreign: FloatArray) -> float:
    """By how many standard deviations foreign values stand above own ones."""
    spread = np.sqrt((own.var() + foreign.var()) / 2)
    return float((foreign.mean() - own.mean()) / spread) if spread > 0 else 0.0


def by_model(own: FloatArray, foreign: FloatArray) -> NDArray[np.int64]:
    """Which foreign vectors seem to come from one model: a label each, from clusters of their paired differences."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    alone = np.zeros(len(own), np.int64)
    difference = foreign - own
    lengths = np.linalg.norm(difference, axis=1, keepdims=True)
    if len(own) < 2 * _PER_MODEL or not np.all(lengths > 0):
        return alone
    units = difference / lengths
    best, labels = _APART, alone
    for models in range(2, min(_MOST_MODELS, len(own) // _PER_MODEL) + 1):
        labels_here = KMeans(models, n_init=3, random_state=0).fit_predict(units)
        if np.bincount(labels_here).min() < 2:
            continue
        apart = silhouette_score(units, labels_here, sample_size=min(len(units), 500), random_state=0)
        if apart > best:
            best, labels = apart, labels_here.astype(np.int64)
    return labels
