"""Index kinds: one file per kind, found by spec; third parties register more as entry points.

An entry point of the group `vecrollback.indexes` names an `IndexKind` object.
"""

from __future__ import annotations

import math
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from vecrollback.arrays import FloatArray
from vecrollback.errors import IndexSpecError
from vecrollback.indexes.base import IndexKind, Neighbours, ShardSpec, SharingKind, VectorIndex
from vecrollback.indexes.exact import ExactKind, exact_search, measure_recall
from vecrollback.indexes.faiss_index import FaissKind
from vecrollback.indexes.lance_index import LanceKind
from vecrollback.records import Metric

__all__ = [
    "IndexKind",
    "Neighbours",
    "ShardSpec",
    "SharingKind",
    "VectorIndex",
    "build_index",
    "exact_search",
    "measure_recall",
    "open_index",
    "resolve_spec",
    "train_index",
]

_FLAT_UP_TO = 20_000
_GRAPH_UP_TO = 500_000
_BUILT_IN: tuple[IndexKind, ...] = (
    FaissKind(),
    ExactKind(),
    LanceKind(),
)  # the most usual first: no spec is two kinds'


def resolve_spec(spec: str, chunks: int) -> str:
    """The spec that will be built: `auto` becomes the one that suits this many chunks, another is checked.

    Flat scans are exact and fast enough while small; a graph answers fastest but takes longest to build; an inverted
    file builds in half the time from about half a million on. Of a sharded index each shard gets what suits its size.
    """
    sharding = ShardSpec.of(spec)
    if sharding.sharded:
        return sharding.around(resolve_spec(sharding.spec, -(-chunks // sharding.count)))
    spec = sharding.spec
    if spec != "auto":
        _kind(spec)
        return spec
    if chunks <= _FLAT_UP_TO:
        return "Flat"
    return "HNSW32,SQ8" if chunks <= _GRAPH_UP_TO else f"IVF{round(4 * math.sqrt(chunks))},SQ8"


def build_index(spec: str, vectors: FloatArray, metric: Metric, path: Path, *, trained: Path | None = None) -> None:
    """Write the index of `vectors` (n, d) to `path`, a file or directory by its kind; making it durable is left over.

    `trained`: what `train_index` wrote for this spec. Raises IndexSpecError when the spec cannot be built over these
    vectors.
    """
    kind = _kind(spec)
    if trained is not None and isinstance(kind, SharingKind):
        kind.build_trained(trained, spec, vectors, metric, path)
    else:
        kind.build(spec, vectors, metric, path)


def train_index(spec: str, vectors: FloatArray, metric: Metric, path: Path) -> bool:
    """Write to `path` what indexes of parts of `vectors` can share; False, and no file, where that is nothing."""
    kind = _kind(spec)
    return isinstance(kind, SharingKind) and kind.train(spec, vectors, metric, path)


def open_index(spec: str, path: Path, metric: Metric) -> VectorIndex:
    """Open an index artefact for reading. Raises CorruptArtifactError when it is damaged."""
    return _kind(spec).open(path, metric)


def _kind(spec: str) -> IndexKind:
    for kind in _BUILT_IN:
        if kind.accepts(spec):
            return kind
    for kind in _third_party():
        if kind.accepts(spec):
            return kind
    raise IndexSpecError(
        f"no index kind understands {spec!r}",
        hint="use auto, exact, a FAISS factory string such as Flat, HNSW32,SQ8, IVF4096,SQ8 or "
        "IVF1024,PQ96x4fs,Refine(SQ8), or lance:IVF_PQ; in parts: shards:4(HNSW32,SQ8)",
    )


@cache
def _third_party() -> tuple[IndexKind, ...]:
    return tuple(point.load() for point in entry_points(group="vecrollback.indexes"))
