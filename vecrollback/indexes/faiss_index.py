"""FAISS indexes by factory string, memory-mapped and read-only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from vecrollback.arrays import FloatArray, Mask, Positions
from vecrollback.errors import CorruptArtifactError, IndexSpecError
from vecrollback.indexes.base import Neighbours
from vecrollback.indexes.exact import checked_mask, checked_queries, closed, nothing
from vecrollback.indexes.faiss_build import MAGIC, TRAILER, build_faiss, faiss_metric, train_faiss
from vecrollback.indexes.faiss_layers import Layers
from vecrollback.indexes.filtered_search import Selections, padded, widened_search
from vecrollback.records import Metric

_PLAIN = r"(?:Flat|SQ(?:4|6|8|fp16|bf16))"
_PQ = r"PQ\d+(?:x\d+)?(?:np)?"
_FAST = r"(?:PQ\d+x4fsr?|RaBitQ(?:fs)?)"
_LISTS = r"IVF\d+(?:_HNSW\d+)?"
_TRANSFORMS = r"(?:(?:OPQ\d+(?:_\d+)?|PCAR?\d+|RR\d+),)*"
_REFINE = r"(?:RFlat|Refine\((?:Flat|SQ(?:4|6|8|fp16|bf16))\))"
_GRAPH = rf"HNSW\d*(?:,{_PLAIN})?"  # FAISS builds HNSW over PQ for l2 whatever metric is asked for
_SPEC = re.compile(
    rf"{_TRANSFORMS}(?:"
    rf"(?:{_GRAPH}|(?:{_LISTS},)?(?:{_PLAIN}|{_PQ}))(?:,{_REFINE})?"
    # Four-bit and one-bit codes only rank candidates: alone their recall is far below any floor, and decoding a
    # fast-scan inverted list that was read from a file crashes FAISS 1.15.
    rf"|(?:{_LISTS},)?{_FAST},{_REFINE})"
)
_REBUILD = "restore the snapshot from a bundle, or build the pair's index again from its stored vectors"


class FaissIndex:
    """One opened index file. The FAISS object stays inside: add() and remove_ids() on a mapped one end the process."""

    def __init__(self, index: Any, metric: Metric) -> None:
        self._layers: Layers | None = Layers(index, metric)
        self._selections = Selections()
        self.metric: Metric = metric
        self.size = int(index.ntotal)
        self.dimension = int(index.d)

    def search(self, queries: FloatArray, k: int, allowed: Mask | None = None) -> Neighbours:
        layers = self._opened()
        queries = checked_queries(queries, self.dimension)
        chosen = None if allowed is None else self._selections.get(checked_mask(allowed, self.size))
        possible = min(k, self.size if chosen is None else chosen.count)
        if possible <= 0 or len(queries) == 0:
            return nothing(len(queries), k)

        def scan(rows: FloatArray, count: int) -> Neighbours:
            return layers.scan(rows, count, chosen)

        if layers.exhaustive:
            return padded(scan(queries, possible), k)
        return padded(widened_search(layers.near, scan, queries, possible, chosen=chosen, size=self.size), k)

    def reconstruct(self, positions: Positions) -> FloatArray:
        return self._opened().decode(positions)

    def close(self) -> None:
        """Let go of the map. Unmapping takes 0.1 ms where freeing memory would hold the GIL for as long as it takes."""
        self._layers = None

    def _opened(self) -> Layers:
        if self._layers is None:
            raise closed()
        return self._layers


class FaissKind:
    """Factory strings over one vector per position: flat, scalar and product codes, graphs, inverted files, refined."""

    def accepts(self, spec: str) -> bool:
        return _SPEC.fullmatch(spec) is not None

    def build(self, spec: str, vectors: FloatArray, metric: Metric, path: Path) -> None:
        build_faiss(spec, vectors, metric, path)

    def train(self, spec: str, vectors: FloatArray, metric: Metric, path: Path) -> bool:
        return train_faiss(spec, vectors, metric, path)

    def build_trained(self, trained: Path, spec: str, vectors: FloatArray, metric: Metric, path: Path) -> None:
        build_faiss(spec, vectors, metric, path, trained)

    def open(self, path: Path, metric: Metric) -> FaissIndex:
        import faiss

        _check_trailer(path)
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise CorruptArtifactError(f"{path} cannot be read as a FAISS index: {error}", hint=_REBUILD) from error
        if index.metric_type != faiss_metric(metric):
            raise IndexSpecError(
                f"{path} was built for another metric than {metric!r}", hint="open it with the metric of its pair"
            )
        return FaissIndex(index, metric)


def _check_trailer(path: Path) -> None:
    """Refuse a file that lost bytes: FAISS maps some of them and reads past the end later."""
    try:
        with path.open("rb") as stream:
            length = stream.seek(0, 2) - TRAILER.size
            stream.seek(max(0, length))
            tail = stream.read(TRAILER.size)
    except OSError as error:
        raise CorruptArtifactError(f"{path} cannot be read: {error}", hint=_REBUILD) from error
    if len(tail) != TRAILER.size or TRAILER.unpack(tail) != (MAGIC, length):
        raise CorruptArtifactError(f"{path} is truncated or not an index of ours", hint=_REBUILD)
