"""Arrays that every room shares: their types, the one cosine of rows, and the one singular value decomposition."""

from __future__ import annotations

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
