"""`hnswlib:FILE`: an index that hnswlib saved, read from its bytes: the file does not say of which metric it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vecrollback.connectors.base import Connector, OpenOptions, file_of
from vecrollback.connectors.sidecar import WithTexts
from vecrollback.errors import UsageError
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray, Numbers

_HEADER = 96
"""Six sizes, the highest level and its entry, three numbers of links, two parameters (hnswalg.h, saveIndex)."""

_DELETED = 1
_MARK = 2
"""The third byte of an element's links says that it was deleted."""


class HnswlibConnector:
    """The vectors in the order of their labels; those that were deleted are left out. The file is mapped, not loaded.

    An index of cosine space keeps vectors of unit length.
    """

    metric: Metric | None = None
    stored = "float32"

    def __init__(self, path: Path) -> None:
        self.place = f"hnswlib:{path}"
        try:
            size = path.stat().st_size
            head = np.fromfile(path, "<u8", 6)
        except OSError as error:
            raise UsageError(f"{self.place}: it cannot be read: {error}", hint="hnswlib:FILE") from error
        sizes = [int(one) for one in head] if len(head) == 6 else [1] * 6
        start, most, count, width, label, data = sizes
        if start != 0 or count > most or not data < label < width or size < _HEADER + count * width:
            raise UsageError(f"{self.place}: this is not an index that hnswlib saved", hint="hnswlib:FILE")
        self.dimension = (label - data) // 4
        self._elements = np.memmap(path, np.uint8, "r", _HEADER, (count, width)) if count else np.empty((0, width))
        self._vectors = slice(data, label)
        every = np.ascontiguousarray(self._elements[:, label : label + 8]).view("<u8").reshape(-1).astype(np.int64)
        alive = np.flatnonzero(self._elements[:, _MARK].astype(np.uint8) & _DELETED == 0)
        self._order = alive[np.argsort(every[alive], kind="stable")]
        self.labels: Numbers = every[self._order]
        self.count = len(self._order)
        self.facts: dict[str, Json] = {"deleted": count - self.count}

    def block(self, first: int, stop: int) -> FloatArray:
        return self.take(np.arange(first, stop, dtype=np.int64))

    def take(self, rows: Numbers) -> FloatArray:
        part = np.ascontiguousarray(self._elements[self._order[rows], self._vectors])
        return part.view("<f4").reshape(len(rows), self.dimension).astype(np.float32)

    def close(self) -> None:
        del self._elements


class HnswlibKind:
    """`hnswlib:FILE`. `--texts` has a row for each vector, in the order of the labels."""

    form, texts_beside = "hnswlib:FILE", True

    def claims(self, _place: str) -> bool:
        return False  # `.bin` is anybody's

    def open(self, place: str, options: OpenOptions) -> Connector:
        return WithTexts(HnswlibConnector(file_of(place, "hnswlib")), options.texts)
