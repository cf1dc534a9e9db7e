"""Searching an approximate index among allowed positions only, without losing recall.

Handing a mask to a graph or an inverted file walks the same neighbourhood as before and drops what is masked: when the
masked vectors are the query's own neighbourhood (a topic was deleted), the k found are not the k nearest. So the
index is asked for more neighbours than needed, unmasked, and the mask is applied to the answer. If k allowed ones are
among the nearest `reach`, they are the k nearest allowed; if not, `reach` grows, and past the point where that costs
more than looking at everything, everything is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from threading import Lock
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vecrollback.errors import UsageError
from vecrollback.indexes.base import Neighbours
from vecrollback.records.arrays import FloatArray, Mask, Positions

_MOST_REACH = 1024
"""FAISS's HNSW counts its whole candidate list at each step, so cost is quadratic in the reach from about here."""
_NEIGHBOUR_COST = 128
"""Finding one neighbour at random places costs as much as reading this many vectors in order (100 to 280 measured)."""
_SKIP_COST = 1 / 8
"""Passing over a masked vector, against reading it (measured)."""
_GROWTH = 4

T = TypeVar("T")


class Selection:
    """The allowed positions of an index in every form a search asks for, each made once."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask

    @cached_property
    def count(self) -> int:
        return int(np.count_nonzero(self.mask))

    @cached_property
    def positions(self) -> Positions:
        return np.flatnonzero(self.mask)

    @cached_property
    def bits(self) -> NDArray[np.uint8]:
        return np.packbits(self.mask, bitorder="little")


class MaskCache(Generic[T]):
    """Values derived from the last few masks, by the mask's identity: queries between two deletes share one mask.

    Only masks with `flags.writeable` off are remembered; another may change under the same identity.
    """

    def __init__(self, make: Callable[[Mask], T], most: int = 4) -> None:
        self._make = make
        self._most = most
        self._values: dict[int, tuple[Mask, T]] = {}
        self._lock = Lock()

    def get(self, mask: Mask) -> T:
        if mask.flags.writeable:
            return self._make(mask)
        # The mask is kept with its value: else it could be freed, and its identity pass to another array.
        if (entry := self._values.get(id(mask))) is not None:
            return entry[1]
        with self._lock:
            if (entry := self._values.get(id(mask))) is None:
                entry = self._values[id(mask)] = mask, self._make(mask)
            while len(self._values) > self._most:
                del self._values[next(iter(self._values))]
        return entry[1]


class Selections(MaskCache[Selection]):
    """The selections of the last few masks."""

    def __init__(self, most: int = 4) -> None:
        super().__init__(Selection, most)

    def search(
        self,
        queries: FloatArray,
        k: int,
        allowed: Mask | None,
        *,
        near: Callable[[FloatArray, int], Neighbours] | None,
        scan: Callable[[FloatArray, int, Selection | None], Neighbours],
        size: int,
        dimension: int,
    ) -> Neighbours:
        """Search an index of `size` vectors as every `VectorIndex` does.

        `near(queries, reach)` searches approximately and unmasked; None where the index scans everything anyway.
        `scan(queries, k, selection)` looks at everything that is selected. Raises UsageError.
        """
        queries = checked_queries(queries, dimension)
        selection = None if allowed is None else self.get(checked_mask(allowed, size))
        possible = min(k, size if selection is None else selection.count)
        if possible <= 0 or len(queries) == 0:
            return nothing(len(queries), k)
        if near is None:
            return padded(scan(queries, possible, selection), k)

        def scan_selected(rows: FloatArray, count: int) -> Neighbours:
            return scan(rows, count, selection)

        return padded(widened_search(near, scan_selected, queries, possible, selection=selection, size=size), k)


def widened_search(
    near: Callable[[FloatArray, int], Neighbours],
    scan: Callable[[FloatArray, int], Neighbours],
    queries: FloatArray,
    k: int,
    *,
    selection: Selection | None,
    size: int,
) -> Neighbours:
    """The k nearest allowed of each query; k at most the number allowed.

    `near(queries, reach)` searches approximately and unmasked, `scan(queries, k)` everything allowed.
    """
    count = size if selection is None else selection.count
    most = min(_MOST_REACH, (count + size * _SKIP_COST) / _NEIGHBOUR_COST)

    def search(rows: FloatArray, reach: int) -> Neighbours:
        if reach > most:
            return scan(rows, k)
        answer = _allowed_only(near(rows, reach), k, selection)
        if len(short := np.flatnonzero(answer.positions[:, -1] < 0)):
            answer.scores[short], answer.positions[short] = search(rows[short], reach * _GROWTH)
        return answer

    return search(queries, _first_reach(k, count / size))


def _first_reach(k: int, share: float) -> int:
    """The reach that holds k allowed ones five times in six if the mask ignores the query: mean plus deviation."""
    return math.ceil((k + math.sqrt(k * (1 - share))) / share)


def _allowed_only(answer: Neighbours, k: int, selection: Selection | None) -> Neighbours:
    if selection is None:
        return answer
    scores, positions = answer
    # -1 indexes the last position, so unused places are excluded apart.
    masked = ~selection.mask[positions] | (positions < 0)
    if not masked[:, :k].any():
        return Neighbours(scores[:, :k], positions[:, :k])
    # Stable: the allowed ones move to the front and keep their order by score.
    order = np.argsort(masked, axis=1, kind="stable")[:, :k]
    masked = np.take_along_axis(masked, order, 1)
    scores, positions = np.take_along_axis(scores, order, 1), np.take_along_axis(positions, order, 1)
    scores[masked], positions[masked] = -np.inf, -1
    return Neighbours(scores, positions)


def padded(answer: Neighbours, k: int) -> Neighbours:
    """The same answer with unused places up to k."""
    if (gap := k - answer.scores.shape[1]) <= 0:
        return answer
    blank = nothing(len(answer.scores), gap)
    return Neighbours(np.hstack([answer.scores, blank.scores]), np.hstack([answer.positions, blank.positions]))


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
