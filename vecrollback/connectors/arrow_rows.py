"""What sources in Arrow's columns have in common: finding the vectors, and turning columns into rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from vecrollback.connectors.base import BLOCK_ROWS, Part, guess_vector, majority
from vecrollback.errors import UsageError
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray, Numbers


class Columns(Protocol):
    """A table in columns, opened for reading only."""

    place: str
    schema: pa.Schema
    count: int

    def metric(self, vector: str) -> Metric | None:
        """What the table says of a column of vectors."""
        ...

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows in order."""
        ...

    def take(self, rows: Numbers, names: Sequence[str]) -> pa.Table:
        """These rows, in the order asked for."""
        ...

    def close(self) -> None: ...


class MemoryColumns:
    """A table in memory, of a format that has no way to single rows. `metrics`: what it says of columns of vectors."""

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


class ArrowConnector:
    """A connector to a table in columns."""

    def __init__(self, table: Columns, vector: str | None) -> None:
        self._table = table
        self.place, self.count = table.place, table.count
        every = table.schema.names
        self._vector = guess_vector(vector_columns(table.schema), every, vector, self.place)
        self.metric = table.metric(self._vector)
        self.stamp: str | None = getattr(table, "stamp", None)
        kind = table.schema.field(self._vector).type
        self.fields = tuple(name for name in every if name != self._vector)
        self.stored = str(_values(kind)).replace("halffloat", "float16").replace("double", "float64")
        self.stored = "float32" if self.stored == "float" else self.stored
        self.facts: dict[str, Json] = {"vector_field": self._vector}
        self.dimension = self._dimension(_storage(kind))
        if not self.dimension:
            raise UsageError(
                f"{self.place}: no row of {self._vector!r} has a vector", hint="name another --vector-field"
            )

    def scan(self, names: Collection[str] | None, *, vectors: bool = True) -> Iterator[Part]:
        for batch in self._table.batches(self._columns_to_read(names, vectors)):
            for first in range(0, batch.num_rows, BLOCK_ROWS):
                yield self._part(batch.slice(first, BLOCK_ROWS), vectors)

    def take(self, rows: Numbers, names: Collection[str] | None, *, vectors: bool = True) -> Part:
        table = self._table.take(rows, self._columns_to_read(names, vectors)).combine_chunks()
        return self._part(table.to_batches()[0], vectors) if len(rows) else self._empty(vectors)

    def close(self) -> None:
        self._table.close()

    def _columns_to_read(self, names: Collection[str] | None, vectors: bool) -> list[str]:
        fields = [name for name in self.fields if names is None or name in names]
        return [*fields, self._vector] if vectors or not fields else fields

    def _part(self, batch: pa.RecordBatch, vectors: bool) -> Part:
        rows, sizes = matrix(batch[self._vector], self.dimension) if vectors else self._nothing(batch.num_rows)
        fields = [name for name in batch.schema.names if name != self._vector]
        return Part(rows, sizes, batch.select(fields).to_pylist() if fields else [])

    def _empty(self, vectors: bool) -> Part:
        rows, sizes = self._nothing(0)
        return Part(np.empty((0, self.dimension), np.float32) if vectors else rows, sizes)

    def _nothing(self, count: int) -> tuple[FloatArray, Numbers]:
        return np.empty((count, 0), np.float32), np.zeros(count, np.int64)

    def _dimension(self, kind: pa.DataType) -> int:
        if pt.is_fixed_size_list(kind):
            return int(kind.list_size)
        counts: Counter[int] = Counter()
        for batch in self._table.batches([self._vector]):
            counts.update(_sizes(batch[self._vector]).tolist())
        return majority(counts)


def vector_columns(schema: pa.Schema) -> list[str]:
    """The columns that hold lists of numbers."""
    return [field.name for field in schema if _values(field.type)]


def matrix(column: pa.Array, dimension: int) -> tuple[FloatArray, Numbers]:
    """A column of vectors as (n, dimension), NaN where a row has another size, and the size of each row."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    sizes = _sizes(column)
    fits = sizes == dimension
    flat = column.filter(pa.array(fits)).flatten() if not fits.all() else column.flatten()
    values = np.asarray(flat.to_numpy(zero_copy_only=False), np.float32).reshape(-1, dimension)
    if fits.all():
        return values, sizes
    vectors = np.full((len(column), dimension), np.nan, np.float32)
    vectors[fits] = values
    return vectors, sizes


def _sizes(column: pa.Array) -> Numbers:
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    return np.asarray(pc.fill_null(pc.list_value_length(column), 0), np.int64)


def _storage(kind: pa.DataType) -> pa.DataType:
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _values(kind: pa.DataType) -> pa.DataType | None:
    """The type of a vector's numbers; None for a column that holds no vectors."""
    kind = _storage(kind)
    if not (pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind)):
        return None
    return kind.value_type if pt.is_floating(kind.value_type) or pt.is_integer(kind.value_type) else None
