"""What a searcher counts: its answers by epoch, and the documents that it answered with outdated vectors."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_KEPT_EPOCHS = 8
"""Epochs that may still get an answer from a query that began long ago."""

_STALE_KEPT = 1_000
"""Documents of a pair that are reported at once; those that were read most."""


class Count(NamedTuple):
    """Answers of one epoch so far; `first` and `last` in seconds since 1970."""

    epoch: int
    answers: int
    first: float
    last: float


class AnswerCounts:
    """The counts of one searcher. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[int, Count] = {}
        self._written_counts: dict[int, int] = {}

    def add(self, epoch: int, answers: int) -> None:
        """Count answers to queries."""
        at = time.time()
        with self._lock:
            before = self._counts.get(epoch)
            first, had = (before.first, before.answers) if before else (at, 0)
            self._counts[epoch] = Count(epoch, had + answers, first, at)

    def fresh(self) -> list[Count]:
        """Counts that are not yet written, in full or in part."""
        with self._lock:
            return [one for one in self._counts.values() if self._written_counts.get(one.epoch) != one.answers]

    def noted(self, counts: list[Count]) -> None:
        """Remember that these were written. Older epochs are dropped once all their answers are written."""
        with self._lock:
            self._written_counts.update((one.epoch, one.answers) for one in counts)
            newest = max(self._counts, default=0)
            for epoch, count in list(self._counts.items()):
                if epoch < newest - _KEPT_EPOCHS and self._written_counts.get(epoch) == count.answers:
                    del self._counts[epoch], self._written_counts[epoch]


class StaleAnswerCounts:
    """Documents that answers held with outdated vectors, by pair. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reads: dict[str, Counter[str]] = {}

    def add(self, pair: str, documents: Sequence[str]) -> None:
        """Count one answer that held these."""
        with self._lock:
            self._reads.setdefault(pair, Counter()).update(documents)

    def take(self) -> dict[str, Mapping[str, int]]:
        """What was counted since the last time, by pair."""
        with self._lock:
            reads, self._reads = self._reads, {}
        return {pair: dict(counts.most_common(_STALE_KEPT)) for pair, counts in reads.items()}
