"""An index file of FAISS whose documents a framework keeps beside it; they are held in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np

from vecrollback.connectors.base import BLOCK_ROWS, Part, Record
from vecrollback.connectors.faiss_vectors import FaissConnector
from vecrollback.records import Json
from vecrollback.records.arrays import Numbers


class FaissDocuments:
    """A connector to an index and the documents of its rows.

    Args:
        place: Its name in reports.
        index: The file of FAISS.
        fields: What each row has.
        record: From the id of a vector in the index to its row; the position where the index has no ids of its own.
    """

    def __init__(self, place: str, index: Path, fields: tuple[str, ...], record: Callable[[int], Record]) -> None:
        self.place, self.fields, self._record_of = place, fields, record
        self._file = FaissConnector(index)
        self.count, self.dimension = self._file.count, self._file.dimension
        self.metric, self.stored, self.rounded = self._file.metric, self._file.stored, self._file.rounded
        self.facts: dict[str, Json] = dict(self._file.facts)

    def scan(self, names: Collection[str] | None, *, vectors: bool = True) -> Iterator[Part]:
        for first in range(0, self.count, BLOCK_ROWS):
            yield self.take(np.arange(first, min(first + BLOCK_ROWS, self.count)), names, vectors=vectors)

    def take(self, rows: Numbers, names: Collection[str] | None, *, vectors: bool = True) -> Part:
        array = self._file.take(rows) if vectors else np.empty((len(rows), 0), np.float32)
        ids = self._file.ids[rows] if self._file.ids is not None else rows
        records = [] if names == () else [self._record(id_, names) for id_ in ids.tolist()]
        return Part(array, np.full(len(rows), self.dimension, np.int64), records)

    def close(self) -> None:
        self._file.close()

    def _record(self, id_: int, names: Collection[str] | None) -> Record:
        record = self._record_of(id_)
        return record if names is None else {name: record[name] for name in record if name in names}
