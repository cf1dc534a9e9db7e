"""`arrow:FILE`: Arrow's own formats, the file (Feather) and the stream, mapped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from vecrollback.connectors.arrow_rows import ArrowConnector
from vecrollback.connectors.base import Connector, OpenOptions, ends_in, file_of
from vecrollback.errors import UsageError
from vecrollback.records import Metric
from vecrollback.records.arrays import Numbers


class IpcColumns:
    """A mapped file. What is not compressed is never copied; a compressed file is unpacked into memory."""

    def __init__(self, path: Path) -> None:
        self.place = f"arrow:{path}"
        try:
            self._map = pa.memory_map(str(path))
            self._table = _open_table(self._map)
            # Reading checks nothing: a wrong offset in the file would be followed to wherever it leads.
            self._table.validate(full=True)
        except (OSError, pa.ArrowException) as error:
            reason = "there is no such file" if not path.exists() else str(error)
            raise UsageError(f"{self.place}: {reason}", hint="name an Arrow IPC file or stream") from error
        self.schema, self.count = self._table.schema, int(self._table.num_rows)

    def metric(self, _vector: str) -> Metric | None:
        return None  # the format has no word for it

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from self._table.select(list(names)).to_batches()

    def take(self, rows: Numbers, names: Sequence[str]) -> pa.Table:
        return self._table.select(list(names)).take(pa.array(rows))

    def close(self) -> None:
        del self._table
        self._map.close()


def _open_table(source: pa.MemoryMappedFile) -> pa.Table:
    try:
        return pa.ipc.open_file(source).read_all()
    except pa.ArrowInvalid:
        # Not the file format: a stream begins at the start again.
        source.seek(0)
        return pa.ipc.open_stream(source).read_all()


class ArrowKind:
    """`arrow:FILE`, or a file that ends in `.arrow`, `.feather` or `.ipc`."""

    form, texts_beside = "arrow:FILE", False

    def claims(self, place: str) -> bool:
        return ends_in(place, ".arrow", ".feather", ".ipc")

    def open(self, place: str, options: OpenOptions) -> Connector:
        return ArrowConnector(IpcColumns(file_of(place, "arrow")), options.vector)
