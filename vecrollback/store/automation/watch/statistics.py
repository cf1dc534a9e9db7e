"""How far two samples of numbers, or of vectors, are apart, and how likely chance alone makes them so."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vecrollback.records.arrays import singular_values

Numbers = NDArray[np.float64]

BINS = 10
AXES = 8


class Distance(NamedTuple):
    """`p`: the chance of a distance this large between two samples of one population."""

    value: float
    p: float


def ks(baseline: Numbers, now: Numbers) -> Distance:
    """Kolmogorov-Smirnov: the largest gap between the two cumulated distributions, 0 to 1."""
    from scipy.stats import ks_2samp

    test = ks_2samp(baseline, now, method="asymp")
    return Distance(float(test.statistic), float(test.pvalue))


def lower(baseline: Numbers, now: Numbers) -> Distance:
    """The same, one-sided: how far `now` lies below the baseline. What lies above counts nothing."""
    from scipy.stats import ks_2samp

    test = ks_2samp(now, baseline, alternative="greater", method="asymp")
    return Distance(float(test.statistic), float(test.pvalue))


def psi(baseline: Numbers, now: Numbers, bins: int = BINS) -> Distance:
    """Population stability index over bins that hold equal shares of the baseline.

    Times nm/(n + m) it is chi-square with bins - 1 degrees of freedom when nothing changed (Yurdakul, Naranjo 2020).
    """
    from scipy.stats import chi2

    edges = np.unique(np.quantile(baseline, np.linspace(0, 1, bins + 1)[1:-1]))
    a, b = (np.bincount(np.searchsorted(edges, x, side="right"), minlength=len(edges) + 1) for x in (baseline, now))
    # Half an observation in each bin: an empty one says "rare", not "impossible".
    share_a, share_b = ((x + 0.5) / (x.sum() + 0.5 * len(x)) for x in (a, b))
    value = float(np.sum((share_b - share_a) * np.log(share_b / share_a)))
    n, m = len(baseline), len(now)
    return Distance(value, float(chi2.sf(value * n * m / (n + m), len(edges))))


def axes(vectors: NDArray[np.float32], count: int = AXES) -> NDArray[np.float32]:
    """Directions in which vectors differ most, shape (at most count, dimension)."""
    centred = vectors - vectors.mean(axis=0)
    _, _, directions = singular_values(centred)
    first_directions: NDArray[np.float32] = directions[:count].astype(np.float32)
    return first_directions


def along(vectors: NDArray[np.float32], directions: NDArray[np.float32]) -> Numbers:
    """Where vectors lie along each direction, shape (n, directions): what a baseline keeps of them."""
    return np.asarray(vectors @ directions.T, dtype=np.float64)


def apart(baseline: Numbers, now: Numbers, statistic: str) -> Distance:
    """The largest distance along any direction; `p` corrected for having looked at all of them.

    Both of shape (n, directions), as `along` gives them; one column is one sample of numbers.
    """
    measure = psi if statistic == "psi" else ks
    distances = [measure(a, b) for a, b in zip(baseline.T, now.T, strict=True)]
    return Distance(max(one.value for one in distances), min(1.0, min(one.p for one in distances) * len(distances)))
