"""Looking at a running canary as often as one likes without being fooled by chance.

The usual interval is right for one look. Somebody who looks every second, and stops when it looks good, is wrong far
more often than it says. A confidence sequence holds the true mean at all looks at once.

This one is Robbins' mixture (Annals of Mathematical Statistics 41(5), 1970) of likelihood ratios of coins. For a value
x in [0, 1] of mean p, and any q, (q/p)^x ((1-q)/(1-p))^(1-x) is at most x q/p + (1-x)(1-q)/(1-p), whose mean is 1: so
the product over all values is a supermartingale, and so is its average over q drawn uniformly. By Ville's inequality it
ever exceeds 1/alpha with probability alpha at most. Values of p for which it did not are the bounds. That needs counts
and sums only, which add up over processes, and nothing of the distribution; it is as tight for failures near 0 as for
overlaps in the middle.
"""

from __future__ import annotations

import math
from collections.abc import Callable

_HALVINGS = 50


def mean_bounds(count: int, total: float, *, alpha: float) -> tuple[float, float]:
    """Bounds of the mean of values in [0, 1], all of them right at every count at once with probability 1 - alpha."""
    if not count:
        return 0.0, 1.0
    complement = max(0.0, count - total)
    average = math.lgamma(total + 1) + math.lgamma(complement + 1) - math.lgamma(count + 2) + math.log(alpha)

    def refuted(p: float) -> bool:
        return average > _times_log(total, p) + _times_log(complement, 1 - p)

    mean = min(1.0, max(0.0, total / count))
    return _edge(0.0, mean, refuted), _edge(1.0, mean, refuted)


def difference_bounds(a: tuple[int, float], b: tuple[int, float], *, alpha: float) -> tuple[float, float]:
    """Bounds of mean(b) - mean(a), each given as count and sum. The error is shared between the two."""
    (low_a, high_a), (low_b, high_b) = (mean_bounds(count, total, alpha=alpha / 2) for count, total in (a, b))
    return low_b - high_a, high_b - low_a


def _times_log(times: float, p: float) -> float:
    if not times:
        return 0.0
    return times * math.log(p) if p > 0 else -math.inf


def _edge(outside: float, inside: float, refuted: Callable[[float], bool]) -> float:
    """Where refutation ends between a value outside and the mean, which is never refuted; on the outer side of it."""
    if not refuted(outside):
        return outside
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        outside, inside = (middle, inside) if refuted(middle) else (outside, middle)
    return outside
