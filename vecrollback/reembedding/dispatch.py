"""Driving an engine: how many texts make a task, when the next one may go, and what becomes of those that fail.

`Task` is what goes to a worker and comes back, `Throttle` lets it wait beside a service, `Dispatch` keeps the workers
busy, puts right what they drop, and singles out a text that breaks the model.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from vecrollback.embedders.probe_texts import PROBES
from vecrollback.embedders.riding_probes import BatchProbes
from vecrollback.errors import EmbedderChangedError, EmbeddingError, EngineLostError, UsageError
from vecrollback.pairs.vectors import ChunkVectors
from vecrollback.records import Effort
from vecrollback.reembedding.engines import EmbeddedUnit, Engine, FailedUnit, Outcome, Unit

PLAIN = Effort()
_PATIENCE, _LONE_PATIENCE = 2, 3
"""Deaths of workers after which it is the unit's fault: of several texts, of one. A worker may be killed by chance."""

_WORTH_OVERLAPPING = 0.02
"""Time that a unit takes to be written, as a share of the time it took to be embedded, from which a worker that is
alone does not wait for it. Below that a crash is to cost the unit in work and nothing more."""

_TOLERATED, _TOLERATED_SHARE = 20, 0.1
"""Texts that may fail, at least and as a share of those tried. More of them say that the model is broken."""

_SECONDS = 10.0
_FIRST_TEXTS, _MOST_TEXTS = 256, 8_192
_FIRST_CHARACTERS, _LEAST_CHARACTERS, _MOST_CHARACTERS = 128 << 10, 16 << 10, 8 << 20
_GROWTH = 4.0

_LOOK_SECONDS = 0.25
_LOAD_SECONDS = 60.0
"""Time constant of the system's one-minute load average."""

_WINDOW = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Pending:
    """One document change that has no vectors yet."""

    id: str
    seq: int
    content_hash: bytes
    text: str


@dataclass(slots=True)
class EmbedCounts:
    """What was done so far. `documents`: changes taken in; `embedded`, `reused`: texts; `chunks`, `tokens`: read.

    `given_up`: changes whose text the model cannot embed. `ideal`: seconds that the model's arithmetic takes at the
    machine's best rate, in all; `workers`: those that share it.
    """

    documents: int = 0
    embedded: int = 0
    reused: int = 0
    chunks: int = 0
    tokens: int = 0
    total: int = 0
    given_up: int = 0
    ideal: float = 0.0
    workers: int = 1
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    @property
    def share(self) -> float | None:
        """Of what the workers' processors could do, the part that reached the model; None where nobody can tell."""
        return self.ideal / (self.elapsed * self.workers) if self.ideal and self.elapsed else None


Batch = list[tuple[Pending, ChunkVectors]]
"""Changes with their vectors, ready to be written."""

SameTexts = list[Pending]
"""Changes of one text: embedded once."""


