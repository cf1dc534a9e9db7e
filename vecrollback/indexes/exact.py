"""Exact search with NumPy: how vectors outside an index are searched, and how much of the truth an index finds."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from vecrollback.errors import CorruptArtifactError, IndexSpecError, UsageError
from vecrollback.indexes.base import Neighbours, VectorIndex
from vecrollback.indexes.filtered_search import checked_mask, checked_queries, closed, nothing
from vecrollback.records import Metric
from vecrollback.records.arrays import FloatArray, Mask, Positions, cosines
from vecrollback.storage.reading import mapped_array

_BLOCK_SCORES = 4 << 20
"""Scores held at once; 16 MiB stays near the last-level cache and bounds memory for any corpus."""
_MOST_BLOCK_ROWS = 65_536
# How far a stand-in for a query is pulled towards another stored vector: see `sample_queries`.
_PULL = 0.4
# Scores of one vector differ in the last bits between ways to compute them: relative slack of a tie.
_TIE = 1e-5
_BLOCK = 65_536


def exact_search(
    vectors: FloatArray, queries: FloatArray, k: int, metric: Metric, allowed: Mask | None = None
) -> Neighbours:
    """Score every allowed vector and return the best of each query. Memory is bounded whatever n is.

    Args:
        vectors: float32, shape (n, dimension); may be a memory map.
        queries: float32, shape (queries, dimension).
        k: How many to find.
        metric: "cosine", "dot" or "l2".
        allowed: bool, shape (n,); None allows all.

    Returns:
        Scores and positions, shape (queries, k), best first and then by position; unused places hold -inf
        and -1.

    Example:
        >>> vectors = np.array([[1, 0], [0, 1], [0.8, 0.6]], dtype=np.float32)
        >>> exact_search(vectors, vectors[:1], 2, "dot").positions.tolist()
        [[0, 2]]
    """
    best = TopK(queries, k, metric)
    rows = None if allowed is None else np.flatnonzero(allowed)
    total = len(vectors) if rows is None else len(rows)
    for start in range(0, total, best.block_rows):
        stop = min(start + best.block_rows, total)
        if rows is None:
            best.offer(vectors[start:stop], np.arange(start, stop))
        else:
            best.offer(vectors[rows[start:stop]], rows[start:stop])
    return best.result()


def similarity(queries: FloatArray, vectors: FloatArray, metric: Metric) -> FloatArray:
    """Score each query against each vector, as VectorIndex defines it: higher is nearer.

    Args:
        queries: float32, shape (queries, dimension).
        vectors: float32, shape (n, dimension).
        metric: "cosine" and "dot": the inner product; "l2": minus the squared distance.

    Returns:
        float32, shape (queries, n).
    """
    products = queries @ vectors.T
    if metric != "l2":
        return np.asarray(products, dtype=np.float32)
    squares = np.einsum("nd,nd->n", vectors, vectors) + np.einsum("qd,qd->q", queries, queries)[:, None]
    return np.asarray(np.minimum(2 * products - squares, 0), dtype=np.float32)


class TopK:
    """The k best of all vectors offered so far, for each query."""

    def __init__(self, queries: FloatArray, k: int, metric: Metric) -> None:
        self._queries = np.ascontiguousarray(queries, dtype=np.float32)
        self._metric = metric
        self._best = nothing(len(queries), k)
        self.block_rows = max(256, min(_MOST_BLOCK_ROWS, _BLOCK_SCORES // max(1, len(queries))))

    def offer(self, vectors: FloatArray, positions: Positions) -> None:
        """Take in vectors (n, d) that stand at `positions` (n,); n at most about `block_rows`."""
        k = self._best.scores.shape[1]
        scores = similarity(self._queries, vectors, self._metric)
        if k == 0 or scores.size == 0:
            return
        columns = _top_columns(scores, k)
        candidates = np.concatenate([self._best.scores, np.take_along_axis(scores, columns, 1)], axis=1)
        origins = np.concatenate([self._best.positions, positions[columns]], axis=1)
        columns = _top_columns(candidates, k)
        self._best = Neighbours(np.take_along_axis(candidates, columns, 1), np.take_along_axis(origins, columns, 1))

    def result(self) -> Neighbours:
        """The best so far, ordered by score and then by position, so that ties have one answer."""
        scores, positions = self._best
        order = np.lexsort((positions, -scores), axis=1)
        return Neighbours(np.take_along_axis(scores, order, 1), np.take_along_axis(positions, order, 1))


def _top_columns(scores: FloatArray, k: int) -> Positions:
    if scores.shape[1] <= k:
        # No more columns than places: all belong to the best, and argpartition needs more than k.
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:]


class ExactIndex:
    """Vectors in a memory-mapped file, searched exactly."""

    def __init__(self, vectors: FloatArray, metric: Metric) -> None:
        self._vectors: FloatArray | None = vectors
        self.metric: Metric = metric
        self.size, self.dimension = vectors.shape

    def search(self, queries: FloatArray, k: int, allowed: Mask | None = None) -> Neighbours:
        queries = checked_queries(queries, self.dimension)
        mask = None if allowed is None else checked_mask(allowed, self.size)
        return exact_search(self._open_vectors(), queries, k, self.metric, mask)

    def reconstruct(self, positions: Positions) -> FloatArray:
        return np.array(self._open_vectors()[positions], dtype=np.float32)

    def close(self) -> None:
        self._vectors = None

    def _open_vectors(self) -> FloatArray:
        if self._vectors is None:
            raise closed()
        return self._vectors


class ExactKind:
    """The spec `exact`: a .npy file, which serves any metric."""

    suffix = ".index"

    def bytes_per_vector(self, _spec: str, dimension: int) -> int:
        return 4 * dimension

    def fallbacks(self, _spec: str) -> tuple[str, ...]:
        return ()

    def accepts(self, spec: str) -> bool:
        return spec == "exact"

    def build(self, spec: str, vectors: FloatArray, metric: Metric, path: Path) -> None:  # noqa: ARG002
        if vectors.ndim != 2:
            raise IndexSpecError(f"vectors have shape {vectors.shape}, expected (n, dimension)")
        with path.open("wb") as stream:
            np.lib.format.write_array(stream, np.asarray(vectors, dtype=np.float32, order="C"), allow_pickle=False)

    def open(self, path: Path, metric: Metric) -> ExactIndex:
        try:
            vectors = mapped_array(path)
        except (ValueError, OSError, EOFError) as error:
            raise CorruptArtifactError(f"{path} cannot be read as vectors: {error}", hint=_REBUILD) from error
        if vectors.ndim != 2 or vectors.dtype != np.float32:
            raise CorruptArtifactError(
                f"{path} holds {vectors.dtype} of shape {vectors.shape}, not vectors", hint=_REBUILD
            )
        return ExactIndex(cast(FloatArray, vectors), metric)


_REBUILD = "restore the snapshot from a bundle, or build the pair's index again from its stored vectors"


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
    pulled = sample + _PULL * np.asarray(vectors[random.integers(0, len(vectors), count)], dtype=np.float32)
    shrink = np.linalg.norm(sample, axis=1) / np.maximum(np.linalg.norm(pulled, axis=1), np.finfo(np.float32).tiny)
    return np.asarray(pulled * shrink[:, None], dtype=np.float32)


def measure_recall(index: VectorIndex, vectors: FloatArray, *, k: int = 10, queries: int = 200, seed: int = 0) -> float:
    """Measure recall@k of an index over the rows it was built from, against exact search; 1.0 when it is empty.

    Args:
        index: What to measure.
        vectors: float32, shape (n, dimension), n the index's size; may be a memory map larger than memory.
        k: How many neighbours count.
        queries: How many stand-ins for queries are drawn, see `sample_queries`.
        seed: Decides the draw.

    Returns:
        The share of the true neighbours that it finds, 0 to 1.

    Raises:
        UsageError: Another number of vectors than the index holds.
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


