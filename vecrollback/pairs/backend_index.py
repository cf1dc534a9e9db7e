"""The index of a database as what the rest of the product searches: by position, masked from outside."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import cached_property, partial

import numpy as np
import pyarrow as pa

from vecrollback.errors import CorruptArtifactError, UsageError
from vecrollback.indexes.base import Neighbours, VectorIndex
from vecrollback.pairs.backend import VectorBackend
from vecrollback.pairs.vectors import MEND_VECTORS, matrix
from vecrollback.records import Metric
from vecrollback.records.arrays import FloatArray, Mask, Numbers, Positions

_FEW_ROWS, _FEW_SHARE = 1_000, 0.02
"""Where no more may answer, they are compared one by one: an index would go through the others to find them."""
_MOST_NAMED = 100_000
_MARGIN = 8


class BackendIndex:
    """A `VectorIndex`. Position i is the row `numbers[i]`, ascending; `below`: how many rows there were when it was
    built. Later rows, superseded ones and those that a mask hides are left out of what the database finds.
    """

    def __init__(self, backend: VectorBackend, spec: str, numbers: Numbers, dimension: int, metric: Metric, below: int):
        self._backend, self._spec, self._numbers, self._below = backend, spec, numbers, below
        self.dimension, self.metric, self.size = dimension, metric, len(numbers)
        self._search: Callable[..., Neighbours] = backend.search
        self._reach = below

    @cached_property
    def _namespaces(self) -> frozenset[str]:
        """Those that the database has an index of their own for; asked once, for whoever opens a snapshot anew."""
        asked = getattr(self._backend, "namespaces", None)
        return asked() if asked else frozenset()

    def within(self, namespace: str, count: int) -> VectorIndex:
        """What searches inside a namespace: the same positions, by the namespace's own index where there is one.

        Args:
            namespace: Of the documents that the masks of all searches leave.
            count: How many positions are of it.
        """
        if namespace not in self._namespaces:
            return self
        index = copy(self)
        index._search = partial(self._backend.search, namespace=namespace)  # type: ignore[call-arg]
        index._reach = count
        return index

    def search(self, queries: FloatArray, k: int, allowed: Mask | None = None) -> Neighbours:
        if queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise UsageError(f"queries have shape {queries.shape}, the index needs (n, {self.dimension})")
        if allowed is not None and allowed.shape != (self.size,):
            raise UsageError(f"the mask has shape {allowed.shape}, the index holds {self.size} vectors")
        answer = Neighbours(np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64))
        count = self.size if allowed is None else int(np.count_nonzero(allowed))
        wanted = min(k, count)
        if not wanted or not len(queries):
            return answer
        if allowed is not None and count <= max(_FEW_ROWS, _FEW_SHARE * self._reach) and count <= _MOST_NAMED:
            self._fill(answer, np.arange(len(queries)), self._among(queries, wanted, allowed), allowed)
            return answer
        fetch = wanted if count == self._reach else int(wanted * self._reach / count * 1.2) + _MARGIN
        self._widen(answer, queries, wanted, allowed, fetch)
        return answer

    def _widen(self, answer: Neighbours, queries: FloatArray, wanted: int, allowed: Mask | None, fetch: int) -> None:
        """Ask for more until enough of what comes may be shown."""
        left = np.arange(len(queries))
        fetch, spec = min(fetch, self._below), self._spec
        while len(left):
            rows = self._search(queries[left], fetch, spec, self._below)
            short = self._fill(answer, left, rows, allowed) < wanted
            left = left[short]
            # An index that gives fewer than it was asked for has gone through all that it will: the rest is exact.
            if fetch >= self._below and spec == "exact":
                return
            if np.any(rows.positions[short, -1] < 0):
                spec = "exact"
            fetch = min(4 * fetch, self._below)
            spec = "exact" if fetch >= self._below else spec

    def _among(self, queries: FloatArray, k: int, allowed: Mask) -> Neighbours:
        return self._backend.search(queries, k, "exact", self._below, self._numbers[allowed])

    def _fill(self, answer: Neighbours, places: Numbers, rows: Neighbours, allowed: Mask | None) -> Numbers:
        """Put what may be shown into the answers at these places; how many each got."""
        positions = np.searchsorted(self._numbers, rows.positions)
        positions[positions == self.size] = 0
        good = (rows.positions >= 0) & (self._numbers[positions] == rows.positions)
        if allowed is not None:
            good &= allowed[positions]
        counts = np.zeros(len(places), np.int64)
        for at, place in enumerate(places.tolist()):
            chosen = np.flatnonzero(good[at])[: answer.positions.shape[1]]
            counts[at] = len(chosen)
            answer.scores[place, : len(chosen)] = rows.scores[at, chosen]
            answer.positions[place, : len(chosen)] = positions[at, chosen]
        return counts

    def reconstruct(self, positions: Positions) -> FloatArray:
        numbers, places = np.unique(self._numbers[positions], return_inverse=True)
        table = self._backend.take(numbers, ["vector"])
        if table.num_rows != len(numbers):
            raise CorruptArtifactError(f"rows of {self._backend.place} are gone", hint=MEND_VECTORS)
        return matrix(table.take(pa.array(places))["vector"], self.dimension)

    def close(self) -> None:
        """Nothing to free: connections are shared by all that is open."""
