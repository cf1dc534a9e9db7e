"""What a searcher counts and writes: answers by epoch, and documents that it answered with outdated vectors."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vecrollback.catalog import Catalog
from vecrollback.catalog.answer_counts import canary_alias

_log = logging.getLogger(__name__)

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


class AnswerReport:
    """All that one searcher counts, and its writing into the catalog."""

    def __init__(self, catalog: Catalog, searcher: str, alias: str) -> None:
        self._catalog, self._searcher, self._alias = catalog, searcher, alias
        self.answers, self.stale, self._failed = AnswerCounts(), StaleAnswerCounts(), False
        self._canaries: dict[str, AnswerCounts] = {}

    def canary(self, pair: str, epoch: int, answers: int) -> None:
        """Count answers that callers got from the canary; the incident of a later rollback adds them to its own."""
        self._canaries.setdefault(pair, AnswerCounts()).add(epoch, answers)

    def write(self) -> None:
        """Write how many queries were answered in which epoch, and how often from outdated vectors.

        Raises nothing, for it never stops a heartbeat. Stale reads that cannot be written are lost: they order work.
        """
        counts, stale = self.answers.fresh(), self.stale.take()
        try:
            for pair, reads in stale.items():
                self._catalog.stale_reads.note(pair, reads)
            if counts:
                self._catalog.served.note(self._searcher, self._alias, counts)
            self.answers.noted(counts)
            for pair, tally in list(self._canaries.items()):
                if canary_counts := tally.fresh():
                    self._catalog.served.note(f"{self._searcher}:{pair}", canary_alias(pair), canary_counts)
                    tally.noted(canary_counts)
            self._failed = False
        except Exception as error:
            if not self._failed:
                _log.warning("answers of %r are not counted: %s", self._alias, error)
            self._failed = True