def recall(truth: Neighbours, answer: Neighbours, queries: FloatArray, vectors: FloatArray, metric: Metric) -> float:
    """Say what share of the neighbours is as near as the k-th true one.

    Judged by true scores, not positions: of two equal chunks either is right.

    Args:
        truth: Of exact search, shape (queries, k).
        answer: Of an index, the same shape.
        queries: float32, shape (queries, dimension).
        vectors: float32, shape (n, dimension).
        metric: "cosine", "dot" or "l2".

    Returns:
        0 to 1.
    """
    k = truth.scores.shape[1]
    hits = 0
    for row, query in enumerate(queries):
        # Each position once: an index that returned one vector twice must not be credited twice.
        positions = np.unique(answer.positions[row, :k])
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
        decoded = index.reconstruct(np.arange(first, first + len(part), dtype=np.int64))
        worst = max(worst, float(np.max(distances(decoded, part, metric))))
    return worst


def distances(decoded: FloatArray, true: FloatArray, metric: str) -> FloatArray:
    """Row by row 1 - cosine, for "l2" the distance relative to the true vector's length."""
    if metric == "l2":
        lengths = np.linalg.norm(true, axis=1)
        return np.asarray(np.linalg.norm(decoded - true, axis=1) / np.maximum(lengths, 1e-12), dtype=np.float32)
    near = cosines(decoded, true)
    # A zero vector has no cosine: it is the same where the index holds zero too. NaN in the index stays NaN.
    undefined = np.isnan(near) & np.isfinite(decoded).all(axis=1)
    same = undefined & ~decoded.any(axis=1) & ~true.any(axis=1)
    return np.asarray(1.0 - np.where(undefined, same, near), dtype=np.float32)