@dataclass(slots=True)
class Task:
    """Texts on their way through an engine: each with the changes that have it.

    In the end it has either `made`, or a `reason` why its only text has no vectors. `deaths`: workers it has seen die.
    `riders`: probes that travel with the texts.
    """

    groups: Sequence[SameTexts]
    made: list[ChunkVectors] = field(default_factory=list)
    tokens: int = 0
    ideal: float = 0.0
    reason: str = ""
    deaths: int = 0
    seconds: float = 0.0
    riders: tuple[int, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(group[0].text for group in self.groups)

    @property
    def batch(self) -> Batch:
        pairs = zip(self.groups, self.made, strict=True)
        return [(change, chunks) for group, chunks in pairs for change in group]


class TaskSizes:
    """Sizes units so that a crash loses about ten seconds of a worker, whatever the model."""

    def __init__(self) -> None:
        self._texts = float(_FIRST_TEXTS)
        self._characters = float(_FIRST_CHARACTERS)

    def first(self, lengths: Iterable[int], share: float) -> int:
        """How many texts of these lengths make the next unit; at least one.

        `share`: characters that are left for each worker. Towards the end units get smaller, so that none of the
        workers is still busy for long when the others have nothing to do.
        """
        most = min(self._characters, max(share, _LEAST_CHARACTERS))
        count = characters = 0
        for length in lengths:
            characters += length
            if count and (count >= self._texts or characters > most):
                break
            count += 1
        return count

    def learn(self, task: Task) -> None:
        """Adapt the sizes to the time that this unit took."""
        characters = sum(map(len, task.texts))
        if not characters:
            return
        factor = _SECONDS / max(task.seconds, 1e-3)
        ceiling = min(_GROWTH * self._characters, _MOST_CHARACTERS)
        self._characters = min(max(factor * characters, _LEAST_CHARACTERS), ceiling)
        ceiling = min(_GROWTH * self._texts, _MOST_TEXTS)
        self._texts = min(max(factor * len(task.groups), _FIRST_TEXTS), ceiling)


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the day, in the machine's local time; `end` before `start` goes over midnight."""

    start: dt.time
    end: dt.time

    @classmethod
    def read(cls, text: str) -> Window:
        """Read `22:00-06:00`. Raises UsageError."""
        match = _WINDOW.fullmatch(text.strip())
        first, minute, last, end = map(int, match.groups()) if match else (0, 0, 0, 0)
        if (first, minute) == (last, end):
            raise UsageError(
                f"{text!r} is not a valid window of the day", hint="write HH:MM-HH:MM, for example 22:00-06:00"
            )
        return cls(dt.time(first, minute), dt.time(last, end))

    def holds(self, at: dt.time) -> bool:
        if self.start < self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end


class Throttle:
    """The gate of a job: waits while it is paused, while others need the machine, or outside its hours.

    `look` is called before every unit, and while the job waits. It gets the reason for waiting, or "", returns whether
    the job is paused, and raises when the job is to end. Without arguments the gate is always open.
    """

    def __init__(self, effort: Effort = PLAIN, look: Callable[[str], bool] = lambda _: False) -> None:
        self._look = look
        self._max_load = effort.max_load
        self._window = Window.read(effort.window) if effort.window else None
        self._own = 0.0
        self._count_time = time.monotonic()

    def open(self, running: int) -> bool:
        """Whether another unit may be begun while so many are running."""
        self._count(running)
        return not self._obstacle()

    def wait(self) -> None:
        """Return when another unit may be begun; nothing runs meanwhile."""
        while obstacle := self._obstacle():
            self._look(obstacle)
            time.sleep(_LOOK_SECONDS)
            self._count(0)

    def _obstacle(self) -> str:
        if self._look(""):
            return "paused"
        if self._window and not self._window.holds(dt.datetime.now().time()):
            return f"waiting for {self._window.start:%H:%M}"
        if self._max_load is not None and self._others() > self._max_load:
            return f"waiting: others keep {self._others():.1f} cores busy"
        return ""

    def _others(self) -> float:
        return os.getloadavg()[0] - self._own

    def _count(self, running: int) -> None:
        """Follow this job's part in the load average, which fades as the average does."""
        now = time.monotonic()
        fade = math.exp((self._count_time - now) / _LOAD_SECONDS)
        self._own = self._own * fade + running * (1 - fade)
        self._count_time = now


class Dispatch:
    """Sends tasks to an engine and yields them as they end, in any order.

    When a unit fails, a text known to be good is embedded first, to prove that the model works; then the unit is tried
    again in halves. A single text that fails is given up, and only it. With `probes`, a task whose riding probes show
    another model is not yielded.
    """

    def __init__(self, engine: Engine, gate: Throttle, probes: BatchProbes | None = None) -> None:
        self._engine, self._gate, self._probes = engine, gate, probes
        self._waiting: deque[Task] = deque()
        self._running: dict[int, tuple[Task, float]] = {}
        self._results: deque[Task] = deque()
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
        """The tasks that have ended by now."""
        while self._results:
            task = self._results.popleft()
            # The caller writes the task between two `next`, so the time until then is the time of writing.
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
        task.riders = self._probes.draw(len(task.groups)) if self._probes else ()
        texts = (*task.texts, *(PROBES[n] for n in task.riders))
        self._engine.submit(Unit(self._number, texts, riders=len(task.riders)))

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
        parts = [ChunkVectors(outcome.spans[a:b], outcome.vectors[a:b]) for a, b in itertools.pairwise(ends)]
        task.made, probe_parts = parts[: len(task.groups)], parts[len(task.groups) :]
        if self._probes and probe_parts:
            try:
                self._probes.examine(task.riders, np.concatenate([one.vectors for one in probe_parts]))
            except EmbedderChangedError as error:
                # Stops the job: what else is running is examined as it comes, and this task is never written.
                self._stop = FailedUnit(outcome.number, type(error).__name__, error.message, error.hint)
                return
        probe_tokens = self._probes.tokens(task.riders) if self._probes else 0
        task.tokens, task.ideal = max(0, outcome.tokens - probe_tokens), outcome.ideal_seconds or 0.0
        self._texts += len(task.groups)
        self._results.append(task)

    # -- what went wrong ----------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        """Decide what to do with the tasks that failed. Nothing runs meanwhile."""
        if self._stop:
            raise self._stop.error
        suspects, self._suspects = self._suspects, []
        model_is_well = False
        for task, failure in suspects:
            task.deaths += failure.died
            alone = len(task.groups) == 1
            if failure.died and task.deaths < (_LONE_PATIENCE if alone else _PATIENCE):
                self._waiting.appendleft(task)
                continue
            # Once for all suspects: a broken model would otherwise have every document of the corpus given up.
            if not model_is_well:
                self._prove(failure)
                model_is_well = True
            if alone:
                self._give_up(task, failure)
            else:
                middle = len(task.groups) // 2
                self._waiting.extendleft([Task(task.groups[middle:]), Task(task.groups[:middle])])

    def _prove(self, failure: FailedUnit) -> None:
        """Raise the failure unless a text that is known to be good can be embedded."""
        for _ in range(_LONE_PATIENCE):
            outcome = self._ask()
            if isinstance(outcome, EmbeddedUnit):
                return
            if not outcome.died:
                raise failure.error if not outcome.stops else outcome.error
        raise EngineLostError(
            f"workers die over a text that is known to be good: {failure.message}",
            hint="embed one text by hand with the same model: memory, libraries, or a device that is gone",
        )

    def _ask(self) -> Outcome:
        self._number += 1
        self._engine.submit(Unit(self._number, (self._known_good(),)))
        return self._engine.take()

    def _known_good(self) -> str:
        """A text that the model embedded when its pair was made."""
        return self._probes.known_good if self._probes else PROBES[0]

    def _give_up(self, task: Task, failure: FailedUnit) -> None:
        task.reason = failure.message
        self._texts += 1
        self._given_up += 1
        self._results.append(task)
        if self._given_up > max(_TOLERATED, _TOLERATED_SHARE * self._texts):
            self._stop = FailedUnit(
                0,
                EmbeddingError.__name__,
                f"{self._given_up:,} of {self._texts:,} texts cannot be embedded; the last one: {failure.message}",
                "texts that other models take may be too long or empty for this one: see `vecrollback jobs show`",
            )
