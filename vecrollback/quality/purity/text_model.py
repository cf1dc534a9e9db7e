"""What texts say of vectors: of each half of some rows, by the words of the other half.

Kernel ridge regression on words. All words have a place of their own, which 4,096 buckets do not give them, and the
cost is that of a few thousand texts instead of that of all their words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecrollback.quality.purity.text_screen import weighed
from vecrollback.records.arrays import FloatArray, Numbers

MOST_TEXTS = 6_144
_BUCKETS = 2**18
_RIDGE = 0.5


class TextModel:
    """Learned once for some rows, sorted, and their texts; then it suggests whatever numbers are kept of these rows."""

    def __init__(
        self, rows: Numbers, texts: Sequence[str], at_random: NDArray[np.bool_], random: np.random.Generator
    ) -> None:
        from scipy.linalg import cho_factor

        self.rows, self.at_random = rows, at_random
        words = weighed(texts, _BUCKETS)
        order, half = random.permutation(len(texts)), len(texts) // 2
        self._parts: list[tuple[Numbers, Numbers, Any, FloatArray]] = []
        for known, asked in ((order[:half], order[half:]), (order[half:], order[:half])):
            alike = (words[known] @ words[known].T).toarray()
            alike[np.diag_indices(len(known))] += _RIDGE
            factor = cho_factor(alike, lower=True, overwrite_a=True, check_finite=False)
            self._parts.append((known, asked, factor, (words[asked] @ words[known].T).toarray()))

    def suggest(self, values: FloatArray) -> FloatArray:
        """What the texts suggest of these values, (rows, anything): each from rows of the other half alone."""
        from scipy.linalg import cho_solve

        suggested = np.empty_like(values)
        for known, asked, factor, alike in self._parts:
            mean = values[known].mean(axis=0)
            suggested[asked] = mean + alike @ cho_solve(factor, values[known] - mean, check_finite=False)
        return suggested
