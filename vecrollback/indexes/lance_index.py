"""Lance vector indexes: larger than memory, and the same bytes on object storage.

The artefact is a directory: `vectors.lance`, a dataset of (position, vector) with its index, and `search.json`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from vecrollback.errors import CorruptArtifactError, IndexSpecError
from vecrollback.indexes.base import Neighbours
from vecrollback.indexes.exact import TopK, exact_search, recall, sample_queries
from vecrollback.indexes.filtered_search import Selection, Selections, closed, nothing
from vecrollback.records import Metric
from vecrollback.records.arrays import FloatArray, Mask, Positions
from vecrollback.storage.forks import uses_tables
from vecrollback.storage.reading import readable

_KINDS = ("IVF_FLAT", "IVF_SQ", "IVF_PQ", "IVF_RQ", "IVF_HNSW_SQ")
_OPTIONS = ("num_partitions", "num_sub_vectors")
_SPEC = re.compile(r"lance:(?P<kind>[A-Z_]+)(?:\?(?P<options>.+))?")
_LEAST_ROWS = 256
"""Lance trains each partition and codebook on 256 vectors; below that a scan is faster anyway."""
_TUNED_K = 10
_TAKE_SHARE = 16
"""Below this share of allowed positions taking their rows beats streaming all of them."""
_RQ_FACTORS, _GRAPH = 26, 160
"""Bytes beside the codes, measured on files of 64 and of 384 dimensions."""
_TARGET = 0.98
_TUNING_QUERIES = 100
_SEED = 1234
_TABLE = "vectors.lance"
_SETTINGS = "search.json"
_REBUILD = "restore the snapshot from a bundle, or build the pair's index again from its stored vectors"


class LanceKind:
    """Specs `lance:KIND`, with options as in `lance:IVF_PQ?num_partitions=64&num_sub_vectors=48`."""

    suffix = ".lance"

    def bytes_per_vector(self, spec: str, dimension: int) -> int:
        """Bytes of the vectors themselves, which the dataset holds, of their codes in the index, and of a row id."""
        match = _SPEC.fullmatch(spec)
        assert match is not None
        options = dict(_pairs(match["options"] or ""))
        codes = {
            "IVF_FLAT": 4 * dimension,
            "IVF_SQ": dimension,
            "IVF_PQ": int(options.get("num_sub_vectors") or _sub_vectors(dimension)),
            "IVF_RQ": dimension * 7 // 16 + _RQ_FACTORS,
            "IVF_HNSW_SQ": dimension + _GRAPH,
        }
        return 4 * dimension + codes[match["kind"]] + 8

    def fallbacks(self, _spec: str) -> tuple[str, ...]:
        return ()

    def accepts(self, spec: str) -> bool:
        match = _SPEC.fullmatch(spec)
        if match is None or match["kind"] not in _KINDS:
            return False
        options = match["options"] or ""
        return all(name in _OPTIONS and value.isdigit() and int(value) for name, value in _pairs(options))

    @uses_tables
    def build(self, spec: str, vectors: FloatArray, metric: Metric, path: Path) -> None:
        import lance

        if vectors.ndim != 2 or vectors.shape[1] == 0:
            raise IndexSpecError(f"vectors have shape {vectors.shape}, expected (n, dimension)")
        path.mkdir(parents=True, exist_ok=True)
        dataset = lance.write_dataset(_batches(vectors), str(path / _TABLE), schema=_schema(vectors.shape[1]))
        breadth = Breadth(partitions=0)
        if len(vectors) >= _LEAST_ROWS:
            breadth = _create_index(dataset, spec, vectors, metric)
        settings = {
            "size": len(vectors),
            "dimension": vectors.shape[1],
            "metric": metric,
            "breadth": asdict(breadth),
            "files": _file_sizes(path / _TABLE),
        }
        # Last, since it lists the sizes of all files: a directory without it was never finished.
        (path / _SETTINGS).write_text(json.dumps(settings, indent=1, sort_keys=True), encoding="utf-8")

    @uses_tables
    def open(self, path: Path, metric: Metric) -> LanceIndex:
        import lance

        try:
            settings = json.loads((path / _SETTINGS).read_text(encoding="utf-8"))
            _check_files(path, settings["files"])
            dataset = lance.dataset(str(path / _TABLE))
            built_for: Metric = settings["metric"]
            index = LanceIndex(dataset, settings["size"], settings["dimension"], metric, Breadth(**settings["breadth"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptArtifactError(f"{path} cannot be read as a Lance index: {error}", hint=_REBUILD) from error
        if built_for != metric:
            raise IndexSpecError(f"{path} was built for {built_for!r}, not {metric!r}", hint="open it as its pair does")
        return index


def _pairs(options: str) -> list[tuple[str, str]]:
    return parse_qsl(options, keep_blank_values=True)


def _schema(dimension: int) -> Any:
    import pyarrow as pa

    return pa.schema([pa.field("position", pa.int64()), pa.field("vector", pa.list_(pa.float32(), dimension))])


def _batches(vectors: FloatArray, rows: int = 65_536) -> Any:
    """Record batches over `vectors`, so that a memory map is never read as a whole."""
    import pyarrow as pa

    schema = _schema(vectors.shape[1])

    def batches() -> Any:
        for start in range(0, len(vectors), rows):
            block = np.ascontiguousarray(vectors[start : start + rows], dtype=np.float32)
            column = pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), vectors.shape[1])
            yield pa.record_batch([pa.array(np.arange(start, start + len(block))), column], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _create_index(dataset: Any, spec: str, vectors: FloatArray, metric: Metric) -> Breadth:
    match = _SPEC.fullmatch(spec)
    assert match is not None
    kind = match["kind"]
    options = {name: int(value) for name, value in _pairs(match["options"] or "")}
    count, dimension = vectors.shape
    options.setdefault("num_partitions", max(1, min(round(math.sqrt(count)), count // _LEAST_ROWS)))
    if kind == "IVF_PQ":
        options.setdefault("num_sub_vectors", _sub_vectors(dimension))
    # Cosine vectors come normalised, and the dot product is the score promised for them.
    distance = "l2" if metric == "l2" else "dot"
    try:
        dataset.create_index("vector", kind, metric=distance, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise IndexSpecError(
            f"{spec!r} cannot be built over {count} vectors of dimension {dimension}: {error}",
            hint="num_sub_vectors must divide the dimension, num_partitions be at most a 256th of the vectors",
        ) from error
    partitions = options["num_partitions"]
    widest = Breadth(partitions, nprobes=partitions, refine=0 if kind == "IVF_FLAT" else 1)
    return _tune(dataset, vectors, metric, widest)


def _sub_vectors(dimension: int) -> int:
    """The most sub-vectors of at least eight dimensions: a bit for each float, as the refine step gives the scores."""
    return max(parts for parts in range(1, max(1, dimension // 8) + 1) if dimension % parts == 0)


def _tune(dataset: Any, vectors: FloatArray, metric: Metric, breadth: Breadth) -> Breadth:
    """The least refine factor, then the fewest partitions, whose recall@10 reaches the target."""
    k = min(_TUNED_K, len(vectors))
    queries = sample_queries(vectors, _TUNING_QUERIES, _SEED)
    truth = exact_search(vectors, queries, k, metric)

    def reaches(trial: Breadth) -> bool:
        index = LanceIndex(dataset, len(vectors), vectors.shape[1], metric, trial)
        return recall(truth, index.near(queries, k), queries, vectors, metric) >= _TARGET

    if breadth.refine:
        breadth = _first([replace(breadth, refine=2**i) for i in range(1, 6)], reaches)
    steps = [2**i for i in range(2, breadth.partitions.bit_length()) if 2**i < breadth.partitions]
    return _first([replace(breadth, nprobes=n) for n in (*steps, breadth.partitions)], reaches)


def _first(trials: list[Breadth], reaches: Callable[[Breadth], bool]) -> Breadth:
    return next((trial for trial in trials if reaches(trial)), trials[-1])


def _file_sizes(root: Path) -> dict[str, int]:
    return {str(p.relative_to(root)): p.stat().st_size for p in sorted(root.rglob("*")) if p.is_file()}


def _check_files(path: Path, sizes_written: dict[str, int]) -> None:
    """Refuse missing or shortened files now; Lance would notice when a search reaches them."""
    sizes = _file_sizes(path / _TABLE)
    for name, size in sizes_written.items():
        if sizes.get(name) != size:
            raise ValueError(f"{name} has {sizes.get(name, 0)} bytes, {size} were written")


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
        self._place = Path(dataset.uri).parent.name
        self._breadth = breadth
        self._selections = Selections()
        self.size = size
        self.dimension = dimension
        self.metric: Metric = metric

    @uses_tables
    def search(self, queries: FloatArray, k: int, allowed: Mask | None = None) -> Neighbours:
        near = self.near if self._breadth.partitions else None
        shape = {"size": self.size, "dimension": self.dimension}
        with self._readable():
            return self._selections.search(queries, k, allowed, near=near, scan=self._scan, **shape)

    @uses_tables
    def near(self, queries: FloatArray, reach: int) -> Neighbours:
        """The `reach` nearest through the index, unmasked."""
        answer = nothing(len(queries), reach)
        nearest = self._nearest(reach)
        for row, query in enumerate(queries):
            table = self._open_dataset().to_table(columns=["position", "_distance"], nearest={**nearest, "q": query})
            distances = table["_distance"].to_numpy()
            # Lance's dot distance is one minus the inner product, its l2 distance is squared.
            answer.scores[row, : len(distances)] = -distances if self.metric == "l2" else 1 - distances
            answer.positions[row, : len(distances)] = table["position"].to_numpy()
        return answer

    @uses_tables
    def reconstruct(self, positions: Positions) -> FloatArray:
        with self._readable():
            table = self._open_dataset().take(np.asarray(positions).tolist(), columns=["vector"])
        return _vectors_of(table["vector"].combine_chunks(), self.dimension)

    def close(self) -> None:
        self._dataset = None

    def _nearest(self, reach: int) -> dict[str, Any]:
        breadth = self._breadth
        growth = max(1.0, math.sqrt(reach / _TUNED_K))
        nprobes = min(breadth.partitions, math.ceil(breadth.nprobes * growth))
        nearest: dict[str, Any] = {"column": "vector", "k": reach, "nprobes": nprobes}
        if breadth.refine:
            nearest["refine_factor"] = max(2, math.ceil(breadth.refine / growth))
        return nearest

    def _scan(self, queries: FloatArray, k: int, selection: Selection | None) -> Neighbours:
        """Score every allowed vector: taken by position when few are allowed, streamed when many are."""
        best = TopK(queries, k, self.metric)
        if selection is not None and selection.count * _TAKE_SHARE <= self.size:
            for start in range(0, selection.count, best.block_rows):
                positions = selection.positions[start : start + best.block_rows]
                best.offer(self.reconstruct(positions), positions)
            return best.result()
        for batch in self._open_dataset().to_batches(columns=["position", "vector"]):
            vectors = _vectors_of(batch["vector"], self.dimension)
            positions = batch["position"].to_numpy(zero_copy_only=False)
            # By the position column, so that the order of the batches does not matter.
            rows = slice(None) if selection is None else selection.mask[positions]
            best.offer(vectors[rows], positions[rows])
        return best.result()

    def _readable(self) -> AbstractContextManager[None]:
        """Lance reads its files when a query needs them: that they are gone or damaged shows only then."""
        return readable(f"the index {self._place}", hint=_REBUILD)

    def _open_dataset(self) -> Any:
        if self._dataset is None:
            raise closed()
        return self._dataset


def _vectors_of(column: Any, dimension: int) -> FloatArray:
    values = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=np.float32).reshape(-1, dimension)
