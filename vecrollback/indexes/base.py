"""What an index is to the rest of the product: immutable, searched by position, masked from outside."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from vecrollback.records import Metric
from vecrollback.records.arrays import FloatArray, Mask, Positions


class Neighbours(NamedTuple):
    """Best first. `scores` and `positions` have shape (queries, k); unused places hold -inf and -1."""

    scores: FloatArray
    positions: Positions


class VectorIndex(Protocol):
    """An opened index artefact, for reading only. Safe to search from many threads.

    Scores: higher is nearer. "cosine" and "dot": the inner product; "l2": minus the squared distance.
    """

    @property
    def size(self) -> int:
        """How many vectors it holds: positions are 0 to size - 1."""
        ...

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        ...

    @property
    def metric(self) -> Metric:
        """What it was built for: "cosine", "dot" or "l2"."""
        ...

    def search(self, queries: FloatArray, k: int, allowed: Mask | None = None) -> Neighbours:
        """Find the k nearest vectors of each query among the allowed positions.

        Args:
            queries: float32, shape (queries, dimension).
            k: How many to find; more than there are is padded.
            allowed: bool, shape (size,); None allows all. A position that is not allowed is never returned, and recall
                does not fall however few are allowed. A read-only mask may be remembered by identity.

        Returns:
            Scores and positions, each of shape (queries, k), best first; unused places hold -inf and -1.

        Raises:
            UsageError: Queries or mask have another shape, or the index is closed.
        """
        ...

    def reconstruct(self, positions: Positions) -> FloatArray:
        """Give back the vectors that it holds.

        Args:
            positions: int64, shape (n,), each from 0 to size - 1, in any order, also twice.

        Returns:
            float32, shape (n, dimension): the very vectors, or what its codes decode to.
        """
        ...

    def close(self) -> None:
        """Free memory and files without stopping other threads. No search may be running."""
        ...


class IndexKind(Protocol):
    """One file in this package: builds and opens index artefacts of its specs, and says what they are like.

    A kind that learns from a sample before it holds vectors may let several indexes share that: see `SharingKind`.
    `vecrollback.testing.IndexConformance` tests all that is said here.

    Example:
        >>> from vecrollback.indexes.exact import ExactKind
        >>> kind = ExactKind()
        >>> kind.accepts("exact"), kind.suffix, kind.bytes_per_vector("exact", 384)
        (True, '.index', 1536)
    """

    @property
    def suffix(self) -> str:
        """How names of its artefacts end, the dot included: `.index`."""
        ...

    def accepts(self, spec: str) -> bool:
        """Whether `spec` is spelled like one of this kind's."""
        ...

    def bytes_per_vector(self, spec: str, dimension: int) -> int:
        """Say about how many bytes an artefact takes for each vector, for plans.

        Args:
            spec: One that `accepts` accepts.
            dimension: Numbers in a vector.

        Returns:
            Bytes, all parts included that grow with the number of vectors: codes, links, ids, the vectors themselves.
        """
        ...

    def fallbacks(self, spec: str) -> tuple[str, ...]:
        """Say what to build instead, in order, when an index finds too few true neighbours.

        Args:
            spec: What was asked for: one of this kind's, or "auto" where the choice was left to the product.

        Returns:
            More exact specs of this kind; none where what was asked for is what is built, or refused.
        """
        ...

    def build(self, spec: str, vectors: FloatArray, metric: Metric, path: Path) -> None:
        """Write an index. The same vectors give an index that answers alike.

        Args:
            spec: One that `accepts` accepts.
            vectors: float32, shape (n, dimension), n >= 0; may be a memory map larger than memory. Position i of the
                index is row i. Of unit length when `metric` is "cosine".
            metric: "cosine", "dot" or "l2".
            path: A new file or directory. Making it durable is left to the caller.

        Raises:
            IndexSpecError: The spec cannot be built over these vectors.
        """
        ...

    def open(self, path: Path, metric: Metric) -> VectorIndex:
        """Open an artefact for reading only, memory-mapped where the format allows; it says itself what it is.

        Args:
            path: What `build` wrote. Its bytes are never changed.
            metric: That of the pair.

        Raises:
            CorruptArtifactError: It is damaged, cut off or missing.
            IndexSpecError: It was built for another metric.
        """
        ...


@runtime_checkable
class SharingKind(Protocol):
    """Two more methods of an IndexKind whose indexes over parts of a corpus can share what is learnt from all of it."""

    def train(self, spec: str, vectors: FloatArray, metric: Metric, path: Path) -> bool:
        """Write what `spec` learns from `vectors`, (n, d), to `path`. False, and no file, where there is nothing to."""
        ...

    def build_trained(self, shared: Path, spec: str, vectors: FloatArray, metric: Metric, path: Path) -> None:
        """As `build`, with the file `shared` that `train` wrote instead of learning again."""
        ...
