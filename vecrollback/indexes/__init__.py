"""Index kinds: one file per kind, found by spec; third parties register more as entry points.

An entry point of the group `vecrollback.indexes` names an `IndexKind`: an object, or a class without arguments.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Self, cast

from vecrollback.errors import IndexSpecError
from vecrollback.indexes.base import IndexKind, Neighbours, SharingKind, VectorIndex
from vecrollback.indexes.exact import ExactKind, exact_search, measure_recall
from vecrollback.indexes.faiss_index import FaissKind
from vecrollback.indexes.lance_index import LanceKind
from vecrollback.records import Metric
from vecrollback.records.arrays import FloatArray
from vecrollback.storage.installed import entry_points_of

__all__ = [
    "IndexKind",
    "Neighbours",
    "ShardSpec",
    "SharingKind",
    "VectorIndex",
    "build_index",
    "exact_search",
    "index_bytes",
    "index_suffix",
    "measure_recall",
    "open_index",
    "resolve_spec",
    "specs_to_build",
    "train_index",
]

_MOST_SHARDS = 1024
_SHARDED = re.compile(r"shards:(?P<count>[1-9]\d*)\((?P<inner>.+)\)")
_GROUP = "vecrollback.indexes"
_MEMBERS = ("accepts", "suffix", "bytes_per_vector", "fallbacks", "build", "open")
_FLAT_UP_TO = 20_000
_GRAPH_UP_TO = 500_000
_BUILT_IN: tuple[IndexKind, ...] = (
    FaissKind(),  # the most usual first; no spec belongs to two kinds
    ExactKind(),
    LanceKind(),
)


@dataclass(frozen=True, slots=True)
class ShardSpec:
    """A spec taken apart: `shards:4(HNSW32,Flat)` is four indexes `HNSW32,Flat`, searched as one.

    How many shards, and what each one is; `count` 1 with the plain spec when it is not sharded at all.
    """

    count: int
    spec: str

    @classmethod
    def of(cls, spec: str) -> Self:
        """Read a spec, of a sharded index or of a plain one. Raises IndexSpecError."""
        if not spec.startswith("shards:"):
            return cls(1, spec)
        match = _SHARDED.fullmatch(spec)
        if match is None or int(match["count"]) > _MOST_SHARDS or match["inner"].startswith("shards:"):
            raise IndexSpecError(
                f"{spec!r} is not a valid sharded index",
                hint=f"write shards:N(SPEC) with N from 1 to {_MOST_SHARDS}, as in shards:4(HNSW32,SQ8)",
            )
        return cls(int(match["count"]), match["inner"])

    @property
    def sharded(self) -> bool:
        return self.count > 1

    def around(self, inner: str) -> str:
        """The spec of an index of as many shards, each of them `inner`."""
        return f"shards:{self.count}({inner})" if self.sharded else inner


def resolve_spec(spec: str, chunks: int) -> str:
    """Say which index will be built. Of a sharded one each shard gets what suits its size.

    Flat scans are exact and fast enough while small; a graph answers fastest but takes longest to build; an inverted
    file builds in half the time from about half a million on.

    Args:
        spec: What was asked for; "auto" leaves the choice, any other is only checked.
        chunks: How many vectors it will hold.

    Returns:
        A spec that `build_index` takes.

    Raises:
        IndexSpecError: No kind understands the spec.

    Example:
        >>> resolve_spec("auto", 100_000), resolve_spec("shards:8(auto)", 100_000)
        ('HNSW32,SQ8', 'shards:8(Flat)')
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


def specs_to_build(spec: str, chunks: int) -> list[str]:
    """Say what to build, in order, until an index reaches the recall floor: first the spec, then its kind's fallbacks.

    Args:
        spec: What was asked for, sharded or not; "auto" included.
        chunks: How many vectors the index will hold.

    Raises:
        IndexSpecError: No kind understands the spec.

    Example:
        >>> specs_to_build("auto", 100_000)
        ['HNSW32,SQ8', 'HNSW32,Flat', 'Flat']
        >>> specs_to_build("IVF64,SQ8", 100_000)
        ['IVF64,SQ8']
    """
    sharding, first = ShardSpec.of(spec), resolve_spec(spec, chunks)
    more = _kind(ShardSpec.of(first).spec).fallbacks(sharding.spec)
    return list(dict.fromkeys([first, *map(sharding.around, more)]))


