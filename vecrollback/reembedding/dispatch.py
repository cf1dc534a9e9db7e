"""Driving an engine: keep its workers busy, put right what they drop, and single out a text that breaks the model."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from vecrollback.embedders.probe_texts import PROBES
from vecrollback.errors import EmbeddingError, EngineLostError
from vecrollback.pairs.vectors import ChunkVectors
from vecrollback.reembedding.engines import EmbeddedUnit, Engine, FailedUnit, Outcome, Unit
from vecrollback.reembedding.tasks import Task

_KNOWN_GOOD = (PROBES[0],)
_PATIENCE, _LONE_PATIENCE = 2, 3
"""Deaths of workers after which it is the unit's fault: of several texts, of one. A worker may be killed by chance."""

_WORTH_OVERLAPPING = 0.02
"""Time that a unit takes to be written, as a share of the time it took to be embedded, from which a worker that is
alone does not wait for it. Below that a crash is to cost the unit in work and nothing more."""

_TOLERATED, _TOLERATED_SHARE = 20, 0.1
"""Texts that may fail, at least and as a share of those tried. More of them say that the model is broken."""


class Admission(Protocol):
    """Says when work may go on. Both methods raise when it is to end."""

    def open(self, running: int) -> bool:
        """Whether another unit may be begun while so many are running."""
        ...

    def wait(self) -> None:
        """Return when one may be begun; nothing runs meanwhile."""
        ...


class Dispatch:
    """Sends tasks to an engine and yields them as they end, in any order.

    A unit that fails is tried again in halves, after a text that embedded well when the pair was made has shown that
    the model itself is well; a single text that fails is given up, and only it.
    """

    def __init__(self, engine: Engine, gate: Admission) -> None:
        self._engine, self._gate = engine, gate
        self._waiting: deque[Task] = deque()
        self._running: dict[int, tuple[Task, float]] = {}
        self._ended: deque[Task] = deque()
        self._suspects: list[tuple[Task, FailedUnit]] = []
        self._stop: FailedUnit | None = None
        self._writing = 0.0
        self._number = self._texts = self._given_up = 0

    def run(self, tasks: Iterable[Task]) -> Iterator[Task]:
        """The tasks, each with its vectors or with the reason why it has none.

        Raises what ends the job: a limit, a model that fails on every text, workers that are gone. What was finished
        by then has been yielded.
        """
        source = iter(tasks)
        while True:
            if self._stop or self._suspects:
                yield from self.rest()
                self._judge()
                continue
            if self._engine.width == 1 and self._writing < _WORTH_OVERLAPPING:
                yield from self.ended()
            more = self._fill(source)
            yield from self.ended()  # while the workers embed
            if self._running:
                self._take()
            elif more:
                self._gate.wait()
            elif not self._suspects:
                return

    def rest(self) -> Iterator[Task]:
        """Wait for what is running, and begin nothing more."""
        yield from self.ended()
        while self._running:
            self._take()
            yield from self.ended()

    def ended(self) -> Iterator[Task]:
        """What has ended by now; who asks for the next one has written the one before."""
        while self._ended:
            task = self._ended.popleft()
            began = time.monotonic()
            yield task
            self._writing = (time.monotonic() - began) / max(task.seconds, 1e-9)

    def _fill(self, source: Iterator[Task]) -> bool:
        """Keep the workers busy while the gate is open; whether there is more to do."""
        while len(self._running) < self._engine.width:
            if not self._waiting:
                task = next(source, None)
                if task is None:
                    return False
                self._waiting.append(task)
            if not self._gate.open(len(self._running)):
                return True
            self._submit(self._waiting.popleft())
        return True

    def _submit(self, task: Task) -> None:
        self._number += 1
        self._running[self._number] = task, time.monotonic()
        self._engine.submit(Unit(self._number, task.texts))

    def _take(self) -> None:
        outcome = self._engine.take()
        task, began = self._running.pop(outcome.number)
        task.seconds = time.monotonic() - began
        if isinstance(outcome, FailedUnit):
            if outcome.stops:
                self._stop = outcome
            else:
                self._suspects.append((task, outcome))
            return
        ends = np.cumsum([0, *outcome.counts]).tolist()
        task.made = [ChunkVectors(outcome.spans[a:b], outcome.vectors[a:b]) for a, b in itertools.pairwise(ends)]
        task.tokens, task.ideal = outcome.tokens, outcome.ideal_seconds or 0.0
        self._texts += len(task.groups)
        self._ended.append(task)

    # -- what went wrong ----------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        """Decide what becomes of the tasks that failed. Nothing runs meanwhile."""
        if self._stop:
            raise self._stop.error
        suspects, self._suspects = self._suspects, []
        proven = False
        for task, failed in suspects:
            task.deaths += failed.died
            alone = len(task.groups) == 1
            if failed.died and task.deaths < (_LONE_PATIENCE if alone else _PATIENCE):
                self._waiting.appendleft(task)
                continue
            if not proven:
                self._prove(failed)
                proven = True
            if alone:
                self._give_up(task, failed)
            else:
                middle = len(task.groups) // 2
                self._waiting.extendleft([Task(task.groups[middle:]), Task(task.groups[:middle])])

    def _prove(self, failed: FailedUnit) -> None:
        """Raise the failure unless a text that is known to be good can be embedded."""
        for _ in range(_LONE_PATIENCE):
            outcome = self._ask()
            if isinstance(outcome, EmbeddedUnit):
                return
            if not outcome.died:
                raise failed.error if not outcome.stops else outcome.error
        raise EngineLostError(
            f"workers die over a text that is known to be good: {failed.message}",
            hint="embed one text by hand with the same model: memory, libraries, or a device that is gone",
        )

    def _ask(self) -> Outcome:
        self._number += 1
        self._engine.submit(Unit(self._number, _KNOWN_GOOD))
        return self._engine.take()

    def _give_up(self, task: Task, failed: FailedUnit) -> None:
        task.reason = failed.message
        self._texts += 1
        self._given_up += 1
        self._ended.append(task)
        if self._given_up > max(_TOLERATED, _TOLERATED_SHARE * self._texts):
            self._stop = FailedUnit(
                0,
                EmbeddingError.__name__,
                f"{self._given_up:,} of {self._texts:,} texts cannot be embedded; the last one: {failed.message}",
                "texts that other models take may be too long or empty for this one: see `vecrollback jobs show`",
            )
