"""A candidate answers a share of the live queries again, on a thread of its own and never in their way.

What is seen of it is kept in sums of a fixed size, until somebody takes them.
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
    """Queries that were answered by the live pair in `seconds`, and how the candidate would answer them."""

    canary: Canary
    texts: Sequence[str]
    answers: Answers
    seconds: float
    ask: Callable[[], Answers]


class Shadow(FollowsForks):
    """Takes queries as long as there is room, and leaves out the others. Counts what it sees in the catalog.

    Its thread starts with the first canary; without one it costs nothing.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog, self._seen = catalog, ShadowObservations()
        self._waiting: queue.Queue[ShadowTask | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = self._told = False
        follow_forks(self)

    def forked(self) -> None:
        """What the parent saw it writes itself; what waits there waits for its thread."""
        inherit(self._waiting)
        self._waiting, self._seen = queue.Queue(_WAITING), ShadowObservations()
        self._lock, self._thread = threading.Lock(), None

    def offer(self, task: ShadowTask) -> None:
        """Maybe ask the candidate too: by chance, and only while there is room. Never raises, never waits."""
        if random.random() * 100 < task.canary.shadow:
            with contextlib.suppress(queue.Full):
                self._waiting.put_nowait(task)
                self._start()

    def answered(self, canary: Canary, seconds: float) -> None:
        """Count a query that the candidate itself answered."""
        self._seen.note(_step(canary), failed=0.0, canary_ms=seconds * 1000)
        self._start()

    def failed(self, canary: Canary, error: Exception) -> None:
        """Count a query that it could not answer; the live pair did."""
        self._seen.note(_step(canary), failed=1.0)
        self._start()
        if not self._told:
            _log.warning("candidate %s@%d cannot answer: %s", canary.pair, canary.snapshot, error)
        self._told = True

    def close(self) -> None:
        """Write what was seen, and end. What still waits is left out."""
        with self._lock:
            self._closed, thread = True, self._thread
        if thread is not None:
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
            if time.monotonic() >= due:
                self._flush()
                due = time.monotonic() + _FLUSH_SECONDS
        self._flush()

    def _ask(self, task: ShadowTask) -> None:
        started = time.perf_counter()
        try:
            answers = task.ask()
        except Exception as error:  # of any kind: this thread outlives whatever is wrong with the candidate
            self.failed(task.canary, error)
            return
        each = 1000 / len(task.texts)
        seconds = time.perf_counter() - started
        for live, other in zip(task.answers, answers, strict=True):
            ids, others = [hit.id for hit in live], [hit.id for hit in other]
            self._seen.note(
                _step(task.canary),
                failed=0.0,
                overlap=overlap(ids, others),
                live_ms=task.seconds * each,
                candidate_ms=seconds * each,
                **({"live_score": live[0].score} if live else {}),
                **({"candidate_score": other[0].score} if other else {}),
            )

    def _flush(self) -> None:
        taken = self._seen.take()
        try:
            for (number, step), measures in list(taken.items()):
                self._catalog.canaries.observe(number, step, measures)
                del taken[(number, step)]
        except CatalogUnavailableError:
            self._seen.give_back(taken)


def _step(canary: Canary) -> Step:
    return canary.number, canary.step


Step = tuple[int, int]
"""Number of the canary, and its step."""


class ShadowObservations:
    """Gathers values by canary, step and measure. Bounded by the number of measures, whatever comes in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: defaultdict[Step, dict[str, Observation]] = defaultdict(dict)

    def note(self, step: Step, **values: float) -> None:
        """Add one value to each measure; what is not finite is left out."""
        with self._lock:
            held = self._held[step]
            for measure, value in values.items():
                if math.isfinite(value):
                    one = Observation(1, value, value * value, value, value, {_bin(measure, value): 1})
                    held[measure] = held.get(measure, Observation()) + one

    def take(self) -> dict[Step, dict[str, Observation]]:
        """Everything gathered; from now on it is the caller's."""
        with self._lock:
            held, self._held = self._held, defaultdict(dict)
            return dict(held)

    def give_back(self, taken: dict[Step, dict[str, Observation]]) -> None:
        """Put back what could not be written, for the next time."""
        with self._lock:
            for step, measures in taken.items():
                held = self._held[step]
                for measure, seen in measures.items():
                    held[measure] = held.get(measure, Observation()) + seen


def _bin(measure: str, value: float) -> str:
    """The bucket of a value: tenths of a share, steps of the square root of two for milliseconds, 0.05 for a score."""
    if measure.endswith("_ms"):
        return str(max(0, min(_MILLISECONDS - 1, math.floor(2 * math.log2(max(value, 1e-9))) + 12)))
    if measure.endswith("_score"):
        return str(max(0, min(_SCORES - 1, math.floor((value + 1) * 20))))
    return str(max(0, min(_TENTHS - 1, math.floor(value * _TENTHS))))


def quantile_ms(seen: Observation, share: float) -> float | None:
    """Milliseconds within which this share lies, to a bucket's width (the middle of it); None without any."""
    counted, wanted = 0, share * seen.count
    for at, count in sorted((int(at), count) for at, count in seen.bins.items()):
        counted += count
        if counted >= wanted and count:
            return float(2 ** ((at - 12 + 0.5) / 2))
    return None
