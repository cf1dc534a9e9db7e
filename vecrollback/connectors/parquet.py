"""`parquet:FILE`: a Parquet file with a column of lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vecrollback.connectors.arrow_rows import ArrowConnector
from vecrollback.connectors.base import BLOCK_ROWS, Connector, OpenOptions, ends_in, file_of
from vecrollback.errors import UsageError
from vecrollback.records import Metric
from vecrollback.records.arrays import Numbers

_BUFFER = 1 << 20


class ParquetColumns:
    """Parquet has no way to one row: taking some streams the row groups that hold them."""

    def __init__(self, path: Path) -> None:
        self.place = f"parquet:{path}"
        try:
            # Buffered, and not fetched ahead: by default Arrow keeps the pages of a whole row group.
            self._file = pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)
        except (OSError, pa.ArrowException) as error:
            reason = "there is no such file" if not path.exists() else str(error)
            raise UsageError(f"{self.place}: {reason}", hint="name a whole Parquet file") from error
        self.schema, self.count = self._file.schema_arrow, int(self._file.metadata.num_rows)
        groups = [self._file.metadata.row_group(n).num_rows for n in range(self._file.num_row_groups)]
        self._ends = np.cumsum(groups, dtype=np.int64)

    def metric(self, _vector: str) -> Metric | None:
        return None  # the format has no word for it

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for group in range(self._file.num_row_groups):
            yield from self._stream(group, names)

    def take(self, rows: Numbers, names: Sequence[str]) -> pa.Table:
        # Ascending, so that each row group is streamed once; `places` puts the rows back in the order asked for.
        unique, places = np.unique(rows, return_inverse=True)
        groups = np.unique(np.searchsorted(self._ends, unique, side="right"))
        parts = [part for group in groups.tolist() for part in self._rows_of_group(int(group), unique, names)]
        return pa.Table.from_batches(parts).take(pa.array(places)) if parts else self.schema.empty_table()

    def close(self) -> None:
        self._file.close()

    def _rows_of_group(self, group: int, rows: Numbers, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        first = int(self._ends[group - 1]) if group else 0
        for batch in self._stream(group, names):
            low, high = np.searchsorted(rows, [first, first + batch.num_rows])
            if high > low:
                yield batch.take(pa.array(rows[low:high] - first))
            first += batch.num_rows

    def _stream(self, group: int, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from self._file.iter_batches(BLOCK_ROWS, row_groups=[group], columns=list(names), use_threads=False)


class ParquetKind:
    """`parquet:FILE`, or a file that ends in `.parquet`."""

    form, texts_beside = "parquet:FILE", False

    def claims(self, place: str) -> bool:
        return ends_in(place, ".parquet")

    def open(self, place: str, options: OpenOptions) -> Connector:
        return ArrowConnector(ParquetColumns(file_of(place, "parquet")), options.vector)
