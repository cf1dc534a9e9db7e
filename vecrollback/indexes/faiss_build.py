"""Building a FAISS index: train, add, and choose how broadly to search."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from vecrollback.arrays import FloatArray
from vecrollback.errors import FailedError, IndexSpecError
from vecrollback.indexes.accuracy import sample_queries
from vecrollback.indexes.base import Neighbours
from vecrollback.indexes.faiss_layers import TUNED_K, Layers
from vecrollback.records import Metric

TRAILER = struct.Struct("<8sQ")
"""Written after FAISS's bytes, which FAISS ignores: magic, and the length before it.

Without it FAISS opens some files that lost their last bytes, and reads past their end.
"""
MAGIC = b"vecrollb"

_SEED = 1234
_TRAIN_ROWS = 131_072
_TRAIN_ROWS_PER_LIST = 64
_TARGET = 0.98
_TUNING_QUERIES = 200
_WIDTHS = (32, 64, 128, 256, 512, 1024)
_FACTORS = (2, 4, 8, 16, 32, 64)


def faiss_metric(metric: Metric) -> int:
    """FAISS's number for a metric; cosine is the inner product of vectors that are already normalised."""
    import faiss

    return int(faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)


def build_faiss(spec: str, vectors: FloatArray, metric: Metric, path: Path, trained: Path | None = None) -> None:
    """Write the index of `vectors` (n, d), float32, to the file `path`, tuned to recall@10 of 0.98 where it can.

    `trained`: a file of `train_faiss`.
    """
    import faiss

    index = _made(spec, vectors, metric)
    if len(vectors) == 0:
        # Most kinds cannot be trained on nothing; an empty flat index answers the same.
        index = faiss.IndexFlat(vectors.shape[1], faiss_metric(metric))
    else:
        if trained is not None:
            index = faiss.read_index(str(trained))
        _train(index, spec, vectors)
        index.add(np.ascontiguousarray(vectors, dtype=np.float32))
        tune(Layers(index, metric), vectors)
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        raise FailedError(f"cannot write {path}: {error}", hint="is the disk full?") from error
    length = path.stat().st_size
    with path.open("ab") as stream:
        stream.write(TRAILER.pack(MAGIC, length))


def train_faiss(spec: str, vectors: FloatArray, metric: Metric, path: Path) -> bool:
    """Write an index that has learnt from a sample of `vectors` and holds none; False when it learns nothing."""
    import faiss

    index = _made(spec, vectors, metric)
    if index.is_trained or len(vectors) == 0:
        return False
    _train(index, spec, vectors)
    faiss.write_index(index, str(path))
    return True


def _made(spec: str, vectors: FloatArray, metric: Metric) -> Any:
    import faiss

    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise IndexSpecError(f"vectors have shape {vectors.shape}, expected (n, dimension)")
    dimension = vectors.shape[1]
    try:
        return faiss.index_factory(dimension, spec, faiss_metric(metric))
    except RuntimeError as error:
        raise IndexSpecError(
            f"FAISS cannot make {spec!r} over vectors of dimension {dimension}: {_reason(error)}",
            hint="the number after PQ or OPQ must divide the dimension; HNSW32,SQ8 takes any",
        ) from error


def _train(index: Any, spec: str, vectors: FloatArray) -> None:
    """Train on a seeded sample: the same vectors give the same index, and memory does not grow with the corpus."""
    if index.is_trained:
        return
    import faiss

    leaf = Layers(index, "dot").leaf
    lists = leaf.nlist if isinstance(leaf, faiss.IndexIVF) else 0
    # FAISS prints a warning below 39 vectors per centroid; recall is measured, so there is nothing to warn of.
    for clustering in ([leaf.cp] if lists else []) + ([leaf.pq.cp] if hasattr(leaf, "pq") else []):
        clustering.min_points_per_centroid = 1
    try:
        index.train(_sample(vectors, max(_TRAIN_ROWS, _TRAIN_ROWS_PER_LIST * lists)))
    except RuntimeError as error:
        raise IndexSpecError(
            f"{spec!r} cannot be trained on {len(vectors)} vectors: {_reason(error)}",
            hint="use Flat or HNSW32,SQ8, which work from the first vector on, or auto",
        ) from error


def _sample(vectors: FloatArray, most: int) -> FloatArray:
    if len(vectors) <= most:
        return np.ascontiguousarray(vectors, dtype=np.float32)
    rows = np.random.default_rng(_SEED).choice(len(vectors), size=most, replace=False)
    return np.ascontiguousarray(vectors[np.sort(rows)], dtype=np.float32)


def _reason(error: RuntimeError) -> str:
    """The sentence inside FAISS's message, which begins with a C++ signature and a place in its source."""
    return re.sub(r"^Error in .*? at \S+?:\d+: (?:Error: )?", "", str(error), flags=re.DOTALL).strip()


def tune(layers: Layers, vectors: FloatArray) -> None:
    """Set the least breadth whose recall@10 against a full scan of the same codes reaches the target.

    The parameter is a field of the index, so it travels in the file. Against its own codes, because what quantisation
    lost no breadth brings back.
    """
    if layers.exhaustive:
        return
    queries = sample_queries(vectors, _TUNING_QUERIES, _SEED)
    k = min(TUNED_K, len(vectors))
    truth = layers.scan(queries, k, None)

    def recall() -> float:
        return _overlap(truth, layers.near(queries, k))

    lists = layers.leaf.nlist if layers.is_inverted else 0
    widths = _WIDTHS if layers.is_graph else (*(2**i for i in range(2, lists.bit_length()) if 2**i < lists), lists)
    if layers.refine is not None:
        _set_breadth(layers, widths[-1])
        _climb(_FACTORS, lambda factor: setattr(layers.refine, "k_factor", float(factor)), recall)
    if layers.is_graph or layers.is_inverted:
        _climb(widths, lambda width: _set_breadth(layers, width), recall)


def _set_breadth(layers: Layers, width: int) -> None:
    if layers.is_graph:
        layers.leaf.hnsw.efSearch = width
    elif layers.is_inverted:
        layers.leaf.nprobe = width


def _climb(steps: Iterable[int], apply: Callable[[int], None], recall: Callable[[], float]) -> None:
    for step in steps:
        apply(step)
        if recall() >= _TARGET:
            return


def _overlap(truth: Neighbours, found: Neighbours) -> float:
    """Share of found scores that reach the k-th true one; duplicates make positions ambiguous."""
    floor = truth.scores[:, -1:]
    return float(np.mean(found.scores >= floor - 1e-5 * np.maximum(1.0, np.abs(floor))))
