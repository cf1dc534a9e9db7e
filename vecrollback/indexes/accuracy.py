"""How much of the truth an index finds."""

from __future__ import annotations

import numpy as np

from vecrollback.arrays import FloatArray
from vecrollback.errors import UsageError
from vecrollback.indexes.base import Neighbours, VectorIndex
from vecrollback.indexes.exact import exact_search
from vecrollback.records import Metric

_PULL = 0.4
_TIE = 1e-5


_BLOCK = 65_536


def sample_queries(vectors: FloatArray, count: int, seed: int) -> FloatArray:
    """Stand-ins for queries, shape (min(count, n), d): stored vectors pulled towards another one, their length kept.

    A stored vector as it is would be too kind: the walk ends on its own copy. So would random noise, which in a high
    dimension is orthogonal to everything and reorders nothing. A pull of 0.4 towards a random stored vector (cosine
    about 0.93) leaves the copy, stays in the span of the corpus, and lands between clusters as real queries do.
    Nothing but the vectors and the seed decides the sample.
    """
    random = np.random.default_rng(seed)
    count = min(count, len(vectors))
    rows = np.sort(random.choice(len(vectors), size=count, replace=False))
    sample = np.array(vectors[rows], dtype=np.float32)
    moved = sample + _PULL * np.asarray(vectors[random.integers(0, len(vectors), count)], dtype=np.float32)
    shrink = np.linalg.norm(sample, axis=1) / np.maximum(np.linalg.norm(moved, axis=1), np.finfo(np.float32).tiny)
    return np.asarray(moved * shrink[:, None], dtype=np.float32)


def measure_recall(index: VectorIndex, vectors: FloatArray, *, k: int = 10, queries: int = 200, seed: int = 0) -> float:
    """Recall@k of `index` over `vectors` (n, d), the rows it was built from, against exact search; 1.0 when empty.

    Exact search goes through `vectors` in blocks, so they may be a memory map larger than memory.
    """
    if len(vectors) != index.size:
        raise UsageError(
            f"the index holds {index.size} vectors, {len(vectors)} were given to measure it",
            hint="pass the rows that the index was built from",
        )
    if len(vectors) == 0:
        return 1.0
    k = min(k, len(vectors))
    sample = sample_queries(vectors, queries, seed)
    truth = exact_search(vectors, sample, k, index.metric)
    return recall(truth, index.search(sample, k), sample, vectors, index.metric)


def recall(truth: Neighbours, found: Neighbours, queries: FloatArray, vectors: FloatArray, metric: Metric) -> float:
    """Share of the found neighbours that are as near as the k-th true one.

    Judged by true scores, not positions: of two equal chunks either is right.
    """
    k = truth.scores.shape[1]
    hits = 0
    for row, query in enumerate(queries):
        positions = np.unique(found.positions[row, :k])
        near = np.asarray(vectors[positions[positions >= 0]], dtype=np.float32)
        scores = near @ query if metric != "l2" else -np.square(near - query).sum(axis=1)
        last = truth.scores[row, -1]
        hits += int(np.count_nonzero(scores >= last - _TIE * max(1.0, abs(float(last)))))
    return hits / truth.scores.size


def decode_error(index: VectorIndex, true: FloatArray, metric: str) -> float:
    """Largest distance between vectors and what an index holds of them: 1 - cosine, for "l2" relative."""
    worst = 0.0
    for first in range(0, len(true), _BLOCK):
        part = true[first : first + _BLOCK]
        held = index.reconstruct(np.arange(first, first + len(part), dtype=np.int64))
        worst = max(worst, float(np.max(distances(held, part, metric))))
    return worst


def distances(held: FloatArray, true: FloatArray, metric: str) -> FloatArray:
    """Row by row 1 - cosine, for "l2" the distance relative to the true vector's length."""
    if metric == "l2":
        lengths = np.linalg.norm(true, axis=1)
        return np.asarray(np.linalg.norm(held - true, axis=1) / np.maximum(lengths, 1e-12), dtype=np.float32)
    products = np.linalg.norm(held, axis=1) * np.linalg.norm(true, axis=1)
    return np.asarray(1.0 - np.einsum("ij,ij->i", held, true) / np.maximum(products, 1e-12), dtype=np.float32)