def index_bytes(spec: str, dimension: int) -> int:
    """Say about how many bytes an index takes for each vector, in shards or whole.

    Args:
        spec: What `resolve_spec` gave.
        dimension: Numbers in a vector.

    Example:
        >>> index_bytes("Flat", 384)
        1536
    """
    inner = ShardSpec.of(spec).spec
    return _kind(inner).bytes_per_vector(inner, dimension)


def index_suffix(spec: str) -> str:
    """How the name of an artefact of this spec ends, the dot included; of a sharded one that of each shard."""
    return _kind(ShardSpec.of(spec).spec).suffix


def build_index(spec: str, vectors: FloatArray, metric: Metric, path: Path, *, trained: Path | None = None) -> None:
    """Write the index of some vectors; making it durable is left to the caller.

    Args:
        spec: A spec that is not sharded, and not "auto".
        vectors: float32, shape (n, dimension), n >= 0; row i is position i.
        metric: "cosine" (then of unit length), "dot" or "l2".
        path: A new file, or a directory, by its kind.
        trained: What `train_index` wrote for this spec.

    Raises:
        IndexSpecError: No kind understands the spec, or it cannot be built over these vectors.

    Example:
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp()) / "artefact"
        >>> build_index("exact", np.eye(3, dtype=np.float32), "dot", path)
        >>> open_index("exact", path, "dot").search(np.eye(3, dtype=np.float32)[:1], 1).positions.tolist()
        [[0]]
    """
    kind = _kind(spec)
    if trained is not None and isinstance(kind, SharingKind):
        kind.build_trained(trained, spec, vectors, metric, path)
    else:
        kind.build(spec, vectors, metric, path)


def train_index(spec: str, vectors: FloatArray, metric: Metric, path: Path) -> bool:
    """Write to `path` what indexes of parts of `vectors` (n, d) can share. False, and no file: there is nothing."""
    kind = _kind(spec)
    return isinstance(kind, SharingKind) and kind.train(spec, vectors, metric, path)


def open_index(spec: str, path: Path, metric: Metric) -> VectorIndex:
    """Open an index artefact for reading.

    Args:
        spec: The spec that it was built by.
        path: What `build_index` wrote.
        metric: That of its pair.

    Raises:
        CorruptArtifactError: It is damaged, cut off or missing.
        IndexSpecError: No kind understands the spec, or it was built for another metric.
    """
    return _kind(spec).open(path, metric)


def _kind(spec: str) -> IndexKind:
    for kind in _BUILT_IN:
        if kind.accepts(spec):
            return kind
    for kind in _third_party():
        if kind.accepts(spec):
            return kind
    raise IndexSpecError(
        f"{spec!r} is not a valid index spec",
        hint="use auto, exact, a FAISS factory string such as Flat, HNSW32,SQ8, IVF4096,SQ8 or "
        "IVF1024,PQ96x4fs,Refine(SQ8), or lance:IVF_PQ; in parts: shards:4(HNSW32,SQ8)",
    )


def _third_party() -> Iterator[IndexKind]:
    yield from map(_load, entry_points_of(_GROUP).values())


@cache
def _load(point: EntryPoint) -> IndexKind:
    try:
        kind = point.load()
    except (ImportError, AttributeError) as error:
        raise IndexSpecError(
            f"the index kind {point.name!r} ({point.value}) cannot be loaded: {error}",
            hint="repair or uninstall the package that provides it",
        ) from error
    kind = kind() if isinstance(kind, type) else kind
    if absent := [name for name in _MEMBERS if not hasattr(kind, name)]:
        raise IndexSpecError(
            f"the index kind {point.name!r} ({point.value}) does not say: {', '.join(absent)}",
            hint="vecrollback.indexes.IndexKind says what each of them is; upgrade the package that provides the kind",
        )
    return cast(IndexKind, kind)
