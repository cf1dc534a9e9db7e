"""Several indexes searched as one: the same questions to all of them, their answers merged by score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vecrollback.indexes import Neighbours
from vecrollback.indexes.filtered_search import MaskCache, checked_mask, checked_queries, nothing
from vecrollback.indexes.sharded.thread_pool import ShardMasks, ThreadShards
from vecrollback.records import Metric
from vecrollback.records.arrays import FloatArray, Mask, Positions

MOST_MASKS = 16
"""As many as a view remembers filters."""


class ShardedIndex:
    """A VectorIndex whose position i of shard s is i after all positions of the shards before. `sizes`: of each."""

    def __init__(self, shards: ThreadShards, sizes: Sequence[int], dimension: int, metric: Metric) -> None:
        self._shards = shards
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        ends = self._starts.tolist()
        slices = [slice(ends[i], ends[i + 1]) for i in range(len(sizes))]
        self.sizes = tuple(sizes)
        self._masks = MaskCache(lambda mask: ShardMasks(mask, slices), MOST_MASKS)
        self.size = int(self._starts[-1])
        self.dimension = dimension
        self.metric: Metric = metric

    def search(self, queries: FloatArray, k: int, allowed: Mask | None = None) -> Neighbours:
        """As every index's; of equal scores the lowest position comes first."""
        queries = checked_queries(queries, self.dimension)
        masks = None if allowed is None else self._masks.get(checked_mask(allowed, self.size))
        shards = [i for i, size in enumerate(self.sizes) if size and not (masks and masks.empty[i])]
        if not shards or k <= 0 or not len(queries):
            return nothing(len(queries), k)
        answers = self._shards.search(shards, queries, k, masks)
        return merged([self._placed(shard, answer) for shard, answer in zip(shards, answers, strict=True)], k)

    def reconstruct(self, positions: Positions) -> FloatArray:
        positions = np.asarray(positions, dtype=np.int64)
        vectors = np.empty((len(positions), self.dimension), dtype=np.float32)
        owners = np.searchsorted(self._starts, positions, side="right") - 1
        for shard in np.unique(owners):
            here = np.flatnonzero(owners == shard)
            vectors[here] = self._shards.reconstruct(int(shard), positions[here] - self._starts[shard])
        return vectors

    def close(self) -> None:
        self._shards.close()

    def _placed(self, shard: int, answer: Neighbours) -> Neighbours:
        positions = answer.positions
        return Neighbours(answer.scores, np.where(positions >= 0, positions + self._starts[shard], -1))


def merged(answers: Sequence[Neighbours], k: int) -> Neighbours:
    """The k best of several answers to the same queries, by score and then by position."""
    scores = np.hstack([answer.scores for answer in answers])
    positions = np.hstack([answer.positions for answer in answers])
    order = np.lexsort((positions, -scores), axis=1)[:, :k]
    return Neighbours(np.take_along_axis(scores, order, 1), np.take_along_axis(positions, order, 1))
