"""Exact search with NumPy: the oracle of every other index, and how vectors outside an index are searched."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vecrollback.arrays import FloatArray, Mask, Positions
from vecrollback.errors import CorruptArtifactError, IndexSpecError, UsageError
from vecrollback.indexes.base import Neighbours
from vecrollback.records import Metric

_BLOCK_SCORES = 4 << 20
"""Scores held at once; 16 MiB stays near the last-level cache and bounds memory for any corpus."""
_MOST_BLOCK_ROWS = 65_536


def exact_search(
    vectors: FloatArray, queries: FloatArray, k: int, metric: Metric, allowed: Mask | None = None
) -> Neighbours:
    """Score every allowed vector and return the k best of each query.

    `vectors`: (n, d), may be a memory map; `queries`: (q, d); `allowed`: (n,). Memory is bounded whatever n is.
    """
    best = TopK(queries, k, metric)
    chosen = None if allowed is None else np.flatnonzero(allowed)
    total = len(vectors) if chosen is None else len(chosen)
    for start in range(0, total, best.block_rows):
        stop = min(start + best.block_rows, total)
        if chosen is None:
            best.offer(vectors[start:stop], np.arange(start, stop))
        else:
            best.offer(vectors[chosen[start:stop]], chosen[start:stop])
    return best.result()


def similarity(queries: FloatArray, vectors: FloatArray, metric: Metric) -> FloatArray:
    """Score each query (q, d) against each vector (n, d) as VectorIndex defines it; shape (q, n)."""
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
        merged = np.concatenate([self._best.scores, np.take_along_axis(scores, columns, 1)], axis=1)
        origins = np.concatenate([self._best.positions, positions[columns]], axis=1)
        columns = _top_columns(merged, k)
        self._best = Neighbours(np.take_along_axis(merged, columns, 1), np.take_along_axis(origins, columns, 1))

    def result(self) -> Neighbours:
        """The best so far, ordered by score and then by position, so that ties have one answer."""
        scores, positions = self._best
        order = np.lexsort((positions, -scores), axis=1)
        return Neighbours(np.take_along_axis(scores, order, 1), np.take_along_axis(positions, order, 1))


def _top_columns(scores: FloatArray, k: int) -> Positions:
    if scores.shape[1] <= k:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:]


def nothing(queries: int, k: int) -> Neighbours:
    """An answer with every place unused."""
    return Neighbours(np.full((queries, k), -np.inf, np.float32), np.full((queries, k), -1, np.int64))


def checked_queries(queries: FloatArray, dimension: int) -> FloatArray:
    """Queries as C-contiguous float32 (q, dimension), or UsageError naming both shapes."""
    if queries.ndim != 2 or queries.shape[1] != dimension:
        raise UsageError(
            f"queries have shape {queries.shape}, the index holds vectors of dimension {dimension}",
            hint="pass an array of shape (queries, dimension), made by the embedder of this pair",
        )
    return np.ascontiguousarray(queries, dtype=np.float32)


def checked_mask(allowed: Mask, size: int) -> Mask:
    """A mask of shape (size,), or UsageError: a mask of another snapshot would let deleted positions through."""
    if allowed.shape != (size,) or allowed.dtype != np.bool_:
        raise UsageError(
            f"mask has shape {allowed.shape} and type {allowed.dtype}, the index holds {size} vectors",
            hint="pass a boolean array with one value for each position of this index",
        )
    return allowed


def closed() -> UsageError:
    """The error of an index that is used after close()."""
    return UsageError("this index is closed", hint="open the snapshot again")


class ExactIndex:
    """Vectors in a memory-mapped file, searched exactly."""

    def __init__(self, vectors: FloatArray, metric: Metric) -> None:
        self._vectors: FloatArray | None = vectors
        self.metric: Metric = metric
        self.size, self.dimension = vectors.shape

    def search(self, queries: FloatArray, k: int, allowed: Mask | None = None) -> Neighbours:
        queries = checked_queries(queries, self.dimension)
        mask = None if allowed is None else checked_mask(allowed, self.size)
        return exact_search(self._opened(), queries, k, self.metric, mask)

    def reconstruct(self, positions: Positions) -> FloatArray:
        return np.array(self._opened()[positions], dtype=np.float32)

    def close(self) -> None:
        self._vectors = None

    def _opened(self) -> FloatArray:
        if self._vectors is None:
            raise closed()
        return self._vectors


class ExactKind:
    """The spec `exact`: a .npy file, which serves any metric."""

    def accepts(self, spec: str) -> bool:
        return spec == "exact"

    def build(self, spec: str, vectors: FloatArray, metric: Metric, path: Path) -> None:  # noqa: ARG002
        if vectors.ndim != 2:
            raise IndexSpecError(f"vectors have shape {vectors.shape}, expected (n, dimension)")
        with path.open("wb") as stream:
            np.lib.format.write_array(stream, np.asarray(vectors, dtype=np.float32, order="C"), allow_pickle=False)

    def open(self, path: Path, metric: Metric) -> ExactIndex:
        try:
            vectors = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise CorruptArtifactError(f"{path} cannot be read as vectors: {error}", hint=_REBUILD) from error
        if vectors.ndim != 2 or vectors.dtype != np.float32:
            raise CorruptArtifactError(
                f"{path} holds {vectors.dtype} of shape {vectors.shape}, not vectors", hint=_REBUILD
            )
        return ExactIndex(vectors, metric)


_REBUILD = "restore the snapshot from a bundle, or build the pair's index again from its stored vectors"
