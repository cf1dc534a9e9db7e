"""What LangChain's `FAISS.save_local` wrote, an index and a pickle of its documents.

The pickle is read without running any of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vecrollback.connectors.base import BLOCK_ROWS, Part, Record, named
from vecrollback.connectors.faiss_vectors import FaissConnector
from vecrollback.connectors.inert_pickle import load_inert
from vecrollback.embedders.stamp import STAMP_FILE
from vecrollback.errors import UsageError
from vecrollback.records import Json
from vecrollback.records.arrays import Numbers


class LangchainFaissConnector:
    """An index with the documents beside it, which are kept in memory."""

    fields: tuple[str, ...] = ("id", "page_content", "metadata")

    def __init__(self, folder: Path, name: str = "index") -> None:
        self.place = f"faiss:{folder}"
        if not (folder / f"{name}.faiss").is_file():
            there = named(sorted(path.name for path in folder.glob("*.faiss")))
            raise UsageError(
                f"{self.place}: there is no {name}.faiss", hint=f"indexes there: {there}; write faiss:FOLDER#NAME"
            )
        self._ids, self._documents = _documents(folder / f"{name}.pkl", self.place)
        self._file = FaissConnector(folder / f"{name}.faiss")
        self.count, self.dimension = self._file.count, self._file.dimension
        self.metric, self.stored, self.rounded = self._file.metric, self._file.stored, self._file.rounded
        self.facts: dict[str, Json] = dict(self._file.facts)
        stamp = folder / STAMP_FILE
        self.stamp = stamp.read_text(encoding="utf-8") if stamp.is_file() else None

    def scan(self, names: Collection[str] | None, *, vectors: bool = True) -> Iterator[Part]:
        for first in range(0, self.count, BLOCK_ROWS):
            yield self.take(np.arange(first, min(first + BLOCK_ROWS, self.count)), names, vectors=vectors)

    def take(self, rows: Numbers, names: Collection[str] | None, *, vectors: bool = True) -> Part:
        array = self._file.take(rows) if vectors else np.empty((len(rows), 0), np.float32)
        records = [] if names == () else [self._record(row, names) for row in rows.tolist()]
        return Part(array, np.full(len(rows), self.dimension, np.int64), records)

    def close(self) -> None:
        self._file.close()

    def _record(self, row: int, names: Collection[str] | None) -> Record:
        """One row; a vector without a document has its number alone."""
        id_ = self._ids.get(row)
        document = self._documents.get(id_) or {}
        record = {"id": str(row if id_ is None else id_), **{name: document.get(name) for name in self.fields[1:]}}
        return {name: record[name] for name in record if names is None or name in names}


def _documents(path: Path, place: str) -> tuple[dict[int, Any], dict[Any, Any]]:
    """By row its id, and by id its document."""
    if not path.is_file():
        raise UsageError(f"{place}: there is no {path.name} beside the index", hint="give the index itself: faiss:FILE")
    with path.open("rb") as stream:
        content = load_inert(stream, place)
    parts = content if isinstance(content, tuple) and len(content) == 2 else ({}, None)
    documents = parts[0].get("_dict") if isinstance(parts[0], dict) else None
    if type(documents) is not dict or type(parts[1]) is not dict:  # an inert value is a dict too
        raise UsageError(f"{place}: {path.name} is not what LangChain writes", hint="give the index itself: faiss:FILE")
    return parts[1], documents
