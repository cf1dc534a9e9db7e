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
    least, most = max(0, drawn - (population - marked)), min(found, marked, drawn)
    if most >= min(marked, drawn):
        return 1.0
    if most < least:
        return 0.0
    counts = np.arange(least, most + 1)
    ways = _log_choose(marked, counts) + _log_choose(population - marked, drawn - counts)
    return float(min(1.0, np.exp(ways - _log_choose(population, drawn)).sum()))


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


def _log_choose(among: int, chosen: np.ndarray | int) -> np.ndarray:
    """Logarithm of the ways to choose `chosen` things of `among`."""
    from scipy.special import betaln

    return np.asarray(-np.log(among + 1) - betaln(among - np.asarray(chosen) + 1, np.asarray(chosen) + 1))
