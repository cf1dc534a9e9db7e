"""Rows of the vectors table, made from a batch."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vecrollback.arrays import FloatArray
from vecrollback.pairs.vectors import schema
from vecrollback.reembedding.tasks import Batch


def table(batch: Batch, fingerprint: str, number: int, dimension: int) -> pa.Table:
    """Rows of a batch. `number` is the version they will be: of two batches for one change, the later one counts."""
    counts = [max(1, len(passages.spans)) for _, passages in batch]
    vectors: list[FloatArray] = []
    spans: list[NDArray[np.int32]] = []
    ordinals: list[NDArray[np.int32]] = []
    for _, passages in batch:
        blank = not len(passages.spans)
        vectors.append(np.zeros((1, dimension), np.float32) if blank else passages.vectors)
        spans.append(np.zeros((1, 2), np.int32) if blank else passages.spans)
        ordinals.append(np.array([-1], np.int32) if blank else np.arange(len(passages.spans), dtype=np.int32))
    every = np.concatenate(spans)
    repeat = np.repeat(np.arange(len(batch)), counts)
    flat = pa.array(np.concatenate(vectors).reshape(-1))
    columns = [
        pa.array([c.id for c, _ in batch], pa.string()).take(pa.array(repeat)),
        pa.array(np.array([c.seq for c, _ in batch], np.int64)[repeat]),
        pa.array(np.full(len(repeat), number, np.int64)),
        pa.array(np.concatenate(ordinals)),
        pa.array(every[:, 0]),
        pa.array(every[:, 1]),
        pa.array([c.content_hash for c, _ in batch], pa.binary(16)).take(pa.array(repeat)),
        pa.array([fingerprint] * len(repeat), pa.string()),
        pa.FixedSizeListArray.from_arrays(flat, dimension),
    ]
    return pa.Table.from_arrays(columns, schema=schema(dimension))
