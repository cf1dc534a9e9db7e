"""What a sample says about the vectors that were not looked at: exact hypergeometric bounds, and the budget for it."""

from __future__ import annotations

import math

from vecrollback.errors import UsageError
from vecrollback.quality.probabilities import hypergeometric_cdf
from vecrollback.records import Certificate

_ROUNDING = 1e-12


def sample_size(population: int, *, bound: float, confidence: float) -> int:
    """How many vectors to re-embed so that finding none foreign certifies at most `bound` of them are.

    Exact, without replacement: 299 for 1% at 95% of a large population, fewer of a small one.
    """
    if population <= 0:
        return 0
    foreign = int(bound * population) + 1  # the smallest count that must be refuted
    if foreign > population:
        return 0
    low, high = 0, population
    while low < high:
        middle = (low + high) // 2
        if _refutes(hypergeometric_cdf(0, population, foreign, middle), confidence):
            high = middle
        else:
            low = middle + 1
    return low


def certify(population: int, *, sampled: int, foreign: int, confidence: float) -> Certificate:
    """The smallest share that the sample refutes: at `confidence`, no more than `bound` of the population is foreign.

    Clopper-Pearson for a finite population: the largest count under which a sample with so few foreign ones is not
    less likely than 1 - confidence.
    """
    low, high = foreign, population - (sampled - foreign)
    while low < high:
        middle = (low + high + 1) // 2
        if not _refutes(hypergeometric_cdf(foreign, population, middle, sampled), confidence):
            low = middle
        else:
            high = middle - 1
    bound = low / population if population else 0.0
    return Certificate(sampled=sampled, foreign=foreign, population=population, bound=bound, confidence=confidence)


def _refutes(chance: float, confidence: float) -> bool:
    """Whether a sample of this chance refutes what it was computed for. One that is equal but for rounding does not."""
    return chance <= (1 - confidence) * (1 - _ROUNDING)


def parse_budget(value: str, count: int) -> int:
    """`2%` of `count` rows, or `500` texts; at least 1. Raises UsageError."""
    number, percent = value.strip().removesuffix("%"), value.strip().endswith("%")
    try:
        amount = float(number) if percent else int(number)
    except ValueError:
        amount = math.nan
    if not amount > 0 or not math.isfinite(amount) or (percent and amount > 100):
        raise UsageError(
            f"{value!r} is not a valid budget", hint="write a number of texts, 500, or a share of the rows, 2%"
        )
    return max(1, math.ceil(count * amount / 100)) if percent else int(amount)
