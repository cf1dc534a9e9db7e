"""FAISS indexes by factory string: built and tuned, then memory-mapped and only read.

A factory string gives up to three layers: Refine(PreTransform(leaf)). Search parameters nest the same way, and each
kind of leaf has its own class for them; FAISS raises when handed another's.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from vecrollback.errors import CorruptArtifactError, FailedError, IndexSpecError
from vecrollback.indexes.base import Neighbours
from vecrollback.indexes.exact import TopK, sample_queries
from vecrollback.indexes.faiss_size import bytes_per_vector
from vecrollback.indexes.filtered_search import Selection, Selections, closed
from vecrollback.records import Metric
from vecrollback.records.arrays import FloatArray, Mask, Positions

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

_TUNED_K = 10
"""The k for which the breadth kept in the file was chosen."""
_DECODE_SHARE = 256
"""Below this share of allowed positions decoding those alone beats a pass over all codes with a selector (measured)."""
_THREADED_QUERIES = 16
"""Fewer queries than this are searched by the calling thread alone.

Serving threads each wake a team of their own otherwise, and on a busy machine a team waits for its last member: a Flat
query of 1.4 ms took 16.
"""
_EF_PER_NEIGHBOUR = 2

_TRAILER = struct.Struct("<8sQ")
"""Written after FAISS's bytes, which FAISS ignores: magic, and the length before it.

Without it FAISS opens some files that lost their last bytes, and reads past their end.
"""
_MAGIC = b"vecrollb"

_SEED = 1234
_TRAIN_ROWS = 131_072
_TRAIN_ROWS_PER_LIST = 64
_TARGET = 0.98
_TUNING_QUERIES = 200
_WIDTHS = (32, 64, 128, 256, 512, 1024)
_FACTORS = (2, 4, 8, 16, 32, 64)


class FaissIndex:
    """One opened index file. The FAISS object stays inside: add() and remove_ids() on a mapped one end the process."""

    def __init__(self, index: Any, metric: Metric) -> None:
        self._layers: Layers | None = Layers(index, metric)
        self._selections = Selections()
        self.metric: Metric = metric
        self.size = int(index.ntotal)
        self.dimension = int(index.d)

    def search(self, queries: FloatArray, k: int, allowed: Mask | None = None) -> Neighbours:
        layers = self._open_layers()
        near = None if layers.exhaustive else layers.near
        shape = {"size": self.size, "dimension": self.dimension}
        return self._selections.search(queries, k, allowed, near=near, scan=layers.scan, **shape)

    def reconstruct(self, positions: Positions) -> FloatArray:
        return self._open_layers().decode(positions)

    def close(self) -> None:
        """Let go of the map. Unmapping takes 0.1 ms where freeing memory would hold the GIL for as long as it takes."""
        self._layers = None

    def _open_layers(self) -> Layers:
        if self._layers is None:
            raise closed()
        return self._layers


class FaissKind:
    """Factory strings over one vector per position: flat, scalar and product codes, graphs, inverted files, refined."""

    suffix = ".index"

    def bytes_per_vector(self, spec: str, dimension: int) -> int:
        return bytes_per_vector(spec, dimension)

    def fallbacks(self, spec: str) -> tuple[str, ...]:
        # Vectors may lie so close together that a compressed index cannot tell them apart.
        return ("HNSW32,Flat", "Flat") if spec == "auto" else ()

    def accepts(self, spec: str) -> bool:
        return _SPEC.fullmatch(spec) is not None

    def build(self, spec: str, vectors: FloatArray, metric: Metric, path: Path) -> None:
        build_faiss(spec, vectors, metric, path)

    def train(self, spec: str, vectors: FloatArray, metric: Metric, path: Path) -> bool:
        return train_faiss(spec, vectors, metric, path)

    def build_trained(self, shared: Path, spec: str, vectors: FloatArray, metric: Metric, path: Path) -> None:
        build_faiss(spec, vectors, metric, path, shared)

    def open(self, path: Path, metric: Metric) -> FaissIndex:
        import faiss

        _check_trailer(path)
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except (RuntimeError, MemoryError) as error:  # a damaged size may ask for any amount
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
            length = stream.seek(0, 2) - _TRAILER.size
            stream.seek(max(0, length))
            tail = stream.read(_TRAILER.size)
    except OSError as error:
        raise CorruptArtifactError(f"{path} cannot be read: {error}", hint=_REBUILD) from error
    if len(tail) != _TRAILER.size or _TRAILER.unpack(tail) != (_MAGIC, length):
        raise CorruptArtifactError(f"{path} is truncated or was not written by vecrollback", hint=_REBUILD)


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
        # Two threads must not make the map at once, and any may be the first to need it.
        self._direct_map_lock = Lock()
        self._has_direct_map = False

    @property
    def exhaustive(self) -> bool:
        """Whether a plain search looks at every vector with its final score."""
        return not (self.is_graph or self.is_inverted or self.refine is not None)

    def near(self, queries: FloatArray, reach: int) -> Neighbours:
        """The approximate search the index is for, as broad as `reach` neighbours ask for."""
        return self._search(self.root, queries, reach, self._params_for(reach))

    def scan(self, queries: FloatArray, k: int, selection: Selection | None) -> Neighbours:
        """The k best by final score of all allowed positions, each one looked at; k at most their number."""
        codes = self._codes
        for transform in codes.transforms:
            queries = transform.apply(queries)
        selectable = self._selectable(codes.index)
        if selection is not None and (not selectable or selection.count * _DECODE_SHARE <= self.root.ntotal):
            return self._scan_decoded(queries, k, selection.positions)
        return self._search(codes.index, queries, k, self._scan_params(codes.index, selection))

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

    def _scan_params(self, index: Any, selection: Selection | None) -> Any:
        faiss = self._faiss
        options: dict[str, Any] = {}
        if selection is not None:
            # FAISS keeps a bare pointer to the bits: the selection that holds them outlives this search.
            selector = faiss.IDSelectorBitmap(self.root.ntotal, faiss.swig_ptr(selection.bits))
            options["sel"] = selector
        if isinstance(index, faiss.IndexIVF):
            # Every list, because a scan promises to look at each allowed position.
            return faiss.SearchParametersIVF(nprobe=index.nlist, **options)
        return faiss.SearchParameters(**options) if options else None

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
        if self._has_direct_map or not self.is_inverted or self.refine is not None:
            return
        with self._direct_map_lock:
            if not self._has_direct_map:
                self.leaf.make_direct_map(True)
                self._has_direct_map = True

    def _params_for(self, reach: int) -> Any:
        """Parameters of a wider search; None up to the k that the file's own breadth was tuned for."""
        if reach <= _TUNED_K or self.exhaustive:
            return None
        if (params := self._params.get(reach)) is None:
            params = self._params.setdefault(reach, self._wider_params(reach))
        return params

    def _wider_params(self, reach: int) -> Any:
        faiss, params = self._faiss, None
        growth = math.sqrt(reach / _TUNED_K)
        if self.is_graph:
            width = self.leaf.hnsw.efSearch + _EF_PER_NEIGHBOUR * (reach - _TUNED_K)
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


