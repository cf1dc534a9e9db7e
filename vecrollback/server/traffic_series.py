"""The last hour second by second: answers, errors, latency, best scores and lag, by the epoch that answered.

Numbers only, in a ring of fixed size. With several workers each writes a ring of its own into a shared folder, and
whoever is asked adds them up. What an epoch points to is in the history, so no name needs to be stored.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vecrollback.records import LATENCIES, Result, latency_bucket, latency_within

Counts = NDArray[np.int64]

_ROWS = 3_600
_SCORE_FIRST, _SCORE_STEP, _SCORES = -0.2, 0.05, 25
_AT, _EPOCH, _ANSWERS, _ERRORS, _LAG, _LATENCY = range(6)
_SCORE = _LATENCY + LATENCIES
_WIDTH = _SCORE + _SCORES
_BYTES = _ROWS * _WIDTH * 4


@dataclass(slots=True)
class TimeSpan:
    """Some seconds of one epoch, of all workers together."""

    at: int
    epoch: int
    answers: int = 0
    errors: int = 0
    lag: int | None = None
    latency: Counts = field(default_factory=lambda: np.zeros(LATENCIES, np.int64))
    scores: Counts = field(default_factory=lambda: np.zeros(_SCORES, np.int64))

    def add(self, row: Counts) -> None:
        """Take in one second of one worker."""
        self.answers += int(row[_ANSWERS])
        self.errors += int(row[_ERRORS])
        if row[_LAG]:
            self.lag = max(self.lag or 0, int(row[_LAG]) - 1)
        self.latency = self.latency + row[_LATENCY:_SCORE]
        self.scores = self.scores + row[_SCORE:]

    def quantile(self, share: float) -> float | None:
        """Seconds within which this share of the requests was answered, to a bucket's width; None without any."""
        return latency_within(self.latency.tolist(), share)


def score_edges() -> list[float]:
    """Lower ends of the buckets of scores; the first and the last also hold what lies beyond."""
    return [round(_SCORE_FIRST + _SCORE_STEP * n, 4) for n in range(_SCORES)]


class Series:
    """One worker's ring. Written from its event loop only; read by anybody, who may see a second half counted.

    `folder`: what the workers share; None where there is one only.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._memory = mmap.mmap(-1, _BYTES) if folder is None else _map_file(folder / f"series-{os.getpid()}.ring")
        self._ring = memoryview(self._memory).cast("I")
        self._row, self._epoch = 0, 0

    def answered(self, results: Sequence[Result], seconds: float) -> None:
        """Note the answers of one request."""
        if not results:
            return
        at = self._at(results[0].epoch)
        self._ring[at + _ANSWERS] += len(results)
        self._ring[at + _LATENCY + latency_bucket(seconds)] += 1
        for result in results:
            if result.hits:
                place = int((result.hits[0].score - _SCORE_FIRST) / _SCORE_STEP)
                self._ring[at + _SCORE + max(0, min(_SCORES - 1, place))] += 1

    def failed(self) -> None:
        """Note a request that got an error, under the epoch that answered last."""
        self._ring[self._at(self._epoch) + _ERRORS] += 1

    def behind(self, epoch: int, lag: int) -> None:
        """Note how far the live pair is behind the log."""
        # One more than it is: 0 stands for a second in which nobody looked.
        self._ring[self._at(epoch) + _LAG] = min(max(0, lag) + 1, 2**32 - 1)

    def spans(self, seconds: int, step: int) -> list[TimeSpan]:
        """The last `seconds` of all workers in steps, oldest first; of each step one span for every epoch in it."""
        since = int(time.time()) - seconds
        spans: dict[tuple[int, int], TimeSpan] = {}
        for rows in self._rings():
            for row in rows[rows[:, _AT] >= since].astype(np.int64):
                start, epoch = int(row[_AT] - row[_AT] % step), int(row[_EPOCH])
                spans.setdefault((start, epoch), TimeSpan(start, epoch)).add(row)
        return [spans[key] for key in sorted(spans)]

    def _at(self, epoch: int) -> int:
        """Where this second's row of this epoch begins. Around a move two epochs share a second."""
        now = int(time.time())
        for back in (0, 1):
            at = (self._row - back) % _ROWS * _WIDTH
            if self._ring[at] == now and self._ring[at + _EPOCH] == epoch:
                return at
        self._row, self._epoch = (self._row + 1) % _ROWS, max(self._epoch, epoch)
        at = self._row * _WIDTH
        self._ring[at] = 0  # no reader counts it until it is whole
        self._ring[at + 1 : at + _WIDTH] = _EMPTY
        self._ring[at + _EPOCH] = epoch
        self._ring[at] = now
        return at

    def _rings(self) -> Iterator[NDArray[np.uint32]]:
        if self.folder is None:
            yield np.frombuffer(self._memory, np.uint32).reshape(_ROWS, _WIDTH)
            return
        for path in self.folder.glob("series-*.ring"):
            content = path.read_bytes()
            if len(content) == _BYTES:  # else its worker is about to lay it out
                yield np.frombuffer(content, np.uint32).reshape(_ROWS, _WIDTH)


_EMPTY = memoryview(bytes(4 * (_WIDTH - 1))).cast("I")


def _map_file(path: Path) -> mmap.mmap:
    with path.open("w+b") as file:
        file.truncate(_BYTES)
        return mmap.mmap(file.fileno(), _BYTES)
