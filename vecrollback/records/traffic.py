"""What is known of the queries that a store answered: some of them in full, and counts of all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

LATENCIES = 44
"""Buckets of latencies: 0.2 ms to 16 s, each 30 % wider than the one before."""

_FIRST, _STEP = 0.0002, 1.3


@dataclass(frozen=True, slots=True)
class Sample:
    """One answered query. `at` in seconds since 1970; `best`: score of the first hit, None when there was none."""

    at: float
    epoch: int
    query: str
    best: float | None


@dataclass(frozen=True, slots=True)
class AnswerCount:
    """What one process answered in some seconds of one epoch.

    Attributes:
        at: The end of these seconds, in seconds since 1970.
        epoch: The epoch that answered.
        answers: Queries that were answered.
        errors: Queries that got an error.
        latency: How many answers fell into each bucket of latencies.
    """

    at: float
    epoch: int
    answers: int
    errors: int
    latency: Sequence[int]


@dataclass(frozen=True, slots=True)
class WatchCall:
    """What a watch asks of all who answer: their traffic. `origin`: the server that watches, `HOST/NAME`.

    `keep`: for how many seconds what they give is of use; `a_second`: how many queries of a second, at most.
    """

    origin: str
    keep: float
    a_second: int


def latency_bucket(seconds: float) -> int:
    """The bucket of a latency; the last one also holds what is longer."""
    if seconds <= _FIRST:
        return 0
    return min(LATENCIES - 1, int(math.log(seconds / _FIRST, _STEP)))


def latency_within(counts: Sequence[int], share: float) -> float | None:
    """Seconds within which this share was answered, to a bucket's width; None without any."""
    total = sum(counts)
    if not total:
        return None
    bucket = next(number for number, so_far in enumerate(accumulate(counts)) if so_far >= share * total)
    return float(_FIRST * _STEP ** (bucket + 0.5))
