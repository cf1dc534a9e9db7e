"""Arrays that every room shares: their types, room for large ones, the one cosine, one singular value decomposition."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
"""Vectors, shape (n, dimension), or scores of any shape."""

Numbers = NDArray[np.int64]
"""Row numbers, shape (n,)."""

Positions = NDArray[np.int64]
"""Positions of neighbours in an index, shape (queries, k); -1 where there are fewer."""

Times = NDArray[np.float64]
"""Seconds since the epoch, shape (n,)."""

Mask = NDArray[np.bool_]
"""One value a row, shape (n,); False hides the row."""

Cosines = NDArray[np.float64]
"""Cosines, shape (n,); NaN where there is none."""

_IN_MEMORY = 1 << 30
"""Bytes of vectors; more of them lie in a map over a file."""

_BLOCK = 65_536
"""Rows to go through at a time."""


def cosines(a: FloatArray, b: FloatArray) -> Cosines:
    """Compare two lists of vectors row by row.

    Args:
        a: Vectors, shape (n, dimension).
        b: Vectors, shape (n, dimension).

    Returns:
        Cosines, shape (n,), from -1 to 1. NaN where one of the two is zero or not finite: every comparison with NaN is
        false, so ask whether a vector is near enough (`cosine >= floor`), never whether it is too far.

    Example:
        >>> import numpy as np
        >>> cosines(np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([[1.0, 1.0], [1.0, 0.0]])).round(4)
        array([0.7071,    nan])
    """
    # Summed as float64 without a copy of the rows: float32 sums differ by 1e-7 for each hundred dimensions.
    dots = (np.einsum("ij,ij->i", x, y, dtype=np.float64) for x, y in ((a, b), (a, a), (b, b)))
    product, length_a, length_b = dots
    with np.errstate(all="ignore"):
        values = product / np.sqrt(length_a * length_b)
    return np.where(np.isfinite(values), np.clip(values, -1.0, 1.0), np.nan)


def singular_values(
    matrix: NDArray[np.floating[Any]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The thin singular value decomposition.

    Args:
        matrix: Finite numbers, shape (n, m).

    Returns:
        Left directions (n, r), strengths (r,), right directions (r, m), with r the smaller of n and m.

    Raises:
        numpy.linalg.LinAlgError: No way of LAPACK's comes to an end.

    Example:
        >>> import numpy as np
        >>> left, strengths, right = singular_values(np.diag([1.0, 3.0]))
        >>> strengths.tolist()
        [3.0, 1.0]
    """
    try:
        left, strengths, right = np.linalg.svd(matrix, full_matrices=False)
    except np.linalg.LinAlgError:
        # The quick way (gesdd) does not converge for every matrix; the slow one does for nearly all.
        from scipy.linalg import svd

        left, strengths, right = svd(matrix, full_matrices=False, lapack_driver="gesvd")
    return left, strengths, right


def room_for(count: int, dimension: int) -> FloatArray:
    """An array (count, dimension), float32, to be filled: in memory while that is little, else a map over a file.

    The system writes such a map to disk and takes its pages back when it needs them, so what goes through all vectors
    of a pair in blocks needs no memory of their size. The file has no name, lies where `TMPDIR` says and is gone with
    the process. Raises OSError when the disk has no room for it.
    """
    if 4 * count * dimension <= _IN_MEMORY:
        return np.empty((count, dimension), np.float32)
    with tempfile.TemporaryFile(prefix="vecrollback-") as file:
        return np.memmap(file, np.float32, "w+", shape=(count, dimension))


def take_rows(vectors: FloatArray, rows: NDArray[np.int64]) -> FloatArray:
    """These rows, in this order; the vectors themselves when that is all of them as they stand."""
    if len(rows) == len(vectors) and np.array_equal(rows, np.arange(len(vectors))):
        return vectors
    copy = room_for(len(rows), vectors.shape[1])
    for first in range(0, len(rows), _BLOCK):
        copy[first : first + _BLOCK] = vectors[rows[first : first + _BLOCK]]
    return copy


def row_lengths(vectors: FloatArray) -> FloatArray:
    """Euclidean length of each vector, shape (n,)."""
    lengths = np.empty(len(vectors), np.float32)
    for first in range(0, len(vectors), _BLOCK):
        lengths[first : first + _BLOCK] = np.linalg.norm(vectors[first : first + _BLOCK], axis=1)
    return lengths
