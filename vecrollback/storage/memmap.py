"""Room for many vectors: in memory while they are few, else in a map over a file without a name.

The system writes such a map to disk and takes its pages back when it needs them, so what goes through all vectors of a
pair in blocks needs no memory of their size. The file lies where `TMPDIR` says and is gone with the process.
"""

from __future__ import annotations

import tempfile

import numpy as np
from numpy.typing import NDArray

from vecrollback.arrays import FloatArray

_IN_MEMORY = 1 << 30
BLOCK = 65_536
"""Rows to go through at a time."""


def room(count: int, dimension: int) -> FloatArray:
    """An array (count, dimension), float32, to be filled. Raises OSError when the disk has no room for it."""
    if 4 * count * dimension <= _IN_MEMORY:
        return np.empty((count, dimension), np.float32)
    with tempfile.TemporaryFile(prefix="vecrollback-") as file:
        return np.memmap(file, np.float32, "w+", shape=(count, dimension))


def take(vectors: FloatArray, rows: NDArray[np.int64]) -> FloatArray:
    """These rows, in this order; the vectors themselves when that is all of them as they stand."""
    if len(rows) == len(vectors) and np.array_equal(rows, np.arange(len(vectors))):
        return vectors
    taken = room(len(rows), vectors.shape[1])
    for first in range(0, len(rows), BLOCK):
        taken[first : first + BLOCK] = vectors[rows[first : first + BLOCK]]
    return taken


def lengths(vectors: FloatArray) -> FloatArray:
    """Euclidean length of each vector, shape (n,)."""
    found = np.empty(len(vectors), np.float32)
    for first in range(0, len(vectors), BLOCK):
        found[first : first + BLOCK] = np.linalg.norm(vectors[first : first + BLOCK], axis=1)
    return found
