"""What a FAISS index is made of, and how each layer is asked.

A factory string gives up to three layers: Refine(PreTransform(leaf)). Search parameters nest the same way, and each
kind of leaf has its own class for them; FAISS raises when handed another's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from vecrollback.arrays import FloatArray, Positions
from vecrollback.indexes.base import Neighbours
from vecrollback.indexes.exact import TopK
from vecrollback.indexes.filtered_search import Selection
from vecrollback.records import Metric

TUNED_K = 10
"""The k for which the breadth kept in the file was chosen."""
_DECODE_SHARE = 256
"""Below this share of allowed positions decoding those alone beats a pass over all codes with a selector (measured)."""
_THREADED_QUERIES = 16
"""Fewer queries than this are searched by the calling thread alone.

Serving threads each wake a team of their own otherwise, and on a busy machine a team waits for its last member: a Flat
query of 1.4 ms took 16.
"""
_EF_PER_NEIGHBOUR = 2


class Codes(NamedTuple):
    """The layer whose codes give final scores, and the transforms a query passes before it meets them."""

    index: Any
    transforms: tuple[Any, ...]


class Layers:
    """A FAISS index, taken apart. Only reads: add() on a memory-mapped index ends the process."""

    def __init__(self, root: Any, metric: Metric) -> None:
        import faiss

        self._faiss: Any = faiss
        self.root = root
        self._metric = metric
        self.refine = root if isinstance(root, faiss.IndexRefine) else None
        inner: Any = faiss.downcast_index(root.base_index) if self.refine is not None else root
        self._pre = inner if isinstance(inner, faiss.IndexPreTransform) else None
        self.leaf: Any = faiss.downcast_index(inner.index) if self._pre is not None else inner
        self.is_graph = isinstance(self.leaf, faiss.IndexHNSW)
        self.is_inverted = isinstance(self.leaf, faiss.IndexIVF)
        self._codes = self._find_codes()
        self._params: dict[int, Any] = {}
        self._mapping = Lock()
        self._mapped = False

    @property
    def exhaustive(self) -> bool:
        """Whether a plain search looks at every vector with its final score."""
        return not (self.is_graph or self.is_inverted or self.refine is not None)

    def near(self, queries: FloatArray, reach: int) -> Neighbours:
        """The approximate search the index is for, as broad as `reach` neighbours ask for."""
        return self._search(self.root, queries, reach, self._params_for(reach))

    def scan(self, queries: FloatArray, k: int, chosen: Selection | None) -> Neighbours:
        """The k best by final score of all allowed positions, each one looked at; k at most their number."""
        codes = self._codes
        for transform in codes.transforms:
            queries = transform.apply(queries)
        selectable = self._selectable(codes.index)
        if chosen is not None and (not selectable or chosen.count * _DECODE_SHARE <= self.root.ntotal):
            return self._scan_decoded(queries, k, chosen.positions)
        return self._search(codes.index, queries, k, self._scan_params(codes.index, chosen))

    def decode(self, positions: Positions) -> FloatArray:
        """The vectors at these positions, shape (n, d)."""
        self._map_positions()
        with self._one_thread():
            return np.asarray(self.root.reconstruct_batch(np.ascontiguousarray(positions, np.int64)), np.float32)

    def _find_codes(self) -> Codes:
        faiss = self._faiss
        if self.refine is not None:
            return Codes(faiss.downcast_index(self.refine.refine_index), ())
        index: Any = faiss.downcast_index(self.leaf.storage) if self.is_graph else self.leaf
        chain: Any = self._pre.chain if self._pre is not None else None
        transforms = tuple(faiss.downcast_VectorTransform(chain.at(i)) for i in range(chain.size())) if chain else ()
        return Codes(index, transforms)

    def _selectable(self, index: Any) -> bool:
        """Whether `index` takes an id selector: product quantisers without inverted lists refuse one."""
        faiss = self._faiss
        return isinstance(index, faiss.IndexIVF | faiss.IndexFlat | faiss.IndexScalarQuantizer)

    def _scan_params(self, index: Any, chosen: Selection | None) -> Any:
        faiss = self._faiss
        named: dict[str, Any] = {}
        if chosen is not None:
            selector = faiss.IDSelectorBitmap(self.root.ntotal, faiss.swig_ptr(chosen.bits))
            named["sel"] = selector
        if isinstance(index, faiss.IndexIVF):
            return faiss.SearchParametersIVF(nprobe=index.nlist, **named)
        return faiss.SearchParameters(**named) if named else None

    def _scan_decoded(self, queries: FloatArray, k: int, positions: Positions) -> Neighbours:
        """Score decoded vectors; equals the scan of their codes, which FAISS also compares after decoding."""
        self._map_positions()
        best = TopK(queries, k, self._metric)
        for start in range(0, len(positions), best.block_rows):
            block = np.ascontiguousarray(positions[start : start + best.block_rows], np.int64)
            with self._one_thread():
                vectors = self._codes.index.reconstruct_batch(block)
            best.offer(vectors, block)
        return best.result()

    def _map_positions(self) -> None:
        """Let an inverted file find a position: 8 bytes each, in memory only, made at the first need."""
        if self._mapped or not self.is_inverted or self.refine is not None:
            return
        with self._mapping:
            if not self._mapped:
                self.leaf.make_direct_map(True)
                self._mapped = True

    def _params_for(self, reach: int) -> Any:
        """Parameters of a wider search; None up to the k that the file's own breadth was tuned for."""
        if reach <= TUNED_K or self.exhaustive:
            return None
        if (params := self._params.get(reach)) is None:
            params = self._params.setdefault(reach, self._widened(reach))
        return params

    def _widened(self, reach: int) -> Any:
        faiss, params = self._faiss, None
        growth = math.sqrt(reach / TUNED_K)
        if self.is_graph:
            width = self.leaf.hnsw.efSearch + _EF_PER_NEIGHBOUR * (reach - TUNED_K)
            params = faiss.SearchParametersHNSW(efSearch=width)
        elif self.is_inverted:
            # Twice the radius of neighbours reaches far fewer than twice the lists: the root kept recall level.
            params = faiss.SearchParametersIVF(nprobe=min(self.leaf.nlist, math.ceil(self.leaf.nprobe * growth)))
        if self._pre is not None and params is not None:
            params = faiss.SearchParametersPreTransform(index_params=params)
        if self.refine is not None:
            factor = max(2.0, self.refine.k_factor / growth)
            params = faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=params)
        return params

    def _search(self, index: Any, queries: FloatArray, k: int, params: Any) -> Neighbours:
        """Ask FAISS, and read its answer as ours: distances negated, unused places -inf, not the largest float."""
        with self._one_thread() if len(queries) < _THREADED_QUERIES else nullcontext():
            scores, positions = index.search(queries, k, params=params)
        if self._metric == "l2":
            np.negative(scores, out=scores)
        if positions[:, -1].min(initial=0) < 0:
            scores[positions < 0] = -np.inf
        return Neighbours(scores, positions)

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        """Keep OpenMP out of this call. Its thread count belongs to the calling thread: nobody else sees the change."""
        before = self._faiss.omp_get_max_threads()
        self._faiss.omp_set_num_threads(1)
        try:
            yield
        finally:
            self._faiss.omp_set_num_threads(before)
