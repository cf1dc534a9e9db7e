"""The few probabilities that checks decide by. `scipy.stats` has them all, and takes half a second to import."""

from __future__ import annotations

import numpy as np


def hypergeometric_cdf(found: int, population: int, marked: int, drawn: int) -> float:
    """The chance that so many draws without replacement find at most `found` of those that are marked.

    Args:
        found: At most so many of them.
        population: How many there are to draw from.
        marked: How many of these are marked.
        drawn: How many are drawn; at most `population`.

    Example:
        >>> round(hypergeometric_cdf(0, 10, 3, 2), 6)  # 7/10 * 6/9
        0.466667
    """
    if marked > drawn:  # the same chance, and fewer factors
        marked, drawn = drawn, marked
    least = max(0, drawn + marked - population)
    if found >= marked:
        return 1.0
    if found < least:
        return 0.0
    # Of the least count, factor by factor: each is near 1, so the logarithms add up to the last digits.
    if least:  # all that are not marked are drawn
        first = _log_product(drawn, population, population - marked)
    else:  # none that is marked is drawn
        first = _log_product(population - drawn, population, marked)
    counts = np.arange(least, found)
    ratios = (marked - counts) * (drawn - counts) / ((counts + 1.0) * (population - marked - drawn + counts + 1.0))
    return float(min(1.0, np.exp(first + np.append(0.0, np.cumsum(np.log(ratios)))).sum()))


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The value below which a beta-distributed share lies with this probability: a Clopper-Pearson limit.

    0.0 for `a` = 0: of whom none was found there may be next to none.

    Example:
        >>> round(beta_quantile(0.05, 10, 1), 4)  # ten of ten: at least 74% at 95% confidence
        0.7411
    """
    from scipy.special import betaincinv

    return float(betaincinv(a, b, probability)) if a else 0.0


def fair_tail(successes: int, trials: int) -> float:
    """The chance of so many successes or more in tosses of a fair coin.

    Example:
        >>> fair_tail(2, 3)
        0.5
    """
    from scipy.special import betainc

    return float(betainc(successes, trials - successes + 1, 0.5)) if successes > 0 else 1.0


def _log_product(above: int, below: int, factors: int) -> float:
    """Logarithm of above/below * (above - 1)/(below - 1) * ..., so many factors."""
    return float(np.log1p((above - below) / (below - np.arange(factors, dtype=np.float64))).sum())
