"""Vectors that exist already for a content, so that nothing is embedded twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vecrollback.arrays import FloatArray
from vecrollback.pairs.vectors import Vectors


@dataclass(frozen=True, slots=True)
class ChunkVectors:
    """The chunks of one text: spans of shape (n, 2) and vectors of shape (n, dimension); n is 0 for a blank text."""

    spans: NDArray[np.int32]
    vectors: FloatArray


class ReusableVectors:
    """Looks texts up by content hash in the vectors tables of one fingerprint, the pair's own first.

    `others` is asked for further tables, once, when a text is not in the pair's own.
    """

    def __init__(
        self, own: Vectors, version: int, others: Callable[[], Sequence[tuple[Vectors, int]]] = lambda: ()
    ) -> None:
        self._own = _Shelf(own, version)
        self._name_others = others
        self._others: list[_Shelf] | None = None

    def find(self, hashes: Sequence[bytes]) -> dict[bytes, ChunkVectors]:
        """What exists, by content hash."""
        found = self._own.find(hashes)
        missing = [h for h in dict.fromkeys(hashes) if h not in found]
        if missing and self._others is None:
            self._others = [_Shelf(vectors, version) for vectors, version in self._name_others()]
        for shelf in self._others or ():
            found |= shelf.find([h for h in missing if h not in found])
        return found

    def extend(self, version: int) -> None:
        """Take in what was appended to the pair's own table since."""
        self._own.version = version


class _Shelf:
    """One table: hashes of all texts in it, and where the rows of each are. A text's rows stand together.

    Newest first: a row that a repair wrote comes before the damaged one that it superseded.
    """

    def __init__(self, vectors: Vectors, version: int) -> None:
        self.vectors = vectors
        self.version = version
        self._read = 0
        self._rows = 0
        self._hashes = pa.chunked_array([], pa.binary(16))
        self._starts = np.empty(0, np.int64)
        self._ends = np.empty(0, np.int64)

    def _load(self) -> None:
        if self._read == self.version:
            return
        keys = self.vectors.keys(self.version, after=self._rows)
        starts = np.flatnonzero(np.asarray(keys["ordinal"]) <= 0)
        ends = np.append(starts, keys.num_rows)[1:]
        hashes = keys["content_hash"].take(pa.array(starts[::-1]))
        self._hashes = pa.chunked_array([*hashes.chunks, *self._hashes.chunks], pa.binary(16))
        self._starts = np.concatenate([starts[::-1] + self._rows, self._starts])
        self._ends = np.concatenate([ends[::-1] + self._rows, self._ends])
        self._rows += keys.num_rows
        self._read = self.version

    def find(self, hashes: Sequence[bytes]) -> dict[bytes, ChunkVectors]:
        if not hashes:
            return {}
        self._load()
        places = pc.index_in(pa.array(hashes, pa.binary(16)), value_set=self._hashes).to_pylist()
        pairs = [(h, p) for h, p in zip(hashes, places, strict=True) if p is not None]
        wanted = [(h, int(self._starts[p]), int(self._ends[p])) for h, p in pairs]
        if not wanted:
            return {}
        rows = np.concatenate([np.arange(first, end) for _, first, end in wanted])
        taken = self.vectors.read(self._read, rows)
        found, at = {}, 0
        for content_hash, first, end in wanted:
            part = slice(at, at := at + end - first)
            keep = taken.ordinals[part] >= 0
            found[content_hash] = ChunkVectors(taken.spans[part][keep], taken.vectors[part][keep])
        return found
