"""What goes over the wire: rows for a binary COPY, vectors in pgvector's format, distances as scores."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa

from vecrollback.pairs.vectors import matrix
from vecrollback.records import Metric
from vecrollback.records.arrays import FloatArray

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)


class WireVector(bytes):
    """A vector in pgvector's binary format: a count, a reserved number, big-endian floats."""

    @classmethod
    def of(cls, vector: FloatArray) -> WireVector:
        return cls(struct.pack(">hh", len(vector), 0) + vector.astype(">f4").tobytes())


def scores(distances: Any, query: FloatArray, metric: Metric) -> Any:
    """Distances of pgvector as scores; of a zero vector it has none."""
    distances = np.where(np.isnan(distances), 1.0, distances)
    if metric == "cosine":  # the rows are of unit length, so this is the inner product
        return (1 - distances) * np.sqrt(query @ query)
    return -distances if metric == "dot" else -(distances**2)


def floats(vector: bytes) -> bytes:
    """The numbers alone, big-endian."""
    return vector[4:]


def encoded(batch: pa.RecordBatch) -> bytes:
    """Rows in PostgreSQL's binary COPY format."""
    dimension = batch.schema.field("vector").type.list_size
    vectors = matrix(pa.chunked_array([batch["vector"]]), dimension).astype(">f4")
    columns = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if field.name == "vector":
            head = struct.pack(">ihh", 4 + 4 * dimension, dimension, 0)
            columns.append([head + row.tobytes() for row in vectors])
        elif field.type == pa.int64():
            columns.append([struct.pack(">iq", 8, value) for value in column.to_pylist()])
        elif field.type == pa.int32():
            columns.append([struct.pack(">ii", 4, value) for value in column.to_pylist()])
        else:
            values = [v if isinstance(v, bytes) else v.encode() for v in column.to_pylist()]
            columns.append([struct.pack(">i", len(value)) + value for value in values])
    head = struct.pack(">h", len(columns))
    return b"".join(head + b"".join(row) for row in zip(*columns, strict=True))
