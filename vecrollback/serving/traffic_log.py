"""What one searcher has seen of its queries, for a watch in another process or on another host, which asks for it.

While nobody asks, nothing is kept. Queries are the users' own words: at most so many are, in a ring, and the catalog's
copies go when the watch has no more use for them.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence

from vecrollback.catalog import Catalog
from vecrollback.catalog.traffic import COUNT_SLOTS, SAMPLE_SLOTS
from vecrollback.errors import RerankerError, UsageError
from vecrollback.records import LATENCIES, AnswerCount, Result, Sample, WatchCall, latency_bucket

_log = logging.getLogger(__name__)
_MOST_BYTES = 1_000


class TrafficLog:
    """The traffic of one searcher. Safe to use from many threads.

    `origin`: the server that it belongs to, `HOST/NAME`; all workers of one have the same.
    """

    def __init__(self, catalog: Catalog, searcher: str, alias: str) -> None:
        self._catalog, self._searcher, self._alias = catalog, searcher, alias
        self.origin = f"{socket.gethostname()}/{uuid.uuid4().hex[:12]}"
        self._lock = threading.Lock()
        self._call: WatchCall | None = None
        self._samples: deque[Sample] = deque(maxlen=SAMPLE_SLOTS)
        self._second, self._in_second = 0, 0
        self._counts: dict[int, AnswerCount] = {}
        self._sample_slot, self._count_slot, self._given = 0, 0, False
        self._epoch, self._failed = 0, False

    @property
    def wanted(self) -> bool:
        """Whether a watch asks for this traffic: one that does not see it anyway."""
        return self._call is not None

    def note(self, texts: Sequence[str], ask: Callable[[], list[Result]]) -> list[Result]:
        """Ask, and note the answers or the error. A wrong question and a broken reranker say nothing of a pair."""
        if self._call is None:
            return ask()
        start = time.perf_counter()
        try:
            results = ask()
        except (UsageError, RerankerError):
            raise
        except Exception:
            self.failed()
            raise
        self.answered(texts, results, time.perf_counter() - start)
        return results

    def answered(self, texts: Sequence[str], results: Sequence[Result], seconds: float) -> None:
        """Note the answers of one request. Those of a canary say nothing of the pair that is watched.

        `texts`: one for each, to sample from; none where the queries came as vectors.
        """
        call, at = self._call, time.time()
        if call is None or not results or not results[0].pair or results[0].canary:
            return
        with self._lock:
            self._epoch = results[0].epoch
            self._count(at, self._epoch, answers=len(results), latency=latency_bucket(seconds))
            if int(at) != self._second:
                self._second, self._in_second = int(at), 0
            for text, result in zip(texts, results, strict=bool(texts)):
                if self._in_second >= call.a_second:
                    return
                if not _fits(text):
                    continue
                self._in_second += 1
                self._samples.append(Sample(at, result.epoch, text, result.hits[0].score if result.hits else None))

    def failed(self) -> None:
        """Note a request that got an error, under the epoch that answered last."""
        if self._call is not None:
            with self._lock:
                self._count(time.time(), self._epoch, errors=1)

    def send(self) -> None:
        """Ask whether a watch asks, and give it what was seen since the last time.

        Raises nothing, for it never stops a heartbeat. What cannot be written is lost.
        """
        try:
            call = self._catalog.traffic.called(self._alias)
            self._call = None if call is None or call.origin == self.origin else call
            with self._lock:
                samples, counts = list(self._samples), list(self._counts.values())
                self._samples.clear()
                self._counts.clear()
            if self._call is not None and (samples or counts):
                self._give(samples, counts)
            self._failed = False
        except Exception as error:
            if not self._failed:
                _log.warning("the watch of %r does not get the queries of this process: %s", self._alias, error)
            self._failed = True

    def _give(self, samples: Sequence[Sample], counts: Sequence[AnswerCount]) -> None:
        self._given = True
        self._catalog.traffic.give(
            self._searcher,
            self._alias,
            self.origin,
            [((self._sample_slot + n) % SAMPLE_SLOTS, one) for n, one in enumerate(samples)],
            [((self._count_slot + n) % COUNT_SLOTS, one) for n, one in enumerate(counts)],
        )
        self._sample_slot += len(samples)
        self._count_slot += len(counts)

    def close(self) -> None:
        """Take back what the catalog has of it. Raises CatalogUnavailableError."""
        self._call = None
        if self._given:
            self._catalog.traffic.leave(self._searcher)

    def _count(self, at: float, epoch: int, *, answers: int = 0, errors: int = 0, latency: int | None = None) -> None:
        before = self._counts.get(epoch) or AnswerCount(at, epoch, 0, 0, (0,) * LATENCIES)
        counts = list(before.latency)
        if latency is not None:
            counts[latency] += 1
        self._counts[epoch] = AnswerCount(at, epoch, before.answers + answers, before.errors + errors, tuple(counts))


def _fits(text: str) -> bool:
    """Whether a catalog can hold a query, whole: cut off it would be another one."""
    try:
        return len(text.encode()) <= _MOST_BYTES and "\0" not in text
    except UnicodeEncodeError:
        return False
