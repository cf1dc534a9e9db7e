"""A source that is read whole when it is opened: its format has no way to single rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from vecrollback.arrays import Numbers
from vecrollback.connectors.base import BLOCK_ROWS
from vecrollback.records import Metric


class MemoryColumns:
    """A table in memory. `metrics`: what the source says of its columns of vectors."""

    def __init__(self, place: str, table: pa.Table, metrics: dict[str, Metric] | None = None) -> None:
        self.place, self._table, self._metrics = place, table, metrics or {}
        self.schema, self.count = table.schema, int(table.num_rows)

    def metric(self, vector: str) -> Metric | None:
        return self._metrics.get(vector)

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from self._table.select(list(names)).combine_chunks().to_batches(max_chunksize=BLOCK_ROWS)

    def take(self, rows: Numbers, names: Sequence[str]) -> pa.Table:
        return self._table.select(list(names)).take(pa.array(rows))

    def close(self) -> None:
        """Nothing is open."""