def faiss_metric(metric: Metric) -> int:
    """FAISS's number for a metric; cosine is the inner product of vectors that are already normalised."""
    import faiss

    return int(faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)


def build_faiss(spec: str, vectors: FloatArray, metric: Metric, path: Path, shared: Path | None = None) -> None:
    """Write the index of `vectors` (n, d), float32, to the file `path`, tuned to recall@10 of 0.98 where it can.

    `shared`: a file of `train_faiss`.
    """
    import faiss

    index = _new_index(spec, vectors, metric)
    if len(vectors) == 0:
        # Most kinds cannot be trained on nothing; an empty flat index answers the same.
        index = faiss.IndexFlat(vectors.shape[1], faiss_metric(metric))
    else:
        if shared is not None:
            index = faiss.read_index(str(shared))
        _train(index, spec, vectors)
        index.add(np.ascontiguousarray(vectors, dtype=np.float32))
        tune(Layers(index, metric), vectors)
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        raise FailedError(f"cannot write {path}: {error}", hint="is the disk full?") from error
    length = path.stat().st_size
    with path.open("ab") as stream:
        stream.write(_TRAILER.pack(_MAGIC, length))


def train_faiss(spec: str, vectors: FloatArray, metric: Metric, path: Path) -> bool:
    """Write an index that has learnt from a sample of `vectors` and holds none; False when it learns nothing."""
    import faiss

    index = _new_index(spec, vectors, metric)
    if index.is_trained or len(vectors) == 0:
        return False
    _train(index, spec, vectors)
    faiss.write_index(index, str(path))
    return True


def _new_index(spec: str, vectors: FloatArray, metric: Metric) -> Any:
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
    codes = faiss.downcast_index(leaf.storage) if isinstance(leaf, faiss.IndexHNSW) else leaf
    if hasattr(codes, "do_polysemous_training"):
        # It orders the code words for a kind of search that is not used here, and is 15 parts in 16 of the training.
        codes.do_polysemous_training = False
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
    """The sentence in FAISS's message, without the C++ signature and the source line that it begins with."""
    return re.sub(r"^Error in .*? at \S+?:\d+: (?:Error: )?", "", str(error), flags=re.DOTALL).strip()


def tune(layers: Layers, vectors: FloatArray) -> None:
    """Set the least breadth whose recall@10 against a full scan of the same codes reaches the target.

    The parameter is a field of the index, so it travels in the file. Against its own codes, because what quantisation
    lost no breadth brings back.
    """
    if layers.exhaustive:
        return
    queries = sample_queries(vectors, _TUNING_QUERIES, _SEED)
    k = min(_TUNED_K, len(vectors))
    truth = layers.scan(queries, k, None)

    def recall() -> float:
        return _overlap(truth, layers.near(queries, k))

    lists = layers.leaf.nlist if layers.is_inverted else 0
    widths = _WIDTHS if layers.is_graph else (*(2**i for i in range(2, lists.bit_length()) if 2**i < lists), lists)
    if layers.refine is not None:
        # The refine factor first, at the widest breadth: what it misses then is not for lack of candidates.
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


def _overlap(truth: Neighbours, answer: Neighbours) -> float:
    """Share of found scores that reach the k-th true one; duplicates make positions ambiguous."""
    floor = truth.scores[:, -1:]
    return float(np.mean(answer.scores >= floor - 1e-5 * np.maximum(1.0, np.abs(floor))))
