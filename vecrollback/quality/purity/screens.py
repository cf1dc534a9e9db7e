"""Screens: one pass over all vectors that says where to look. A screen points; only re-embedding decides.

Scoring a block is one product of it with the directions, in the block's own float32: no copy, nothing else per vector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecrollback.arrays import FloatArray, Numbers
from vecrollback.quality.purity.population import Population

_SAMPLE = 16_384
_LINES = 2_048
"""Rows per product, so that a part of a block is still in the cache when its lengths are taken."""

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Survey:
    """What the first pass saw. `lengths`: norms, NaN where a vector is not finite. `sample`: vectors at random."""

    lengths: FloatArray
    sample_rows: Numbers
    sample: FloatArray

    @property
    def usable(self) -> NDArray[np.bool_]:
        return np.isfinite(self.lengths) & (self.lengths > 0)

    def directions(self) -> FloatArray:
        """The usable vectors of the sample at unit length."""
        lengths = self.lengths[self.sample_rows]
        good = np.isfinite(lengths) & (lengths > 0)
        return np.asarray(self.sample[good] / lengths[good, None], dtype=np.float32)


def survey(population: Population, random: np.random.Generator) -> Survey:
    """Read every vector once: its length, and some of them at random to keep."""
    count = population.count
    wanted = np.sort(random.choice(count, min(count, _SAMPLE), replace=False))
    sample = np.empty((len(wanted), population.dimension), np.float32)
    lengths = np.empty(count, np.float32)
    for first, block in population.blocks():
        for start in range(0, len(block), _LINES):
            part = block[start : start + _LINES]
            with np.errstate(all="ignore"):
                norms = np.sqrt(np.einsum("ij,ij->i", part, part))
            lengths[first + start : first + start + len(part)] = np.where(np.isfinite(norms), norms, np.nan)
        low, high = np.searchsorted(wanted, [first, first + len(block)])
        sample[low:high] = block[wanted[low:high] - first]
    return Survey(lengths, wanted.astype(np.int64), sample)


def score(population: Population, directions: FloatArray, lengths: FloatArray) -> Scores:
    """Dot product of every vector, at unit length, with each direction: shape (count, directions)."""
    scores = np.empty((population.count, len(directions)), np.float32)
    columns = np.ascontiguousarray(directions.T, dtype=np.float32)
    with np.errstate(all="ignore"):
        for first, block in population.blocks():
            np.matmul(block, columns, out=scores[first : first + len(block)])
        scores /= lengths[:, None]
    return scores


def distances(population: Population, form: Callable[[FloatArray], FloatArray], lengths: FloatArray) -> Scores:
    """What `form` makes of each vector at unit length, one number each: shape (count,)."""
    found = np.empty(population.count, np.float32)
    with np.errstate(all="ignore"):
        for first, block in population.blocks():
            for start in range(0, len(block), _LINES):
                here = slice(first + start, first + min(start + _LINES, len(block)))
                found[here] = form(block[start : start + _LINES] / lengths[here, None])
    return found
