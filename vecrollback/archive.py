"""Vectors that exist already for a content, so that nothing is embedded twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vecrollback.vectors import FloatArray, Vectors


@dataclass(frozen=True, slots=True)
class Passages:
    """The passages of one text: spans of shape (n, 2) and vectors of shape (n, dimension); n is 0 for a blank text."""

    spans: NDArray[np.int32]
    vectors: FloatArray


class Archive:
    """Looks texts up by content hash in the vectors tables of one fingerprint."""

    def __init__(self, tables: Sequence[tuple[Vectors, int]]) -> None:
        self._tables = [_Shelf(vectors, version) for vectors, version in tables]

    def find(self, hashes: Sequence[bytes]) -> dict[bytes, Passages]:
        """What exists, by content hash."""
        found: dict[bytes, Passages] = {}
        for shelf in self._tables:
            missing = [h for h in dict.fromkeys(hashes) if h not in found]
            found |= shelf.find(missing)
        return found

    def extend(self, vectors: Vectors, version: int) -> None:
        """Take in what was appended to one of the tables since."""
        for shelf in self._tables:
            if shelf.vectors is vectors:
                shelf.extend(version)


class _Shelf:
    """One table: hashes of all texts in it, and where the rows of each begin. A text's rows stand together."""

    def __init__(self, vectors: Vectors, version: int) -> None:
        self.vectors = vectors
        self._version = 0
        self._rows = 0
        self._hashes = pa.chunked_array([], pa.binary(16))
        self._starts: list[NDArray[np.int64]] = []
        self.extend(version)

    def extend(self, version: int) -> None:
        if version == self._version:
            return
        keys = self.vectors.keys(version, after=self._rows)
        starts = np.flatnonzero(np.asarray(keys["ordinal"]) <= 0)
        hashes = keys["content_hash"].take(pa.array(starts))
        self._hashes = pa.chunked_array([*self._hashes.chunks, *hashes.chunks], pa.binary(16))
        self._starts.append(starts + self._rows)
        self._rows += keys.num_rows
        self._version = version

    def find(self, hashes: Sequence[bytes]) -> dict[bytes, Passages]:
        if not hashes or not self._rows:
            return {}
        places = pc.index_in(pa.array(hashes, pa.binary(16)), value_set=self._hashes).to_pylist()
        starts = np.append(np.concatenate(self._starts), self._rows)
        wanted = [(h, int(starts[p]), int(starts[p + 1])) for h, p in zip(hashes, places, strict=True) if p is not None]
        if not wanted:
            return {}
        rows = np.concatenate([np.arange(first, end) for _, first, end in wanted])
        taken = self.vectors.read(self._version, rows)
        found, at = {}, 0
        for content_hash, first, end in wanted:
            part = slice(at, at := at + end - first)
            keep = taken.ordinals[part] >= 0
            found[content_hash] = Passages(taken.spans[part][keep], taken.vectors[part][keep])
        return found
