"""What an index is to the rest of the product: immutable, searched by position, masked from outside."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, Self, runtime_checkable

from vecrollback.arrays import FloatArray, Mask, Positions
from vecrollback.errors import IndexSpecError
from vecrollback.records import Metric

MOST_SHARDS = 1024
_SHARDED = re.compile(r"shards:(?P<count>[1-9]\d*)\((?P<inner>.+)\)")


class Neighbours(NamedTuple):
    """Best first. `scores` and `positions` have shape (queries, k); unused places hold -inf and -1."""

    scores: FloatArray
    positions: Positions


class VectorIndex(Protocol):
    """An opened index artefact. Safe to search from many threads.

    Scores: higher is nearer. "cosine" and "dot": the inner product; "l2": minus the squared distance.
    """

    @property
    def size(self) -> int: ...

    @property
    def dimension(self) -> int: ...

    @property
    def metric(self) -> Metric: ...

    def search(self, queries: FloatArray, k: int, allowed: Mask | None = None) -> Neighbours:
        """The k nearest vectors of each query among the allowed positions (None: all).

        A position that is not allowed is never returned, and recall does not fall however few are allowed.
        """
        ...

    def reconstruct(self, positions: Positions) -> FloatArray:
        """The vectors the index holds at these positions, exact or decoded, shape (n, dimension)."""
        ...

    def close(self) -> None:
        """Free memory and files without stopping other threads. No search may be running."""
        ...


class IndexKind(Protocol):
    """One file in this package: builds and opens index artefacts of its specs.

    A kind that learns from a sample before it holds vectors may let several indexes share that: see `SharingKind`.
    """

    def accepts(self, spec: str) -> bool:
        """Whether `spec` is spelled like one of this kind's."""
        ...

    def build(self, spec: str, vectors: FloatArray, metric: Metric, path: Path) -> None:
        """Write the index of `vectors`, shape (n, dimension), n >= 0, to `path` (a new file or directory).

        Position i of the index is row i. Raises IndexSpecError when the spec cannot be built over these vectors.
        """
        ...

    def open(self, path: Path, metric: Metric) -> VectorIndex:
        """Open for reading only, memory-mapped where the format allows; the artefact says what it is.

        Raises CorruptArtifactError when it is damaged, IndexSpecError when it was built for another metric.
        """
        ...


@runtime_checkable
class SharingKind(Protocol):
    """What an IndexKind has besides when indexes of parts of a corpus can share what is learnt from all of it."""

    def train(self, spec: str, vectors: FloatArray, metric: Metric, path: Path) -> bool:
        """Write what `spec` learns from `vectors`, (n, d), to `path`. False, and no file, where there is nothing to."""
        ...

    def build_trained(self, trained: Path, spec: str, vectors: FloatArray, metric: Metric, path: Path) -> None:
        """`build`, with what `train` wrote instead of learning again."""
        ...


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
        if match is None or int(match["count"]) > MOST_SHARDS or match["inner"].startswith("shards:"):
            raise IndexSpecError(
                f"{spec!r} is no sharded index",
                hint=f"write shards:N(SPEC) with N from 1 to {MOST_SHARDS}, as in shards:4(HNSW32,SQ8)",
            )
        return cls(int(match["count"]), match["inner"])

    @property
    def sharded(self) -> bool:
        return self.count > 1

    def around(self, inner: str) -> str:
        """The spec of an index of as many shards, each of them `inner`."""
        return f"shards:{self.count}({inner})" if self.sharded else inner
