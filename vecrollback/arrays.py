"""Types of the arrays that every room shares."""

from __future__ import annotations

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
