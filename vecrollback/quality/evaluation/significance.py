"""Whether a difference between two pairs is more than chance, from the same queries asked of both."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecrollback.records import Difference

RESAMPLES = 4_999
"""A p can then be as low as 0.0002."""

_AT_ONCE = 20_000_000  # numbers held at a time
_SEED = 0
"""The same data always tells the same."""


def difference(measure: str, a: ArrayLike, b: ArrayLike, *, resamples: int = RESAMPLES) -> Difference:
    """Compare paired values, one per query: a permutation test of the mean, and its bootstrap interval (BCa).

    The permutation test asks nothing of the distribution, which for these measures has lumps at 0 and 1.
    """
    one, other = np.asarray(a, np.float64), np.asarray(b, np.float64)
    d = other - one
    low, high, p = _tested(d, resamples)
    return Difference(measure, len(d), float(one.mean()), float(other.mean()), float(d.mean()), low, high, p)


def _tested(d: NDArray[np.float64], resamples: int) -> tuple[float, float, float]:
    """Low and high end of the interval, and p. One query alone tells nothing."""
    if len(d) < 2:
        return -1.0, 1.0, 1.0
    if not d.any():
        return 0.0, 0.0, 1.0
    from scipy.stats import bootstrap, permutation_test

    # In batches: all resamples of many queries at once would not fit into memory.
    batch = max(1, _AT_ONCE // len(d))
    resampled = {"n_resamples": resamples, "batch": batch, "vectorized": True, "random_state": _SEED}
    p = float(permutation_test((d,), _mean, permutation_type="samples", **resampled).pvalue)
    if np.ptp(d) == 0:  # every query differs by the same: BCa divides by the spread
        return float(d[0]), float(d[0]), p
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a handful of queries BCa may have no interval: then it is their range
        low, high = bootstrap((d,), _mean, **resampled).confidence_interval
    low, high = (low, high) if np.isfinite([low, high]).all() else (d.min(), d.max())
    return float(low), float(high), p


def _mean(values: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return np.asarray(np.mean(values, axis=axis))
