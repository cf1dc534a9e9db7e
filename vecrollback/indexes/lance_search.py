"""Searching an opened Lance dataset of (position, vector)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from vecrollback.arrays import FloatArray, Mask, Positions
from vecrollback.indexes.base import Neighbours
from vecrollback.indexes.exact import TopK, checked_mask, checked_queries, closed, nothing
from vecrollback.indexes.filtered_search import Selection, Selections, padded, widened_search
from vecrollback.records import Metric

TUNED_K = 10
_TAKE_SHARE = 16
"""Below this share of allowed positions taking their rows beats streaming all of them."""


@dataclass(frozen=True, slots=True)
class Breadth:
    """How broadly to search for 10 neighbours; `partitions` 0 means there is no index and everything is scanned."""

    partitions: int
    nprobes: int = 1
    refine: int = 0


class LanceIndex:
    """One opened dataset, never written to."""

    def __init__(self, dataset: Any, size: int, dimension: int, metric: Metric, breadth: Breadth) -> None:
        self._dataset = dataset
        self._breadth = breadth
        self._selections = Selections()
        self.size = size
        self.dimension = dimension
        self.metric: Metric = metric

    def search(self, queries: FloatArray, k: int, allowed: Mask | None = None) -> Neighbours:
        queries = checked_queries(queries, self.dimension)
        chosen = None if allowed is None else self._selections.get(checked_mask(allowed, self.size))
        possible = min(k, self.size if chosen is None else chosen.count)
        if possible <= 0 or len(queries) == 0:
            return nothing(len(queries), k)

        def scan(rows: FloatArray, count: int) -> Neighbours:
            return self._scan(rows, count, chosen)

        if self._breadth.partitions == 0:
            return padded(scan(queries, possible), k)
        return padded(widened_search(self.near, scan, queries, possible, chosen=chosen, size=self.size), k)

    def near(self, queries: FloatArray, reach: int) -> Neighbours:
        """The `reach` nearest through the index, unmasked."""
        found = nothing(len(queries), reach)
        nearest = self._nearest(reach)
        for row, query in enumerate(queries):
            table = self._opened().to_table(columns=["position", "_distance"], nearest={**nearest, "q": query})
            distances = table["_distance"].to_numpy()
            # Lance's dot distance is one minus the inner product, its l2 distance is squared.
            found.scores[row, : len(distances)] = -distances if self.metric == "l2" else 1 - distances
            found.positions[row, : len(distances)] = table["position"].to_numpy()
        return found

    def reconstruct(self, positions: Positions) -> FloatArray:
        table = self._opened().take(np.asarray(positions).tolist(), columns=["vector"])
        return _vectors_of(table["vector"].combine_chunks(), self.dimension)

    def close(self) -> None:
        self._dataset = None

    def _nearest(self, reach: int) -> dict[str, Any]:
        breadth = self._breadth
        growth = max(1.0, math.sqrt(reach / TUNED_K))
        nprobes = min(breadth.partitions, math.ceil(breadth.nprobes * growth))
        nearest: dict[str, Any] = {"column": "vector", "k": reach, "nprobes": nprobes}
        if breadth.refine:
            nearest["refine_factor"] = max(2, math.ceil(breadth.refine / growth))
        return nearest

    def _scan(self, queries: FloatArray, k: int, chosen: Selection | None) -> Neighbours:
        """Score every allowed vector: taken by position when few are allowed, streamed when many are."""
        best = TopK(queries, k, self.metric)
        if chosen is not None and chosen.count * _TAKE_SHARE <= self.size:
            for start in range(0, chosen.count, best.block_rows):
                positions = chosen.positions[start : start + best.block_rows]
                best.offer(self.reconstruct(positions), positions)
            return best.result()
        for batch in self._opened().to_batches(columns=["position", "vector"]):
            vectors = _vectors_of(batch["vector"], self.dimension)
            positions = batch["position"].to_numpy(zero_copy_only=False)
            kept = slice(None) if chosen is None else chosen.mask[positions]
            best.offer(vectors[kept], positions[kept])
        return best.result()

    def _opened(self) -> Any:
        if self._dataset is None:
            raise closed()
        return self._dataset


def _vectors_of(column: Any, dimension: int) -> FloatArray:
    values = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=np.float32).reshape(-1, dimension)
