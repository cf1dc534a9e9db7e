"""A candidate answers a share of the live queries again, on its own thread, so that no caller waits for it.

The observations are kept as sums of a fixed size until they are written to the catalog.
"""

from __future__ import annotations

import contextlib
import logging
import math
import queue
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from vecrollback.catalog import Catalog
from vecrollback.errors import CatalogUnavailableError
from vecrollback.records import Canary, Hit, Observation
from vecrollback.records.results import overlap
from vecrollback.storage.forks import FollowsForks, follow_forks, inherit

_log = logging.getLogger(__name__)
_WAITING = 32
_FLUSH_SECONDS = 1.0

Answers = Sequence[Sequence[Hit]]


_TENTHS, _SCORES, _MILLISECONDS = 10, 40, 48


class ShadowTask(NamedTuple):
    """Queries that the live pair answered in `seconds`; `ask` makes the candidate answer them too."""

    canary: Canary
    texts: Sequence[str]
    answers: Answers
    seconds: float
    ask: Callable[[], Answers]


class Shadow(FollowsForks):
    """Takes queries while there is room and drops the others. Writes what it observes to the catalog.

    Its thread starts with the first canary; without one it costs nothing.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog, self._observations = catalog, ShadowObservations()
        self._waiting: queue.Queue[ShadowTask | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = self._failure_logged = False
        follow_forks(self)

    def forked(self) -> None:
        """What the parent saw it writes itself; what waits there waits for its thread."""
        inherit(self._waiting)
        self._waiting, self._observations = queue.Queue(_WAITING), ShadowObservations()
        self._lock, self._thread = threading.Lock(), None

    def offer(self, task: ShadowTask) -> None:
        """Maybe ask the candidate too: by chance, and only while there is room. Never raises, never waits."""
        if random.random() * 100 < task.canary.shadow:
            with contextlib.suppress(queue.Full):
                self._waiting.put_nowait(task)
                self._start()

    def answered(self, canary: Canary, seconds: float) -> None:
        """Count a query that the candidate itself answered."""
        self._observations.note(_step(canary), failed=0.0, canary_ms=seconds * 1000)
        self._start()

    def failed(self, canary: Canary, error: Exception) -> None:
        """Count a query that it could not answer; the live pair did."""
        self._observations.note(_step(canary), failed=1.0)
        self._start()
        if not self._failure_logged:
            _log.warning("candidate %s@%d cannot answer: %s", canary.pair, canary.snapshot, error)
        self._failure_logged = True

    def close(self) -> None:
        """Write the observations, and end. Queries that still wait are dropped."""
        with self._lock:  # so that `_start` cannot begin a thread that nobody would join
            self._closed, thread = True, self._thread
        if thread is not None:
            # Wakes the thread at once. On a full queue it has work, and sees `_closed` after the next task.
            with contextlib.suppress(queue.Full):
                self._waiting.put_nowait(None)
            thread.join()

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._closed:
                    self._thread = threading.Thread(target=self._run, name="vecrollback-shadow", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        due = time.monotonic() + _FLUSH_SECONDS
        while not self._closed:
            with contextlib.suppress(queue.Empty, CatalogUnavailableError):
                if (task := self._waiting.get(timeout=max(0.01, due - time.monotonic()))) is not None:
                    self._ask(task)
                task = None  # it holds the candidate open, which may not be one any more when the next task comes
            if time.monotonic() >= due:
                self._flush()
                due = time.monotonic() + _FLUSH_SECONDS
        self._flush()

    def _ask(self, task: ShadowTask) -> None:
        start = time.perf_counter()
        try:
            answers = task.ask()
        except Exception as error:  # of any kind: this thread outlives whatever is wrong with the candidate
            self.failed(task.canary, error)
            return
        each = 1000 / len(task.texts)
        seconds = time.perf_counter() - start
        for live, other in zip(task.answers, answers, strict=True):
            ids, others = [hit.id for hit in live], [hit.id for hit in other]
            self._observations.note(
                _step(task.canary),
                failed=0.0,
                overlap=overlap(ids, others),
                live_ms=task.seconds * each,
                candidate_ms=seconds * each,
                **({"live_score": live[0].score} if live else {}),
                **({"candidate_score": other[0].score} if other else {}),
            )

    def _flush(self) -> None:
        batch = self._observations.take()
        try:
            # Each step leaves the batch once it is written: what is given back below must not be counted twice.
            for (number, step), measures in list(batch.items()):
                self._catalog.canaries.observe(number, step, measures)
                del batch[(number, step)]
        except CatalogUnavailableError:
            self._observations.give_back(batch)


def _step(canary: Canary) -> Step:
    return canary.number, canary.step


Step = tuple[int, int]
"""Number of the canary, and its step."""


class ShadowObservations:
    """Gathers values by canary, step and measure. Bounded by the number of measures, whatever comes in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_step: defaultdict[Step, dict[str, Observation]] = defaultdict(dict)

    def note(self, step: Step, **values: float) -> None:
        """Add one value to each measure; what is not finite is left out."""
        with self._lock:
            measures = self._by_step[step]
            for measure, value in values.items():
                if math.isfinite(value):
                    one = Observation(1, value, value * value, value, value, {_bin(measure, value): 1})
                    measures[measure] = measures.get(measure, Observation()) + one

    def take(self) -> dict[Step, dict[str, Observation]]:
        """Everything gathered; from now on it is the caller's."""
        with self._lock:
            observations, self._by_step = self._by_step, defaultdict(dict)
            return dict(observations)

    def give_back(self, batch: dict[Step, dict[str, Observation]]) -> None:
        """Put back what could not be written, for the next time."""
        with self._lock:
            for step, measures in batch.items():
                totals = self._by_step[step]
                for measure, observation in measures.items():
                    totals[measure] = totals.get(measure, Observation()) + observation


def _bin(measure: str, value: float) -> str:
    """The bucket of a value: tenths of a share, steps of the square root of two for milliseconds, 0.05 for a score."""
    if measure.endswith("_ms"):
        return str(max(0, min(_MILLISECONDS - 1, math.floor(2 * math.log2(max(value, 1e-9))) + 12)))
    if measure.endswith("_score"):
        return str(max(0, min(_SCORES - 1, math.floor((value + 1) * 20))))
    return str(max(0, min(_TENTHS - 1, math.floor(value * _TENTHS))))


def quantile_ms(observation: Observation, share: float) -> float | None:
    """Milliseconds within which this share lies, to a bucket's width (the middle of it); None without any."""
    total, rank = 0, share * observation.count
    for at, count in sorted((int(at), count) for at, count in observation.bins.items()):
        total += count
        if total >= rank and count:
            return float(2 ** ((at - 12 + 0.5) / 2))
    return None
