"""Timing the steps of a drill, each against its objective."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from vecrollback.errors import in_words
from vecrollback.records import Phase
from vecrollback.storage.steps import step


class TimedStep:
    """A step that is under way. Say what came of it with `say`; `ok` is true until somebody says otherwise."""

    def __init__(self) -> None:
        self.ok, self.said = True, ""
        self.seconds: float | None = None

    def say(self, text: str, *, ok: bool = True) -> None:
        self.ok = self.ok and ok
        self.said = text


class Stopwatch:
    """The steps of one drill so far."""

    def __init__(self) -> None:
        self.phases: list[Phase] = []
        self._started = time.monotonic()

    @contextmanager
    def phase(self, name: str, limit: float | None = None) -> Iterator[TimedStep]:
        """Time a step. What it raises is said and ends the drill."""
        timed, start = TimedStep(), time.monotonic()
        try:
            with step(name):
                yield timed
        except Exception as error:
            timed.say(in_words(error), ok=False)
            raise
        finally:
            seconds = time.monotonic() - start if timed.seconds is None else timed.seconds
            late = limit is not None and seconds > limit
            self.phases.append(Phase(name, seconds, timed.ok and not late, timed.said, limit))

    def total(self, name: str, limit: float, sentence: str, *names: str) -> None:
        """The sum of some steps, against an objective for all of them."""
        parts = [one for one in self.phases if one.name in names]
        seconds = sum(one.seconds for one in parts)
        self.phases.append(Phase(name, seconds, seconds <= limit and all(one.ok for one in parts), sentence, limit))

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started
