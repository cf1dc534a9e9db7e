"""The traffic as a watch sees it: how many queries failed, how long they took, and some of them in full."""

from __future__ import annotations

import math
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vecrollback.errors import UsageError
from vecrollback.records import LIVE, AnswerCount, Result, Sample, WatchCall, latency_within
from vecrollback.store.automation.operated_store import OperatedStore
from vecrollback.switching.policy import Policy

ENOUGH = 60
"""Queries of a minute that the metrics can judge by; with fewer a server asks golden queries itself."""

_PROBED_SECONDS = 60.0

_CALL_SECONDS = 30.0
"""For so long others go on giving their traffic after a watch has asked last: it may be slow, or die."""

_MOST_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Volume:
    """Queries of some seconds. `p99`: seconds; None without an answer. `latency`: answers by bucket, where known."""

    answers: int
    errors: int
    p99: float | None
    latency: Sequence[int] = ()


class Traffic(Protocol):
    """Where a watch looks. `since`: only epochs from this one on."""

    def refresh(self) -> None:
        """Come up to date, before each round."""

    def volume(self, seconds: float, since: int) -> Volume: ...

    def samples(self, seconds: float) -> list[Sample]:
        """Sampled queries of the last seconds, of all epochs, oldest first."""

    def hosts(self) -> Sequence[str]:
        """The hosts whose queries it has."""


def sampled_a_second(interval: float) -> int:
    """How many queries of a second are sampled: of one interval twice as many as the metrics can judge by."""
    return max(20, math.ceil(2 * ENOUGH / interval))


class Samples:
    """Some of the last queries, in memory and nowhere else: at most so many a second, the newest kept."""

    def __init__(self, kept: int = 2_000, a_second: int = 20) -> None:
        self._rows: deque[Sample] = deque(maxlen=kept)
        self._a_second, self._second, self._count = a_second, 0, 0

    def add(self, queries: Sequence[str], results: Sequence[Result]) -> None:
        """Take some of these. Called from one thread."""
        at = time.time()
        if int(at) != self._second:
            self._second, self._count = int(at), 0
        for query, result in zip(queries, results, strict=True):
            if self._count >= self._a_second:
                return
            if result.canary:  # of another pair than the one that is watched
                continue
            self._count += 1
            self._keep(Sample(at, result.epoch, query, result.hits[0].score if result.hits else None))

    def _keep(self, sample: Sample) -> None:
        self._rows.append(sample)

    def last(self, seconds: float) -> list[Sample]:
        """Those of the last seconds, oldest first."""
        since = time.time() - seconds
        return [one for one in self._rows.copy() if one.at >= since]


class SyntheticTraffic:
    """Traffic of its own: asks the same queries in turn, for a store that no server of ours answers for.

    `search` asks `live`. Each `refresh` sends `batch` queries, one at a time.
    """

    def __init__(self, queries: Sequence[str], search: Callable[[str], Result], batch: int = 30) -> None:
        if not queries:
            raise UsageError("there is no query to ask", hint="--queries FILE, or `vecrollback golden add`")
        self._queries, self._search, self._batch = queries, search, min(batch, len(queries))
        self._next = 0
        self._samples = Samples(a_second=1_000)
        self._answers: deque[tuple[float, int, float | None]] = deque(maxlen=10_000)
        self._epoch = 0

    def refresh(self) -> None:
        """Ask the next queries; an error counts as one."""
        for _ in range(self._batch):
            query = self._queries[self._next % len(self._queries)]
            self._next += 1
            start = time.perf_counter()
            try:
                result = self._search(query)
            except Exception:  # as a caller would get it
                self._answers.append((time.time(), self._epoch, None))
                continue
            self._epoch = result.epoch
            self._answers.append((time.time(), result.epoch, time.perf_counter() - start))
            self._samples.add([query], [result])

    def volume(self, seconds: float, since: int) -> Volume:
        start = time.time() - seconds
        rows = [took for at, epoch, took in self._answers.copy() if at >= start and epoch >= since]
        times = sorted(took for took in rows if took is not None)
        p99 = times[min(len(times) - 1, int(0.99 * len(times)))] if times else None
        return Volume(len(times), len(rows) - len(times), p99)

    def samples(self, seconds: float) -> list[Sample]:
        return self._samples.last(seconds)

    def hosts(self) -> Sequence[str]:
        return [socket.gethostname()]


