"""Vectors in one file and their texts in another: JSON lines, in the order of the vectors."""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Collection, Iterator
from pathlib import Path
from shutil import copyfileobj
from typing import BinaryIO, Protocol, cast

import numpy as np

from vecrollback.connectors.base import BLOCK_ROWS, Part, Record
from vecrollback.corpus.formats.lines import open_bytes, unreadable
from vecrollback.errors import BadDocumentError, UsageError
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray, Numbers

_SHOWN_ROWS = 100


class VectorFile(Protocol):
    """A file of vectors alone."""

    place: str
    count: int
    dimension: int
    metric: Metric | None
    stored: str
    facts: dict[str, Json]

    def block(self, first: int, stop: int) -> FloatArray:
        """Rows `first` to `stop`."""
        ...

    def take(self, rows: Numbers) -> FloatArray: ...

    def close(self) -> None: ...


class WithTexts:
    """A connector to a vector file, and to the rows beside it when there are any."""

    def __init__(self, file: VectorFile, texts: Path | None) -> None:
        self._file, self._texts = file, Sidecar(texts) if texts is not None else None
        self.place, self.count, self.dimension = file.place, file.count, file.dimension
        self.metric, self.stored, self.facts = file.metric, file.stored, file.facts
        self.fields = self._texts.fields if self._texts else ()
        self.rounded = getattr(file, "rounded", None)
        if self._texts and self._texts.count != self.count:
            fewer = "fewer" if self._texts.count < self.count else "more"
            raise UsageError(
                f"{texts} has {self._texts.count:,} rows, {fewer} than the {self.count:,} vectors in {self.place}",
                hint="write one JSON object a line for every vector, in the order of the vectors",
            )

    def scan(self, names: Collection[str] | None, *, vectors: bool = True) -> Iterator[Part]:
        records = self._texts.lines() if self._texts and names != () else None
        for first in range(0, self.count, BLOCK_ROWS):
            stop = min(first + BLOCK_ROWS, self.count)
            rows = self._file.block(first, stop) if vectors else np.empty((stop - first, 0), np.float32)
            yield self._part(rows, [next(records) for _ in range(first, stop)] if records else [])

    def take(self, rows: Numbers, names: Collection[str] | None, *, vectors: bool = True) -> Part:
        block = self._file.take(rows) if vectors else np.empty((len(rows), 0), np.float32)
        return self._part(block, self._texts.take(rows) if self._texts and names != () else [])

    def _part(self, vectors: FloatArray, records: list[Record]) -> Part:
        return Part(vectors, np.full(len(vectors), self.dimension, np.int64), records)

    def close(self) -> None:
        self._file.close()
        if self._texts:
            self._texts.close()


class Sidecar:
    """The rows of a JSON lines file by number: 8 bytes of memory for each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _plain(path)
        self._starts, self._numbers = _index(self._file)
        self.count = len(self._starts)
        names = dict.fromkeys(name for row in self._records_at(range(min(self.count, _SHOWN_ROWS))) for name in row)
        self.fields = tuple(names)

    def lines(self) -> Iterator[Record]:
        """Every row in order."""
        yield from self._records_at(range(self.count))

    def take(self, rows: Numbers) -> list[Record]:
        """Rows by number, in the order asked for; the file is read forwards."""
        order = np.argsort(rows, kind="stable")
        records: list[Record] = [{}] * len(rows)
        for at, record in zip(order.tolist(), self._records_at(rows[order].tolist()), strict=True):
            records[at] = record
        return records

    def close(self) -> None:
        self._file.close()

    def _records_at(self, rows: Collection[int]) -> Iterator[Record]:
        at = -1
        for row in rows:
            start = int(self._starts[row])
            # Rows in order need no seek.
            if at != start:
                self._file.seek(start)
            line = self._file.readline()
            at = start + len(line)
            yield self._parse(line, row)

    def _parse(self, line: bytes, row: int) -> Record:
        try:
            record = json.loads(line)
            if isinstance(record, dict):
                return record
            problem = f"not a JSON object but a {type(record).__name__}"
        except ValueError as error:
            problem = f"not JSON: {error}"
        raise BadDocumentError(
            problem,
            source=str(self.path),
            line=int(self._numbers[row]),
            hint='one object a line, for example {"id": "a", "text": "..."}',
        )


def _plain(path: Path) -> BinaryIO:
    """The file, or an unpacked copy of a compressed one, which can be read at any place."""
    try:
        stream = open_bytes(path)
        if path.suffix.lower() not in (".gz", ".zst"):
            return stream
        with stream:
            spool = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
            copyfileobj(stream, spool)
            return cast(BinaryIO, spool)
    except (OSError, EOFError) as error:
        raise unreadable(path, error) from error


def _index(file: BinaryIO) -> tuple[Numbers, Numbers]:
    """Where each row starts, and its line number; a blank line is not a row."""
    starts, numbers = array("q"), array("q")
    at = 0
    file.seek(0)
    for number, line in enumerate(file, start=1):
        if not line.isspace():
            starts.append(at)
            numbers.append(number)
        at += len(line)
    return np.array(starts, np.int64), np.array(numbers, np.int64)
