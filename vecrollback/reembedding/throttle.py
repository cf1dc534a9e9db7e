"""Working beside a service: wait while a job is paused, others need the machine, or it is not the hour for it."""

from __future__ import annotations

import datetime as dt
import math
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from vecrollback.errors import UsageError
from vecrollback.records import Effort

_LOOK_SECONDS = 0.25
_LOAD_SECONDS = 60.0
"""Time constant of the system's one-minute load average."""

_WINDOW = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the day, in the machine's local time; `end` before `start` goes over midnight."""

    start: dt.time
    end: dt.time

    @classmethod
    def read(cls, text: str) -> Window:
        """Read `22:00-06:00`. Raises UsageError."""
        found = _WINDOW.fullmatch(text.strip())
        first, minute, last, end = map(int, found.groups()) if found else (0, 0, 0, 0)
        if (first, minute) == (last, end):
            raise UsageError(f"{text!r} is no window of the day", hint="for example 22:00-06:00")
        return cls(dt.time(first, minute), dt.time(last, end))

    def holds(self, at: dt.time) -> bool:
        if self.start < self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end


class Throttle:
    """The gate of a job.

    `look` is asked before every unit, and while the job waits: it is told what for, or "", says whether somebody
    paused the job, and raises when it is to end.
    """

    def __init__(self, effort: Effort, look: Callable[[str], bool]) -> None:
        self._look = look
        self._max_load = effort.max_load
        self._window = Window.read(effort.window) if effort.window else None
        self._own = 0.0
        self._counted = time.monotonic()

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
        kept = math.exp((self._counted - now) / _LOAD_SECONDS)
        self._own = self._own * kept + running * (1 - kept)
        self._counted = now