class PooledTraffic:
    """The traffic there is here, and that of every other server and searcher of the store, on whichever host.

    Each `refresh` asks them for it; they give it about once a second. Without that a watch would be blind to a bad pair
    whenever the clients sit elsewhere.

    Args:
        inner: The traffic there is here.
        store: The store that they all answer from.
        policy: What says how far back its metrics look, and how often.
        origin: The name of this server, under which its own workers would give.
    """

    def __init__(self, inner: Traffic, store: OperatedStore, policy: Policy, origin: str) -> None:
        self._inner, self._table, self._origin = inner, store.resources.catalog.traffic, origin
        quick = [rule.window for rule in policy.rules if rule.speed in ("immediate", "rapid")]
        self._keep = min(_MOST_SECONDS, max([_PROBED_SECONDS, *quick]))
        self._call = WatchCall(origin, self._keep, sampled_a_second(policy.interval))
        self._call_seconds = max(_CALL_SECONDS, 3 * policy.interval)
        self._samples: list[Sample] = []
        self._counts: list[tuple[str, AnswerCount]] = []

    def refresh(self) -> None:
        """Ask for it again, and read what has come."""
        self._inner.refresh()
        self._table.call(LIVE, self._call, self._call_seconds)
        self._samples = self._table.samples(LIVE, self._keep, without=self._origin)
        self._counts = self._table.counts(LIVE, self._keep, without=self._origin)

    def volume(self, seconds: float, since: int) -> Volume:
        own, start = self._inner.volume(seconds, since), time.time() - seconds
        others = [one for _, one in self._counts if one.at >= start and one.epoch >= since]
        if not others:
            return own
        latency = [sum(bucket) for bucket in zip(*(one.latency for one in others), strict=True)]
        answers, errors = sum(one.answers for one in others), sum(one.errors for one in others)
        if own.latency:
            latency = [a + b for a, b in zip(own.latency, latency, strict=True)]
            p99 = latency_within(latency, 0.99)
        else:
            times = [one for one in (own.p99, latency_within(latency, 0.99)) if one is not None]
            p99 = max(times, default=None)
        return Volume(own.answers + answers, own.errors + errors, p99, latency)

    def samples(self, seconds: float) -> list[Sample]:
        start = time.time() - seconds
        others = [one for one in self._samples if one.at >= start]
        return (
            sorted([*self._inner.samples(seconds), *others], key=lambda one: one.at)
            if others
            else self._inner.samples(seconds)
        )

    def hosts(self) -> Sequence[str]:
        others = (origin.rpartition("/")[0] for origin, _ in self._counts)
        return list(dict.fromkeys([*self._inner.hosts(), *others]))


class ProbedTraffic:
    """The traffic there is and, while that is too little to judge by, golden queries asked of the live pair.

    A bad pair is seen without a single user then. What the probe asks goes the way of every query, so errors and times
    count too.

    Args:
        inner: The traffic there is.
        queries: The texts to ask, read anew before each round; none: nothing is asked.
        search: Asks `live`.
        epoch: Of `live`, now.
    """

    def __init__(
        self,
        inner: Traffic,
        queries: Callable[[], Sequence[str]],
        search: Callable[[str], Result],
        epoch: Callable[[], int],
    ) -> None:
        self._inner, self._queries, self._search, self._epoch = inner, queries, search, epoch
        self._probe: SyntheticTraffic | None = None
        self._texts: list[str] = []

    def refresh(self) -> None:
        """Ask, if fewer queries than `ENOUGH` came within the last minute and since the last move."""
        self._inner.refresh()
        if self.volume(_PROBED_SECONDS, self._epoch()).answers >= ENOUGH:
            return
        texts = list(dict.fromkeys(self._queries()))
        if texts != self._texts:
            self._texts, self._probe = texts, SyntheticTraffic(texts, self._search, batch=ENOUGH) if texts else None
        if self._probe is not None:
            self._probe.refresh()

    def volume(self, seconds: float, since: int) -> Volume:
        own = self._inner.volume(seconds, since)
        if self._probe is None:
            return own
        asked = self._probe.volume(seconds, since)
        times = [one.p99 for one in (own, asked) if one.p99 is not None]
        return Volume(own.answers + asked.answers, own.errors + asked.errors, max(times, default=None))

    def samples(self, seconds: float) -> list[Sample]:
        asked = self._probe.samples(seconds) if self._probe is not None else []
        return sorted([*self._inner.samples(seconds), *asked], key=lambda one: one.at)

    def hosts(self) -> Sequence[str]:
        return self._inner.hosts()
